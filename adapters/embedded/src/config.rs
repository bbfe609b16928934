//! What an operator may set about the embedded set.

use std::path::PathBuf;

/// Settings of the embedded set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// The folder that holds everything; made if it is missing.
    pub folder: PathBuf,
    /// How many statements read at once.
    pub readers: u32,
}

impl EmbeddedConfig {
    /// The usual settings for a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            readers: 4,
        }
    }
}
