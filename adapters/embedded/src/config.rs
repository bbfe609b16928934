//! What an operator may set about the embedded set.

use std::path::PathBuf;

/// Settings of the embedded set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// The folder that holds everything; made if it is missing.
    pub folder: PathBuf,
    /// The folder of the search index, which can be built anew from everything else.
    pub search_folder: PathBuf,
    /// How many statements read at once.
    pub readers: u32,
}

impl EmbeddedConfig {
    /// The usual settings for a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            search_folder: folder.join("search"),
            folder,
            readers: 4,
        }
    }
}
