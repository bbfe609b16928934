//! A message: what chats are made of.

use serde::{Deserialize, Serialize};

use super::{
    ApplicationId, ChatKey, ChatNumber, MessageNumber, Timestamp,
    text::{check_bytes, check_characters, text_type},
};

text_type! {
    /// What a message says: 1 to 32,768 bytes of UTF-8, not blank.
    MessageBody, at most 32_768 by check_bytes
}

text_type! {
    /// Who a message is from, as the client names them: 1 to 255 characters, not blank.
    Sender, at most 255 by check_characters
}

/// Names one message of the whole system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey {
    /// The application that owns the chat.
    pub application: ApplicationId,
    /// The chat's number there.
    pub chat: ChatNumber,
    /// The message's number in the chat.
    pub message: MessageNumber,
}

impl MessageKey {
    /// The chat that the message is in.
    #[must_use]
    pub fn chat_key(&self) -> ChatKey {
        ChatKey {
            application: self.application,
            chat: self.chat,
        }
    }
}

/// A message as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which message it is.
    pub key: MessageKey,
    /// Who it is from, if the client said so.
    pub sender: Option<Sender>,
    /// What it says.
    pub body: MessageBody,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its body was last changed, or when it was created.
    pub updated_at: Timestamp,
}
