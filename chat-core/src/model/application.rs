//! An application: what owns chats.

use std::fmt;

use super::{
    ApplicationId, Timestamp,
    text::{check_characters, text_type},
};

text_type! {
    /// The name that a client gives its application: 1 to 255 characters, not blank.
    ApplicationName, at most 255 by check_characters
}

/// How devices address an application: 32 ASCII letters and digits, made by the system.
///
/// Whoever holds it can read and write the application's chats, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApplicationToken(String);

impl ApplicationToken {
    /// The number of characters of every token.
    pub const LENGTH: usize = 32;
    /// The characters that a token is made of: 62, so 32 of them hold 190.5 bits.
    pub const ALPHABET: &'static [u8; 62] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// Reads a token; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == Self::LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then(|| Self(text.to_owned()))
    }

    /// The token's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApplicationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplicationToken(…)")
    }
}

/// An application as it is about to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApplication {
    /// Its id.
    pub id: ApplicationId,
    /// The token that the system made for it.
    pub token: ApplicationToken,
    /// The client's name for it.
    pub name: ApplicationName,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An application as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The system's own id of it.
    pub id: ApplicationId,
    /// How devices address it.
    pub token: ApplicationToken,
    /// The client's name for it.
    pub name: ApplicationName,
    /// How many of its chats are stored and not deleted.
    pub chats_count: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last renamed, or created.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::ApplicationToken;

    #[test]
    fn a_token_is_32_letters_and_digits() {
        assert!(ApplicationToken::parse(&"aZ09".repeat(8)).is_some());
        for wrong in [
            "",
            "short",
            &"a".repeat(33),
            &"é".repeat(16),
            &"-".repeat(32),
        ] {
            assert!(ApplicationToken::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn debug_hides_the_token() {
        let token = ApplicationToken::parse(&"s3cR".repeat(8)).unwrap();
        assert!(!format!("{token:?}").contains("s3cR"));
    }
}
