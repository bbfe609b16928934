//! What is searched for.

use super::{TextError, text};

/// What a user types to find messages; it may be blank.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchText(String);

impl SearchText {
    /// The most characters that it may have.
    pub const MAX: usize = 1_024;

    /// Checks a text.
    ///
    /// # Errors
    ///
    /// Fails on U+0000 and on a text that is too long.
    pub fn parse(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        text::check_nul(&text)?;
        text::check_characters(&text, Self::MAX)?;
        Ok(Self(text))
    }

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether there is nothing but white space, which asks for every message.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}
