//! The rules for all texts from users, and the macro that makes a type for each kind of them.

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but white space, or nothing at all.
    #[error("must not be blank")]
    Blank,
    /// More characters (Unicode scalar values) than allowed.
    #[error("must have at most {0} characters")]
    TooManyCharacters(usize),
    /// More bytes of UTF-8 than allowed.
    #[error("must have at most {0} bytes of UTF-8")]
    TooManyBytes(usize),
    /// U+0000, which not every store can hold.
    #[error("must not contain U+0000")]
    Nul,
}

/// Refuses what is blank or holds U+0000; each type checks its own length.
pub(super) fn check(text: &str) -> Result<(), TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Blank);
    }
    check_nul(text)
}

/// Refuses U+0000.
pub(super) fn check_nul(text: &str) -> Result<(), TextError> {
    if text.contains('\0') {
        Err(TextError::Nul)
    } else {
        Ok(())
    }
}

/// Refuses more than `most` characters without counting a huge text to its end.
pub(super) fn check_characters(text: &str, most: usize) -> Result<(), TextError> {
    match text.chars().nth(most) {
        Some(_) => Err(TextError::TooManyCharacters(most)),
        None => Ok(()),
    }
}

/// Refuses more than `most` bytes.
pub(super) fn check_bytes(text: &str, most: usize) -> Result<(), TextError> {
    if text.len() > most {
        Err(TextError::TooManyBytes(most))
    } else {
        Ok(())
    }
}

/// Makes a checked text type, stored byte for byte as it came.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, at most $most:literal by $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The largest size allowed.
            pub const MAX: usize = $most;

            /// Checks a text.
            ///
            /// # Errors
            ///
            /// Fails on a blank text, on U+0000 and on one that is too long.
            pub fn parse(text: impl Into<String>) -> Result<Self, $crate::model::TextError> {
                let text = text.into();
                $crate::model::text::check(&text)?;
                $check(&text, Self::MAX)?;
                Ok(Self(text))
            }

            /// The text as it came.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::model::TextError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}
pub(super) use text_type;

#[cfg(test)]
mod tests {
    use super::TextError;
    use crate::model::{ChatTitle, MessageBody};

    #[test]
    fn characters_are_scalar_values_and_bytes_are_utf_8() {
        assert!(ChatTitle::parse("é".repeat(255)).is_ok());
        assert_eq!(
            ChatTitle::parse("é".repeat(256)),
            Err(TextError::TooManyCharacters(255))
        );
        assert!(MessageBody::parse("x".repeat(32_768)).is_ok());
        assert_eq!(
            MessageBody::parse("é".repeat(16_385)),
            Err(TextError::TooManyBytes(32_768))
        );
    }

    #[test]
    fn blank_and_nul_are_refused() {
        for blank in ["", " ", "\n\t", "\u{3000}"] {
            assert_eq!(MessageBody::parse(blank), Err(TextError::Blank));
        }
        assert_eq!(MessageBody::parse("a\0b"), Err(TextError::Nul));
    }

    #[test]
    fn a_text_is_kept_as_it_came() {
        let body = " e\u{301} \u{1F469}\u{200D}\u{1F680} ";
        assert_eq!(MessageBody::parse(body).unwrap().as_str(), body);
    }
}
