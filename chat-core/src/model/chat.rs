//! A chat: what owns messages.

use serde::{Deserialize, Serialize};

use super::{
    ApplicationId, ChatNumber, Timestamp,
    text::{check_characters, text_type},
};

text_type! {
    /// A chat's optional title: 1 to 255 characters, not blank.
    ChatTitle, at most 255 by check_characters
}

/// Names one chat of the whole system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChatKey {
    /// The application that owns it.
    pub application: ApplicationId,
    /// Its number there.
    pub chat: ChatNumber,
}

/// A chat as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Which chat it is.
    pub key: ChatKey,
    /// Its title, if it has one.
    pub title: Option<ChatTitle>,
    /// How many of its messages are stored and not deleted.
    pub messages_count: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its title was last changed, or when it was created.
    pub updated_at: Timestamp,
}
