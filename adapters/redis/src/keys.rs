//! The names of all keys, and the receipts and places that refer to entries.
//!
//! Every name begins with the system's prefix and the shard in braces, which is all that a cluster hashes:
//! a shard's keys are in one slot. A shard has
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `e` | string | the epoch, or `?` and a nonce |
//! | `b` | string | waiting bytes, followed by `+` once there were too many |
//! | `m` | hash | `f` how writes are synced, `r` once a replica was seen |
//! | `q` | stream | accepted creations and, only here, their payload: `n` number, `e` epoch, `s` sequence, `d` draft, `f` forced |
//! | `k` | set | ids of entries that are acknowledged but kept, since their creation is pending |
//! | `d` | hash | the dead letter of each uid that is set aside |
//! | `f` | set | ids of confirmed entries, which another technology's queue has had |
//! | `n` | hash | how many idempotency keys were made in each hour, and their sum |
//!
//! and a sequence, named `7` for the chats of application 7 and `7:3` for the messages of its chat 3, has
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `7:3c` | string | epoch and last number, `2:41`; or `-` for deleted |
//! | `7:3p` | list | what is pending, by number: number, stream id, size and uid |
//! | `7:3l` | string | the lease on seeding it |
//! | `7i…` | string | an idempotency key of application 7: digest, number, time |

use chat_core::{
    model::{ApplicationId, IdempotencyKey, Position, Sequence, Shard},
    ports::{PendingPlace, Receipt},
};

use crate::{RedisConfig, error::OpenError};

/// The most shards that a system may have.
///
/// A reader that blocks on all streams asks each for at least one entry, and a batch has some hundreds.
const MOST_SHARDS: u16 = 256;

/// The consumer group of all workers.
pub(crate) const GROUP: &str = "workers";

/// Names keys.
pub(crate) struct Keys {
    /// What the names of each shard's keys begin with.
    shards: Vec<String>,
}

impl Keys {
    pub(crate) fn try_new(config: &RedisConfig) -> Result<Self, OpenError> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        if !config.prefix.bytes().all(is_plain) {
            return Err(OpenError::Setting {
                what: "the prefix of Redis' keys",
                wanted: "made of letters, digits and `.`, `_`, `:`, `-`",
            });
        }
        if !(1..=MOST_SHARDS).contains(&config.shards) {
            return Err(OpenError::Setting {
                what: "the number of shards",
                wanted: "from 1 to 256",
            });
        }
        let name = |shard| format!("{}{{s{shard:02}}}:", config.prefix);
        Ok(Self {
            shards: (0..config.shards).map(name).collect(),
        })
    }

    /// All shards.
    pub(crate) fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.count()).map(Shard::new)
    }

    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.shards.len())
            .expect("the number of shards was checked to be at most 256")
    }

    /// The shard that a sequence lies in.
    pub(crate) fn shard_of(&self, sequence: &Sequence) -> Shard {
        Shard::of(sequence.application(), self.count())
    }

    /// What the names of a shard's keys begin with.
    ///
    /// # Panics
    ///
    /// Panics for a shard that this system does not have.
    pub(crate) fn base(&self, shard: Shard) -> &str {
        self.shards
            .get(usize::from(shard.get()))
            .expect("the shard is one of this system")
    }

    /// Says whether this system has a shard.
    pub(crate) fn has(&self, shard: Shard) -> bool {
        usize::from(shard.get()) < self.shards.len()
    }

    /// A key of a shard.
    pub(crate) fn of_shard(&self, shard: Shard, kind: char) -> String {
        let base = self.base(shard);
        let mut key = String::with_capacity(base.len() + 1);
        key.push_str(base);
        key.push(kind);
        key
    }

    /// A key for trying out commands.
    pub(crate) fn probe(&self, shard: Shard, kind: &str) -> String {
        format!("{}probe-{kind}", self.base(shard))
    }

    /// A key of a sequence.
    pub(crate) fn of(&self, sequence: &Sequence, kind: char) -> String {
        let base = self.base(self.shard_of(sequence));
        match sequence {
            Sequence::Chats(application) => format!("{base}{application}{kind}"),
            Sequence::Messages(chat) => {
                format!("{base}{}:{}{kind}", chat.application, chat.chat)
            }
        }
    }

    /// The key of an idempotency key.
    pub(crate) fn of_key(&self, application: ApplicationId, key: &IdempotencyKey) -> String {
        let base = self.base(Shard::of(application, self.count()));
        format!("{base}{application}i{}", key.as_str())
    }
}

