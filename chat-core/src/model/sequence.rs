//! What is numbered: an application's chats, and a chat's messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ApplicationId, ChatKey};

/// A run of numbers 1, 2, 3, … that are each given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sequence {
    /// The chats of an application.
    Chats(ApplicationId),
    /// The messages of a chat.
    Messages(ChatKey),
}

impl Sequence {
    /// The application that the sequence lies in, by which everything is sharded.
    #[must_use]
    pub fn application(&self) -> ApplicationId {
        match self {
            Self::Chats(application) => *application,
            Self::Messages(chat) => chat.application,
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chats(application) => write!(f, "chats of {application}"),
            Self::Messages(chat) => write!(f, "messages of {}/{}", chat.application, chat.chat),
        }
    }
}
