//! A creation on its way: accepted, numbered, and perhaps not stored yet.

use serde::{Deserialize, Serialize};

use super::{
    ApplicationId, Chat, ChatKey, ChatNumber, ChatTitle, Epoch, Message, MessageBody, MessageKey,
    Number, Sender, Sequence, Timestamp, Uid,
};

/// What a client wants created, before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Distinguishes this creation from any other that might claim its number.
    pub uid: Uid,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// What it is.
    pub content: Content,
}

/// The part of a creation that the client decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A chat of an application.
    Chat {
        /// The application that owns it.
        application: ApplicationId,
        /// Its title, if it has one.
        title: Option<ChatTitle>,
    },
    /// A message of a chat.
    Message {
        /// The chat that it is in.
        chat: ChatKey,
        /// Who it is from, if the client said so.
        sender: Option<Sender>,
        /// What it says.
        body: MessageBody,
    },
}

/// A draft with its number, kept for good once the caller has been told the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Its number within [`Draft::sequence`].
    pub number: Number,
    /// The epoch of the counter that gave the number.
    pub epoch: Epoch,
    /// What was created.
    pub draft: Draft,
}

/// Why bytes from a queue are not a draft.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are not the JSON object that [`Draft::encode`] writes.
    #[error("the entry is not a creation")]
    Malformed(#[source] serde_json::Error),
    /// A newer program wrote them.
    #[error("the entry has format version {0}, but this program reads only up to {VERSION}")]
    Newer(u32),
}

/// The format version that [`Draft::encode`] writes.
const VERSION: u32 = 1;

impl Content {
    /// The sequence that numbers it.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        match self {
            Self::Chat { application, .. } => Sequence::Chats(*application),
            Self::Message { chat, .. } => Sequence::Messages(*chat),
        }
    }
}

impl Draft {
    /// The sequence that numbers it.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.content.sequence()
    }

    /// How many bytes its texts have, which is nearly all that it takes in memory.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match &self.content {
            Content::Chat { title, .. } => title.as_ref().map_or(0, |title| title.as_str().len()),
            Content::Message { sender, body, .. } => {
                body.as_str().len() + sender.as_ref().map_or(0, |sender| sender.as_str().len())
            }
        }
    }

    /// Encodes the draft, for counters and queues that keep it outside the process.
    ///
    /// # Panics
    ///
    /// Never: what a draft holds can always be written as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (application, chat, title, sender, body) = match &self.content {
            Content::Chat { application, title } => (*application, None, title.clone(), None, None),
            Content::Message { chat, sender, body } => (
                chat.application,
                Some(chat.chat),
                None,
                sender.clone(),
                Some(body.clone()),
            ),
        };
        let wire = Wire {
            version: VERSION,
            uid: self.uid,
            created_at: self.created_at,
            application,
            chat,
            title,
            sender,
            body,
        };
        serde_json::to_vec(&wire).expect("a struct of texts and numbers is always JSON")
    }

    /// Decodes what [`encode`](Self::encode) wrote, in this or an older version of the program.
    ///
    /// # Errors
    ///
    /// Fails on anything else, and on what a newer program wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let stamp: Stamp = serde_json::from_slice(bytes).map_err(DecodeError::Malformed)?;
        if stamp.version > VERSION {
            return Err(DecodeError::Newer(stamp.version));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(DecodeError::Malformed)?;
        let content = match (wire.chat, wire.body) {
            (Some(chat), Some(body)) => Content::Message {
                chat: ChatKey {
                    application: wire.application,
                    chat,
                },
                sender: wire.sender,
                body,
            },
            (None, None) => Content::Chat {
                application: wire.application,
                title: wire.title,
            },
            _ => {
                let reason = "a message has both `chat` and `body`, a chat neither";
                return Err(DecodeError::Malformed(serde::de::Error::custom(reason)));
            }
        };
        Ok(Self {
            uid: wire.uid,
            created_at: wire.created_at,
            content,
        })
    }
}

/// The wire format of a draft; fields may be added, never changed.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "v")]
    version: u32,
    uid: Uid,
    created_at: Timestamp,
    application: ApplicationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<ChatNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<ChatTitle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Sender>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<MessageBody>,
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Stamp {
    #[serde(rename = "v")]
    version: u32,
}

impl Creation {
    /// The sequence that numbered it.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.draft.sequence()
    }

    /// The creation as a chat that nobody has changed yet; `None` for a message.
    #[must_use]
    pub fn as_chat(&self) -> Option<Chat> {
        match &self.draft.content {
            Content::Chat { application, title } => Some(Chat {
                key: ChatKey {
                    application: *application,
                    chat: self.number.into(),
                },
                title: title.clone(),
                messages_count: 0,
                created_at: self.draft.created_at,
                updated_at: self.draft.created_at,
            }),
            Content::Message { .. } => None,
        }
    }

    /// The creation as a message that nobody has changed yet; `None` for a chat.
    #[must_use]
    pub fn as_message(&self) -> Option<Message> {
        match &self.draft.content {
            Content::Message { chat, sender, body } => Some(Message {
                key: MessageKey {
                    application: chat.application,
                    chat: chat.chat,
                    message: self.number.into(),
                },
                sender: sender.clone(),
                body: body.clone(),
                created_at: self.draft.created_at,
                updated_at: self.draft.created_at,
            }),
            Content::Chat { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts() -> [Draft; 2] {
        let application = ApplicationId::new(7);
        let chat = ChatKey {
            application,
            chat: ChatNumber::try_new(3).unwrap(),
        };
        let body = MessageBody::parse("\u{1F680} \"quoted\" \\ \u{7f}").unwrap();
        let contents = [
            Content::Chat {
                application,
                title: None,
            },
            Content::Message {
                chat,
                sender: Sender::parse("ann").ok(),
                body,
            },
        ];
        contents.map(|content| Draft {
            uid: Uid::new(u128::MAX - 5),
            created_at: Timestamp::from_micros(1_234_567),
            content,
        })
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for draft in drafts() {
            assert_eq!(Draft::decode(&draft.encode()).unwrap(), draft);
        }
    }

    #[test]
    fn garbage_and_newer_formats_are_told_apart() {
        assert!(matches!(
            Draft::decode(b"\xff{}"),
            Err(DecodeError::Malformed(_))
        ));
        assert!(matches!(
            Draft::decode(br#"{"v":1}"#),
            Err(DecodeError::Malformed(_))
        ));
        assert!(matches!(
            Draft::decode(br#"{"v":2,"x":[]}"#),
            Err(DecodeError::Newer(2))
        ));
    }
}
