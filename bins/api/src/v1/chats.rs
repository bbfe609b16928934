//! Chats over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{ApplicationToken, Chat, ChatNumber, ChatTitle, Limit, Order},
    service::{Chats, Created, Services},
};
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use serde::Serialize;

use super::{APPLICATIONS, replayed};
use crate::{
    answer::{Deleted, Json, Listed, Moment, PageView},
    body::{Form, Payload},
    fields::Fields,
    group::Group,
    key::Key,
    nullable::Nullable,
    path::Path,
    query::{Bound, Query},
    refusal::{Changing, CreatingBelow, Listing, Reading, Refusal},
    window::Window,
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
    /// Its title, if it is to have one: 1 to 255 characters, none U+0000, not blank.
    #[oai(nullable, validator(min_length = 1, max_length = 255, pattern = r"\S"))]
    title: Option<String>,
}

impl Example for NewChat {
    fn example() -> Self {
        Self {
            title: Some("Where is my order?".to_owned()),
        }
    }
}

/// What a client says about its new chat.
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

/// A chat's new title.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct ChatChange {
    /// Its title: 1 to 255 characters, none U+0000, not blank; null for none.
    #[oai(validator(min_length = 1, max_length = 255, pattern = r"\S"))]
    title: Nullable<String>,
}

impl Example for ChatChange {
    fn example() -> Self {
        Self {
            title: Some("Solved: where is my order?".to_owned()).into(),
        }
    }
}

impl Form for ChatChange {
    const FIELDS: &'static [&'static str] = &["title"];
    const TAKES_KEY: bool = false;

    type Content = Heading;

    fn content(fields: &mut Fields) -> Option<Heading> {
        Some(Heading {
            title: fields.nullable("title", ChatTitle::parse),
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
    title: Nullable<String>,
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
            title: NewChat::example().title.into(),
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
            title: chat.title.map(String::from).into(),
            messages_count: chat.messages_count,
            created_at: chat.created_at.into(),
            updated_at: chat.updated_at.into(),
        }
    }
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
    /// The chat as it is now.
    #[oai(status = 200)]
    Read(Json<ChatView>),
}

/// The path of an application's chats.
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
    ) -> Result<Listed<ChatView>, Refusal<Listing>> {
        let window = Window::judge(after, before, limit, order)?;
        let token = token.found()?;
        let page = self
            .chats
            .list(&token, window.range(), window.limit)
            .await?;
        let address = |rest| window.address(&path(&token), &rest);
        Ok(PageView::new(page, address).into())
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

    /// Gives a chat another title, or none
    #[oai(
        path = "/applications/:token/chats/:chat",
        method = "patch",
        operation_id = "updateChat"
    )]
    #[tracing::instrument(name = "api.v1.chats.update", level = "debug", skip_all)]
    async fn update(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        change: Payload<ChatChange>,
    ) -> Result<ChatRead, Refusal<Changing>> {
        let (token, number) = (token.found()?, chat.found()?);
        let chat = self.chats.update(&token, number, change.0.title).await?;
        Ok(ChatRead::Read(Json(chat.into())))
    }

    /// Gives a chat another title, or none (the same as by PATCH)
    #[oai(
        path = "/applications/:token/chats/:chat",
        method = "put",
        operation_id = "putChat"
    )]
    async fn put(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        change: Payload<ChatChange>,
    ) -> Result<ChatRead, Refusal<Changing>> {
        self.update(token, chat, change).await
    }

    /// Deletes a chat with its messages
    ///
    /// Its number is not given again.
    #[oai(
        path = "/applications/:token/chats/:chat",
        method = "delete",
        operation_id = "deleteChat"
    )]
    #[tracing::instrument(name = "api.v1.chats.delete", level = "debug", skip_all)]
    async fn delete(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
    ) -> Result<Deleted, Refusal<Reading>> {
        self.chats.delete(&token.found()?, chat.found()?).await?;
        Ok(Deleted::Deleted)
    }
}
