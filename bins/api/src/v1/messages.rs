//! Messages over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{
        ApplicationToken, ChatNumber, Limit, Message, MessageBody, MessageNumber, NumberRange,
        Order, Page, Sender,
    },
    service::{Created, Messages, Services},
};
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use serde::Serialize;

use super::{APPLICATIONS, replayed};
use crate::{
    answer::{Json, Moment, link},
    body::{Form, Payload},
    fields::Fields,
    group::Group,
    key::Key,
    path::Path,
    query::{Bound, Query, Window},
    refusal::{CreatingBelow, Listing, Reading, Refusal},
};

/// Serves messages.
pub struct MessagesApi {
    messages: Arc<Messages>,
}

impl MessagesApi {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            messages: Arc::clone(&services.messages),
        }
    }
}

/// A message that is to be created.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct NewMessage {
    /// What it says: 1 to 32,768 bytes of UTF-8, not blank, kept byte for byte.
    #[oai(validator(min_length = 1, max_length = 32_768))]
    body: String,
    /// Who it is from, as you name them: 1 to 255 characters, not blank.
    #[oai(nullable, validator(min_length = 1, max_length = 255))]
    sender: Option<String>,
}

impl Example for NewMessage {
    fn example() -> Self {
        Self {
            body: "It should be with you today.".to_owned(),
            sender: Some("ada".to_owned()),
        }
    }
}

/// What a client sends.
pub(crate) struct Text {
    sender: Option<Sender>,
    body: MessageBody,
}

impl Form for NewMessage {
    const FIELDS: &'static [&'static str] = &["body", "sender"];

    type Content = Text;

    fn content(fields: &mut Fields) -> Option<Text> {
        let body = fields.required("body", MessageBody::parse);
        let sender = fields.optional("sender", Sender::parse);
        Some(Text {
            sender,
            body: body?,
        })
    }
}

/// A message of a chat.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Message", example)]
pub(crate) struct MessageView {
    /// Its number within its chat.
    number: u64,
    /// Who it is from, if that was said.
    #[oai(nullable)]
    sender: Option<String>,
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
        let NewMessage { body, sender } = NewMessage::example();
        Self {
            number: 1,
            sender,
            body,
            created_at,
            updated_at: created_at,
        }
    }
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        Self {
            number: message.key.message.get(),
            sender: message.sender.map(String::from),
            body: message.body.into(),
            created_at: message.created_at.into(),
            updated_at: message.updated_at.into(),
        }
    }
}

/// A page of messages.
#[derive(Debug, Serialize, Object)]
pub(crate) struct MessagePage {
    /// The messages, by number.
    items: Vec<MessageView>,
    /// The address of the next page; null on the last.
    #[oai(nullable)]
    next: Option<String>,
}

#[derive(ApiResponse)]
enum MessageCreated {
    /// The message.
    #[oai(status = 201)]
    Created(
        Json<MessageView>,
        /// The path of the message.
        #[oai(header = "Location")]
        String,
        /// `true` where an earlier request with the same key created it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

impl MessageCreated {
    fn new(token: &ApplicationToken, chat: ChatNumber, message: Created<Message>) -> Self {
        let number = message.item.key.message;
        let token = token.as_str();
        let location = format!("{APPLICATIONS}/{token}/chats/{chat}/messages/{number}");
        Self::Created(
            Json(message.item.into()),
            location,
            replayed(message.replayed),
        )
    }
}

#[derive(ApiResponse)]
enum MessageRead {
    /// The message.
    #[oai(status = 200)]
    Read(Json<MessageView>),
}

#[derive(ApiResponse)]
enum MessagesListed {
    /// A page of messages.
    #[oai(status = 200)]
    Listed(
        Json<MessagePage>,
        /// The address of the next page, as `rel="next"`.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

impl MessagesListed {
    fn new(
        token: &ApplicationToken,
        chat: ChatNumber,
        page: Page<Message, NumberRange>,
        window: &Window,
    ) -> Self {
        let path = || format!("{APPLICATIONS}/{}/chats/{chat}/messages", token.as_str());
        let next = page.next.map(|rest| window.address(&path(), &rest));
        let items = page.items.into_iter().map(MessageView::from).collect();
        let link = link(next.as_ref());
        Self::Listed(Json(MessagePage { items, next }), link)
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Messages")]
impl MessagesApi {
    /// Creates a message
    ///
    /// It can be read and listed at once.
    #[oai(
        path = "/applications/:token/chats/:chat/messages",
        method = "post",
        operation_id = "createMessage"
    )]
    #[tracing::instrument(name = "api.v1.messages.create", level = "debug", skip_all)]
    async fn create(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        message: Payload<NewMessage>,
        /// Your own name for this request: sent again with the same key and body within 24 hours, it
        /// answers the same message and creates none.
        #[oai(name = "Idempotency-Key")]
        key: Key,
    ) -> Result<MessageCreated, Refusal<CreatingBelow>> {
        let (token, chat) = (token.found()?, chat.found()?);
        let Text { sender, body } = message.0;
        let created = self
            .messages
            .create(&token, chat, sender, body, key.0)
            .await?;
        Ok(MessageCreated::new(&token, chat, created))
    }

    /// Lists a chat's messages by number
    #[oai(
        path = "/applications/:token/chats/:chat/messages",
        method = "get",
        operation_id = "listMessages"
    )]
    #[tracing::instrument(name = "api.v1.messages.list", level = "debug", skip_all)]
    async fn list(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        /// Only numbers above this one.
        after: Query<Bound>,
        /// Only numbers below this one.
        before: Query<Bound>,
        /// How many items at most.
        limit: Query<Limit>,
        /// Which number comes first: `asc` the lowest, `desc` the highest.
        order: Query<Order>,
    ) -> Result<MessagesListed, Refusal<Listing>> {
        let window = Window::judge(after, before, limit, order)?;
        let (token, chat) = (token.found()?, chat.found()?);
        let page = self
            .messages
            .list(&token, chat, window.range(), window.limit)
            .await?;
        Ok(MessagesListed::new(&token, chat, page, &window))
    }

    /// Reads a message
    #[oai(
        path = "/applications/:token/chats/:chat/messages/:message",
        method = "get",
        operation_id = "getMessage"
    )]
    #[tracing::instrument(name = "api.v1.messages.get", level = "debug", skip_all)]
    async fn get(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        /// The message's number.
        message: Path<MessageNumber>,
    ) -> Result<MessageRead, Refusal<Reading>> {
        let (token, chat, number) = (token.found()?, chat.found()?, message.found()?);
        let message = self.messages.get(&token, chat, number).await?;
        Ok(MessageRead::Read(Json(message.into())))
    }
}