/// A sequence as entries name it.
pub(crate) fn sequence_name(sequence: &Sequence) -> String {
    match sequence {
        Sequence::Chats(application) => application.to_string(),
        Sequence::Messages(chat) => format!("{}:{}", chat.application, chat.chat),
    }
}

/// The number of the chat that a sequence belongs to, as scripts take it.
pub(crate) fn chat_number(sequence: &Sequence) -> String {
    match sequence {
        Sequence::Chats(ApplicationId { .. }) => String::new(),
        Sequence::Messages(chat) => chat.chat.to_string(),
    }
}

/// The chats of a sequence's application: the sequence itself, if it is those.
pub(crate) fn chats_of(sequence: &Sequence) -> Sequence {
    Sequence::Chats(sequence.application())
}

/// Where an entry stands: its shard and its id in that shard's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryPlace {
    pub(crate) shard: Shard,
    pub(crate) position: Position,
}

impl EntryPlace {
    /// Reads what [`text`](Self::text) wrote; `None` for anything else, and for other systems' shards.
    pub(crate) fn parse(text: &str, keys: &Keys) -> Option<Self> {
        let (shard, id) = text.split_once('.')?;
        let shard = Shard::new(shard.parse().ok()?);
        let position = position(id)?;
        keys.has(shard).then_some(Self { shard, position })
    }

    pub(crate) fn text(&self) -> String {
        format!("{}.{}", self.shard, id(self.position))
    }

    pub(crate) fn receipt(&self) -> Receipt {
        Receipt(self.text())
    }

    pub(crate) fn pending(&self) -> PendingPlace {
        PendingPlace(self.text())
    }
}

/// The id of a stream's entry.
pub(crate) fn id(position: Position) -> String {
    format!("{}-{}", position.major, position.minor)
}

/// Reads the id of a stream's entry.
pub(crate) fn position(id: &str) -> Option<Position> {
    let (major, minor) = id.split_once('-')?;
    Some(Position {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use chat_core::model::{ChatKey, ChatNumber};

    use super::*;

    fn keys() -> Keys {
        Keys::try_new(&RedisConfig::new("redis://localhost")).unwrap()
    }

    #[test]
    fn keys_of_a_sequence_lie_in_its_shard() {
        let application = ApplicationId::new(23);
        let chat = ChatNumber::try_new(4).unwrap();
        let messages = Sequence::Messages(ChatKey { application, chat });
        assert_eq!(keys().of(&messages, 'c'), "chat:{s07}:23:4c");
        assert_eq!(keys().of(&chats_of(&messages), 'p'), "chat:{s07}:23p");
        let key = IdempotencyKey::parse(b"order-7").unwrap();
        assert_eq!(keys().of_key(application, &key), "chat:{s07}:23iorder-7");
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = EntryPlace {
            shard: Shard::new(3),
            position: Position { major: 7, minor: 9 },
        };
        assert_eq!(EntryPlace::parse(&place.text(), &keys()), Some(place));
        for wrong in ["", "3", "3.7", "16.7-9", "3.7-x", "nobody"] {
            assert_eq!(EntryPlace::parse(wrong, &keys()), None, "{wrong:?}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (prefix, shards) in [("{a}:", 16), ("a b", 16), ("a", 0), ("a", 257)] {
            let config = RedisConfig {
                prefix: prefix.to_owned(),
                shards,
                ..RedisConfig::new("redis://localhost")
            };
            assert!(Keys::try_new(&config).is_err(), "{prefix:?} {shards}");
        }
    }
}
