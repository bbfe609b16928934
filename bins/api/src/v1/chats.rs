//! Chats over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{ApplicationToken, Chat, ChatNumber, ChatTitle, Limit, NumberRange, Order, Page},
    service::{Chats, Created, Services},
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

/// Serves chats.
pub struct ChatsApi {
    chats: Arc<Chats>,
}

impl ChatsApi {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            chats: Arc::clone(&services.chats),
        }
    }
}

/// A chat that is to be created.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct NewChat {
    /// Its title, if it is to have one: 1 to 255 characters, not blank.
    #[oai(nullable, validator(min_length = 1, max_length = 255))]
    title: Option<String>,
}

impl Example for NewChat {
    fn example() -> Self {
        Self {
            title: Some("Where is my order?".to_owned()),
        }
    }
}

/// What a client wants on its chat.
pub(crate) struct Heading {
    title: Option<ChatTitle>,
}

impl Form for NewChat {
    const FIELDS: &'static [&'static str] = &["title"];
    const MAY_BE_EMPTY: bool = true;

    type Content = Heading;

    fn content(fields: &mut Fields) -> Option<Heading> {
        Some(Heading {
            title: fields.optional("title", ChatTitle::parse),
        })
    }
}

/// A chat of an application.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Chat", example)]
pub(crate) struct ChatView {
    /// Its number within its application.
    number: u64,
    /// Its title, if it has one.
    #[oai(nullable)]
    title: Option<String>,
    /// How many messages it has.
    messages_count: u64,
    /// When it was created.
    created_at: Moment,
    /// When its title was last changed, or when it was created.
    updated_at: Moment,
}

impl Example for ChatView {
    fn example() -> Self {
        let created_at = super::example_moment();
        Self {
            number: 1,
            title: NewChat::example().title,
            messages_count: 3,
            created_at,
            updated_at: created_at,
        }
    }
}

impl From<Chat> for ChatView {
    fn from(chat: Chat) -> Self {
        Self {
            number: chat.key.chat.get(),
            title: chat.title.map(String::from),
            messages_count: chat.messages_count,
            created_at: chat.created_at.into(),
            updated_at: chat.updated_at.into(),
        }
    }
}

/// A page of chats.
#[derive(Debug, Serialize, Object)]
pub(crate) struct ChatPage {
    /// The chats, by number.
    items: Vec<ChatView>,
    /// The address of the next page; null on the last.
    #[oai(nullable)]
    next: Option<String>,
}

#[derive(ApiResponse)]
enum ChatCreated {
    /// The chat.
    #[oai(status = 201)]
    Created(
        Json<ChatView>,
        /// The path of the chat.
        #[oai(header = "Location")]
        String,
        /// `true` where an earlier request with the same key created it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

impl ChatCreated {
    fn new(token: &ApplicationToken, chat: Created<Chat>) -> Self {
        let location = format!("{}/{}", path(token), chat.item.key.chat);
        Self::Created(Json(chat.item.into()), location, replayed(chat.replayed))
    }
}

#[derive(ApiResponse)]
enum ChatRead {
    /// The chat.
    #[oai(status = 200)]
    Read(Json<ChatView>),
}

#[derive(ApiResponse)]
enum ChatsListed {
    /// A page of chats.
    #[oai(status = 200)]
    Listed(
        Json<ChatPage>,
        /// The address of the next page, as `rel="next"`.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

impl ChatsListed {
    fn new(token: &ApplicationToken, page: Page<Chat, NumberRange>, window: &Window) -> Self {
        let next = page.next.map(|rest| window.address(&path(token), &rest));
        let items = page.items.into_iter().map(ChatView::from).collect();
        let link = link(next.as_ref());
        Self::Listed(Json(ChatPage { items, next }), link)
    }
}

/// Where an application's chats are.
fn path(token: &ApplicationToken) -> String {
    format!("{APPLICATIONS}/{}/chats", token.as_str())
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Chats")]
impl ChatsApi {
    /// Creates a chat
    ///
    /// It needs no body. It can be read, listed and written into at once.
    #[oai(
        path = "/applications/:token/chats",
        method = "post",
        operation_id = "createChat"
    )]
    #[tracing::instrument(name = "api.v1.chats.create", level = "debug", skip_all)]
    async fn create(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        chat: Payload<NewChat>,
        /// Your own name for this request: sent again with the same key and body within 24 hours, it
        /// answers the same chat and creates none.
        #[oai(name = "Idempotency-Key")]
        key: Key,
    ) -> Result<ChatCreated, Refusal<CreatingBelow>> {
        let token = token.found()?;
        let created = self.chats.create(&token, chat.0.title, key.0).await?;
        Ok(ChatCreated::new(&token, created))
    }

    /// Lists an application's chats by number
    #[oai(
        path = "/applications/:token/chats",
        method = "get",
        operation_id = "listChats"
    )]
    #[tracing::instrument(name = "api.v1.chats.list", level = "debug", skip_all)]
    async fn list(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// Only numbers above this one.
        after: Query<Bound>,
        /// Only numbers below this one.
        before: Query<Bound>,
        /// How many items at most.
        limit: Query<Limit>,
        /// Which number comes first: `asc` the lowest, `desc` the highest.
        order: Query<Order>,
    ) -> Result<ChatsListed, Refusal<Listing>> {
        let window = Window::judge(after, before, limit, order)?;
        let token = token.found()?;
        let page = self
            .chats
            .list(&token, window.range(), window.limit)
            .await?;
        Ok(ChatsListed::new(&token, page, &window))
    }

    /// Reads a chat
    #[oai(
        path = "/applications/:token/chats/:chat",
        method = "get",
        operation_id = "getChat"
    )]
    #[tracing::instrument(name = "api.v1.chats.get", level = "debug", skip_all)]
    async fn get(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
    ) -> Result<ChatRead, Refusal<Reading>> {
        let chat = self.chats.get(&token.found()?, chat.found()?).await?;
        Ok(ChatRead::Read(Json(chat.into())))
    }
}
