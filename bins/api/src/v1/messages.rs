//! Messages over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{
        ApplicationToken, ChatNumber, Limit, Message, MessageBody, MessageNumber, Order,
        SearchText, Sender,
    },
    service::{Created, Messages, Search, SearchPlace, ServiceError, Services},
};
use poem_openapi::{ApiResponse, Object, OpenApi, Union, types::Example};
use serde::Serialize;

use super::{
    message_views::{EXAMPLE_BODY, EXAMPLE_SENDER, HitView, MessageView, path_of_messages},
    replayed,
};
use crate::{
    answer::{Deleted, Json, PageView},
    body::{Form, Payload},
    fields::Fields,
    group::Group,
    key::Key,
    path::Path,
    query::{Bound, Query},
    refusal::{Changing, CreatingBelow, Listing, Reading, Refusal},
    window::{SearchWindow, Window},
};

/// Serves messages.
pub struct MessagesApi {
    messages: Arc<Messages>,
    search: Arc<Search>,
}

impl MessagesApi {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            messages: Arc::clone(&services.messages),
            search: Arc::clone(&services.search),
        }
    }

    /// Answers a search that came as a list with a `query`.
    async fn hits(
        &self,
        token: ApplicationToken,
        chat: ChatNumber,
        window: SearchWindow<SearchPlace<MessageNumber>>,
    ) -> Result<MessagesListed, ServiceError> {
        let page = window.search_chat(&self.search, &token, chat).await?;
        let address = |next| window.address(&path_of_messages(&token, chat), &next);
        Ok(PageView::<HitView>::new(page, address).into())
    }
}

/// A message that is to be created.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct NewMessage {
    /// What it says: 1 to 32,768 bytes of UTF-8, none U+0000, not blank, kept byte for byte.
    #[oai(validator(min_length = 1, max_length = 32_768, pattern = r"\S"))]
    body: String,
    /// Who it is from, as you name them: 1 to 255 characters, none U+0000, not blank.
    #[oai(nullable, validator(min_length = 1, max_length = 255, pattern = r"\S"))]
    sender: Option<String>,
}

impl Example for NewMessage {
    fn example() -> Self {
        Self {
            body: EXAMPLE_BODY.to_owned(),
            sender: Some(EXAMPLE_SENDER.to_owned()),
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

/// A message's new body.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct MessageChange {
    /// What it says from now on: 1 to 32,768 bytes of UTF-8, none U+0000, not blank, kept byte for byte.
    #[oai(validator(min_length = 1, max_length = 32_768, pattern = r"\S"))]
    body: String,
}

impl Example for MessageChange {
    fn example() -> Self {
        Self {
            body: "It should be with you tomorrow.".to_owned(),
        }
    }
}

impl Form for MessageChange {
    const FIELDS: &'static [&'static str] = &["body"];
    const TAKES_KEY: bool = false;

    type Content = MessageBody;

    fn content(fields: &mut Fields) -> Option<MessageBody> {
        fields.required("body", MessageBody::parse)
    }
}

/// A page of messages, or of hits where the request has a `query`.
#[derive(Debug, Serialize, Union)]
#[serde(untagged)]
enum MessagesOrHits {
    Hits(PageView<HitView>),
    Messages(PageView<MessageView>),
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
        let location = format!(
            "{}/{}",
            path_of_messages(token, chat),
            message.item.key.message
        );
        Self::Created(
            Json(message.item.into()),
            location,
            replayed(message.replayed),
        )
    }
}

#[derive(ApiResponse)]
enum MessageRead {
    /// The message as it is now.
    #[oai(status = 200)]
    Read(Json<MessageView>),
}

#[derive(ApiResponse)]
enum MessagesListed {
    /// A page of messages; of hits where the request has a `query`.
    #[oai(status = 200)]
    Listed(
        Json<MessagesOrHits>,
        /// The address of the next page, as `rel="next"`.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

impl From<PageView<MessageView>> for MessagesListed {
    fn from(page: PageView<MessageView>) -> Self {
        let link = page.link();
        Self::Listed(Json(MessagesOrHits::Messages(page)), link)
    }
}

impl From<PageView<HitView>> for MessagesListed {
    fn from(page: PageView<HitView>) -> Self {
        let link = page.link();
        Self::Listed(Json(MessagesOrHits::Hits(page)), link)
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
        let (token, chat) = (token.found()?, chat.or_nobodys());
        let Text { sender, body } = message.0;
        let created = self
            .messages
            .create(&token, chat, sender, body, key.0)
            .await?;
        Ok(MessageCreated::new(&token, chat, created))
    }

    /// Lists a chat's messages by number
    ///
    /// With `query` it is the same as the search, and takes the search's parameters.
    #[oai(
        path = "/applications/:token/chats/:chat/messages",
        method = "get",
        operation_id = "listMessages"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
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
        /// How many items at most; with `query` 100 at most, and 20 by default.
        limit: Query<Limit>,
        /// Which number comes first: `asc` the lowest, `desc` the highest.
        order: Query<Order>,
        /// What to search for; `after`, `before` and `order` are ignored then.
        query: Query<SearchText>,
        /// With `query`: where the page begins, the value that `next` carries.
        cursor: Query<SearchPlace<MessageNumber>>,
    ) -> Result<MessagesListed, Refusal<Listing>> {
        if query.is_given() {
            let window = SearchWindow::judge(query, cursor, limit.as_other())?;
            return Ok(self.hits(token.found()?, chat.found()?, window).await?);
        }
        let window = Window::judge(after, before, limit, order)?;
        let (token, chat) = (token.found()?, chat.found()?);
        let page = self
            .messages
            .list(&token, chat, window.range(), window.limit)
            .await?;
        let address = |rest| window.address(&path_of_messages(&token, chat), &rest);
        Ok(PageView::<MessageView>::new(page, address).into())
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

    /// Changes what a message says
    #[oai(
        path = "/applications/:token/chats/:chat/messages/:message",
        method = "patch",
        operation_id = "updateMessage"
    )]
    #[tracing::instrument(name = "api.v1.messages.update", level = "debug", skip_all)]
    async fn update(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        /// The message's number.
        message: Path<MessageNumber>,
        change: Payload<MessageChange>,
    ) -> Result<MessageRead, Refusal<Changing>> {
        let (token, chat, number) = (token.found()?, chat.found()?, message.found()?);
        let message = self
            .messages
            .update(&token, chat, number, &change.0)
            .await?;
        Ok(MessageRead::Read(Json(message.into())))
    }

    /// Changes what a message says (the same as by PATCH)
    #[oai(
        path = "/applications/:token/chats/:chat/messages/:message",
        method = "put",
        operation_id = "putMessage"
    )]
    async fn put(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        /// The message's number.
        message: Path<MessageNumber>,
        change: Payload<MessageChange>,
    ) -> Result<MessageRead, Refusal<Changing>> {
        self.update(token, chat, message, change).await
    }

    /// Deletes a message
    ///
    /// Its number is not given again. Of several deletions at once one is answered 204.
    #[oai(
        path = "/applications/:token/chats/:chat/messages/:message",
        method = "delete",
        operation_id = "deleteMessage"
    )]
    #[tracing::instrument(name = "api.v1.messages.delete", level = "debug", skip_all)]
    async fn delete(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        /// The message's number.
        message: Path<MessageNumber>,
    ) -> Result<Deleted, Refusal<Reading>> {
        let (token, chat, number) = (token.found()?, chat.found()?, message.found()?);
        self.messages.delete(&token, chat, number).await?;
        Ok(Deleted::Deleted)
    }
}
