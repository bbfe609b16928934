//! Dead letters: work that was accepted and cannot be done as it is.

use sha2::{Digest as _, Sha256};

use super::{Creation, Draft, Epoch, MessageKey, Number, Timestamp, Uid};

/// Names a dead letter; opaque to its readers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterId(String);

impl DeadLetterId {
    /// The id of the letter that holds the creation `uid`, the same however often it fails.
    #[must_use]
    pub fn of_creation(uid: Uid) -> Self {
        Self(uid.to_string())
    }

    /// The id of the letter that holds the message `key`, which the index refuses.
    ///
    /// It is a digest, so as not to show the application's internal id in the key.
    fn of_key(key: &[u8]) -> Self {
        let digest = Sha256::digest(key);
        let half = digest.first_chunk().copied().unwrap_or_default();
        Self(format!("{:032x}", u128::from_be_bytes(half)))
    }

    /// The id of the letter that holds an unreadable queue entry, the same wherever the entry turns up.
    #[must_use]
    pub fn of_entry(payload: &[u8]) -> Self {
        Self(format!("entry-{}", Self::of_key(payload).0))
    }

    /// Wraps an id that a user gave; a letter of that id need not exist.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Work that was set aside, with all that an operator needs to decide about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its name.
    pub id: DeadLetterId,
    /// Why it was set aside.
    pub reason: DeadLetterReason,
    /// The failure in words, for the operator.
    pub detail: String,
    /// The number that the entry was given, where that is known.
    pub number: Option<Number>,
    /// The epoch that gave the number.
    pub epoch: Epoch,
    /// The queue entry as it came, or the key of a message that the search index refuses, as JSON.
    ///
    /// An unreadable entry is cut to [`MOST_PAYLOAD`](Self::MOST_PAYLOAD) bytes.
    pub payload: Vec<u8>,
    /// When it failed first.
    pub first_failed_at: Timestamp,
    /// When it failed last.
    pub last_failed_at: Timestamp,
}

impl DeadLetter {
    /// How many bytes of an unreadable entry are kept, as it may be of any size: 1 MiB.
    pub const MOST_PAYLOAD: usize = 1 << 20;

    /// Makes the letter for a message that the search index refuses.
    ///
    /// # Panics
    ///
    /// Never: a key can be written as JSON.
    #[must_use]
    pub fn of_message(key: MessageKey, detail: String, at: Timestamp) -> Self {
        let payload = serde_json::to_vec(&key).expect("numbers can be written as JSON");
        Self {
            id: DeadLetterId::of_key(&payload),
            reason: DeadLetterReason::NotIndexable,
            detail,
            number: Some(key.message.into()),
            epoch: Epoch::default(),
            payload,
            first_failed_at: at,
            last_failed_at: at,
        }
    }

    /// The message that the search index refuses, where that is what the letter is about.
    #[must_use]
    pub fn message(&self) -> Option<MessageKey> {
        let is_of_index = self.reason == DeadLetterReason::NotIndexable;
        is_of_index
            .then(|| serde_json::from_slice(&self.payload).ok())
            .flatten()
    }

    /// The creation that it holds, if this program can read it.
    #[must_use]
    pub fn creation(&self) -> Option<Creation> {
        let draft = Draft::decode(&self.payload).ok()?;
        Some(Creation {
            number: self.number?,
            epoch: self.epoch,
            draft,
        })
    }
}

/// Why work was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// The repository refuses it, even when it is tried alone.
    Refused,
    /// Its number belongs to another creation: a number was repeated.
    NumberTaken,
    /// Its application has no row: the database lost it, or is a different database.
    NoApplication,
    /// It is so old that a tombstone of it may have been purged already.
    TooOld,
    /// It is not an entry of this system.
    Undecodable,
    /// A newer program wrote it.
    NewerFormat,
    /// The search index refuses it, even when it is tried alone.
    NotIndexable,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::NumberTaken,
        Self::NoApplication,
        Self::TooOld,
        Self::Undecodable,
        Self::NewerFormat,
        Self::NotIndexable,
    ];

    /// The reason's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NumberTaken => "number_taken",
            Self::NoApplication => "no_application",
            Self::TooOld => "too_old",
            Self::Undecodable => "undecodable",
            Self::NewerFormat => "newer_format",
            Self::NotIndexable => "not_indexable",
        }
    }

    /// Reads a stable name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The reason as a sentence, for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Refused => {
                "the repository refuses it even if it is stored alone; the log has the cause"
            }
            Self::NumberTaken => "its number belongs to another creation",
            Self::NoApplication => {
                "its application is not in the database; replay it once that is restored, or drop \
                 it"
            }
            Self::TooOld => {
                "it is so old that its tombstone may have been purged; replay it by force, or drop it"
            }
            Self::Undecodable => "it is not an entry of this system",
            Self::NewerFormat => "a newer version wrote it; replay it with that version",
            Self::NotIndexable => {
                "the search index refuses it even if it is indexed alone; the log has the cause"
            }
        }
    }
}
