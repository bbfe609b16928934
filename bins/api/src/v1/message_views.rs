//! How messages are shown, found or not, and where they are.

use chat_core::{
    model::{ApplicationToken, ChatNumber, Message},
    service::Hit,
};
use poem_openapi::{Object, types::Example};
use serde::Serialize;

use super::APPLICATIONS;
use crate::{answer::Moment, nullable::Nullable};

/// What the message of the document's examples says.
pub(super) const EXAMPLE_BODY: &str = "It should be with you today.";

/// Who it is from.
pub(super) const EXAMPLE_SENDER: &str = "ada";

/// A message of a chat.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Message", example)]
pub(crate) struct MessageView {
    /// Its number within its chat.
    number: u64,
    /// Who it is from, if that was said.
    sender: Nullable<String>,
    /// What it says.
    body: String,
    /// When it was created.
    created_at: Moment,
    /// When its body was last changed, or when it was created.
    updated_at: Moment,
}

impl Example for MessageView {
    fn example() -> Self {
        let created_at = super::example_moment();
        Self {
            number: 1,
            sender: Some(EXAMPLE_SENDER.to_owned()).into(),
            body: EXAMPLE_BODY.to_owned(),
            created_at,
            updated_at: created_at,
        }
    }
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        Self {
            number: message.key.message.get(),
            sender: message.sender.map(String::from).into(),
            body: message.body.into(),
            created_at: message.created_at.into(),
            updated_at: message.updated_at.into(),
        }
    }
}

/// A message that was found.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Hit", example)]
pub(crate) struct HitView {
    #[oai(flatten)]
    #[serde(flatten)]
    message: MessageView,
    /// How well it matches: above 0, the same on every search engine; 0 without a query.
    matching_score: u64,
    /// The part of the body that matches, as HTML with the matches in `<em>`; null without a query.
    highlight: Nullable<String>,
}

impl Example for HitView {
    fn example() -> Self {
        Self {
            message: MessageView::example(),
            matching_score: 0,
            highlight: None.into(),
        }
    }
}

impl From<Hit> for HitView {
    fn from(hit: Hit) -> Self {
        Self {
            message: hit.message.into(),
            matching_score: hit.score,
            highlight: hit.highlight.into(),
        }
    }
}

/// The path of a chat's messages.
pub(super) fn path_of_messages(token: &ApplicationToken, chat: ChatNumber) -> String {
    format!("{APPLICATIONS}/{}/chats/{chat}/messages", token.as_str())
}
