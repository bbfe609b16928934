//! Real chat as test data: many chats, each with its messages in the order in which they were typed.

use std::{
    collections::HashMap,
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::program::workspace;

/// All chats of a corpus, in the order in which they first appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// The chats.
    pub chats: Vec<CorpusChat>,
}

/// One chat of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusChat {
    /// Its name, which becomes the title.
    pub name: String,
    /// Its messages, the first of which becomes number 1.
    pub messages: Vec<CorpusMessage>,
}

/// One message of a corpus, in the form in which it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CorpusMessage {
    /// Who wrote it.
    pub sender: String,
    /// What was written, byte for byte.
    pub body: String,
}

#[derive(Deserialize)]
struct Line {
    chat: String,
    sender: String,
    body: String,
}

impl Corpus {
    /// Reads a gzip file with one JSON object a line: `chat`, `sender`, `body`.
    ///
    /// # Errors
    ///
    /// Fails with what to do when the file is not there, and with the line that cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        ensure!(
            file.is_file(),
            "the corpus is not there: `{}` is no file (name another in CHAT_CORPUS, or as FILE)",
            file.display()
        );
        let opened = File::open(file).with_context(|| format!("opening `{}`", file.display()))?;
        let lines = BufReader::new(MultiGzDecoder::new(BufReader::new(opened))).lines();
        let mut corpus = Self::default();
        let mut positions = HashMap::new();
        for (index, line) in lines.enumerate() {
            let place = || format!("line {} of `{}`", index + 1, file.display());
            let line = line.with_context(place)?;
            let Line { chat, sender, body } = serde_json::from_str(&line).with_context(place)?;
            let position = *positions.entry(chat).or_insert_with_key(|name| {
                corpus.chats.push(CorpusChat {
                    name: name.clone(),
                    messages: Vec::new(),
                });
                corpus.chats.len() - 1
            });
            corpus.chats[position]
                .messages
                .push(CorpusMessage { sender, body });
        }
        Ok(corpus)
    }

    /// Keeps the first `messages` messages, chat by chat, and drops the chats that are left empty.
    #[must_use]
    pub fn up_to(mut self, messages: usize) -> Self {
        let mut left = messages;
        for chat in &mut self.chats {
            chat.messages.truncate(left);
            left -= chat.messages.len();
        }
        self.chats.retain(|chat| !chat.messages.is_empty());
        self
    }

    /// Returns the file that the tests use: `CHAT_CORPUS`, else beside the workspace.
    #[must_use]
    pub fn file() -> PathBuf {
        env::var_os("CHAT_CORPUS").map_or_else(
            || workspace().join("../shared/corpus/ubuntu-irc.ndjson.gz"),
            PathBuf::from,
        )
    }

    /// Counts the messages of all chats.
    #[must_use]
    pub fn messages_count(&self) -> usize {
        self.chats.iter().map(|chat| chat.messages.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn lines_are_gathered_by_chat_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("small.gz");
        let mut gzip = GzEncoder::new(File::create(&file).unwrap(), Compression::fast());
        for (chat, body) in [("b", "one"), ("a", "two"), ("b", "👍")] {
            writeln!(
                gzip,
                r#"{{"chat": "{chat}", "sender": "ada", "body": "{body}"}}"#
            )
            .unwrap();
        }
        gzip.finish().unwrap();
        let corpus = Corpus::read(&file).unwrap();
        let names: Vec<&str> = corpus.chats.iter().map(|chat| chat.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(corpus.chats[0].messages[1].body, "👍");
        assert_eq!(corpus.messages_count(), 3);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Corpus::read(Path::new("nowhere.gz")).unwrap_err();
        assert!(
            error.to_string().contains("`nowhere.gz` is no file"),
            "{error}"
        );
    }
}
