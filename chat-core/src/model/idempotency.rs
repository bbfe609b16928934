//! Idempotency keys: how a client repeats a request without repeating its effect.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{Content, Draft, Sequence};

/// The client's own name for one create: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// Why a header's value is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} visible ASCII characters", IdempotencyKey::MAX)]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// The most characters that a key may have.
    pub const MAX: usize = 255;

    /// Checks a header's raw value.
    ///
    /// # Errors
    ///
    /// Fails on an empty or long value and on bytes outside `!` to `~`.
    pub fn parse(value: &[u8]) -> Result<Self, IdempotencyKeyError> {
        let valid =
            (1..=Self::MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        if !valid {
            return Err(IdempotencyKeyError);
        }
        String::from_utf8(value.to_vec())
            .map(Self)
            .map_err(|_| IdempotencyKeyError)
    }

    /// The key's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A fingerprint of what a create asked for: where, and with which validated values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Fingerprints a creation's content: SHA-256 over its fields, each prefixed with its length.
    #[must_use]
    pub fn of(content: &Content) -> Self {
        let mut hash = Sha256::new();
        match content.sequence() {
            Sequence::Chats(application) => hash.update(application.get().to_be_bytes()),
            Sequence::Messages(chat) => {
                hash.update(chat.application.get().to_be_bytes());
                hash.update(chat.chat.get().to_be_bytes());
            }
        }
        let fields = match content {
            Content::Chat { title, .. } => [title.as_ref().map(super::ChatTitle::as_str), None],
            Content::Message { sender, body, .. } => [
                Some(body.as_str()),
                sender.as_ref().map(super::Sender::as_str),
            ],
        };
        for field in fields {
            // An absent field and an empty one must differ.
            let length = field.map_or(u64::MAX, |text| text.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(field.unwrap_or_default());
        }
        Self(hash.finalize().into())
    }

    /// Reads the 32 bytes that [`as_bytes`](Self::as_bytes) gave; `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The fingerprint, for a binary column.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A draft handed in to be numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// What is to be created.
    pub draft: Draft,
    /// The client's key for it, if it sent one.
    pub key: Option<IdempotencyKey>,
}

impl Submission {
    /// The fingerprint that a repeated key is compared by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.draft.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApplicationId, ChatKey, ChatNumber, ChatTitle, MessageBody, Sender};

    #[test]
    fn a_key_is_visible_ascii() {
        assert!(IdempotencyKey::parse(b"order-7!~").is_ok());
        for wrong in [&b""[..], b"a b", b"\x7f", "é".as_bytes(), &[b'x'; 256]] {
            assert!(IdempotencyKey::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_field_makes_another_digest() {
        let application = ApplicationId::new(1);
        let chat = |number| ChatKey {
            application,
            chat: ChatNumber::try_new(number).unwrap(),
        };
        let message = |number, body: &str, sender: Option<&str>| Content::Message {
            chat: chat(number),
            body: MessageBody::parse(body).unwrap(),
            sender: sender.map(|sender| Sender::parse(sender).unwrap()),
        };
        let contents = [
            Content::Chat {
                application,
                title: None,
            },
            Content::Chat {
                application,
                title: ChatTitle::parse("ab").ok(),
            },
            Content::Chat {
                application: ApplicationId::new(2),
                title: None,
            },
            message(1, "ab", None),
            message(2, "ab", None),
            message(1, "abc", None),
            message(1, "a", Some("b")),
        ];
        for (i, one) in contents.iter().enumerate() {
            for (j, other) in contents.iter().enumerate() {
                assert_eq!(
                    Digest::of(one) == Digest::of(other),
                    i == j,
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
