//! Lists and search across the system, for operators.

use std::sync::Arc;

use chat_core::{
    model::{Chat, Cursor, Limit, Message, SearchText},
    ports::Tokened,
    service::{Chats, Hit, Messages, Search, SearchPlace, Services},
};
use chat_runtime::settings::Admin;
use poem_openapi::{Object, OpenApi, types::Example};
use serde::Serialize;

use super::{
    EXAMPLE_TOKEN, ROOT,
    chats::ChatView,
    message_views::{HitView, MessageView},
};
use crate::{
    admin::Credentials,
    answer::{Listed, PageView},
    error::Problem,
    group::Group,
    query::{HitLimit, Query},
    refusal::{AdminListing, Refusal},
    window::{CursorWindow, SearchWindow},
};

/// Serves what spans all applications.
pub struct AcrossSystemApi {
    chats: Arc<Chats>,
    messages: Arc<Messages>,
    search: Arc<Search>,
    admin: Admin,
}

impl AcrossSystemApi {
    pub(super) fn new(services: &Services, admin: Admin) -> Self {
        Self {
            chats: Arc::clone(&services.chats),
            messages: Arc::clone(&services.messages),
            search: Arc::clone(&services.search),
            admin,
        }
    }
}

/// A chat of some application.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SystemChat", example)]
struct SystemChatView {
    /// The token of its application.
    application_token: String,
    #[oai(flatten)]
    #[serde(flatten)]
    chat: ChatView,
}

impl Example for SystemChatView {
    fn example() -> Self {
        Self {
            application_token: EXAMPLE_TOKEN.to_owned(),
            chat: ChatView::example(),
        }
    }
}

impl From<Tokened<Chat>> for SystemChatView {
    fn from(chat: Tokened<Chat>) -> Self {
        Self {
            application_token: chat.token.as_str().to_owned(),
            chat: chat.item.into(),
        }
    }
}

/// A message of some application.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SystemMessage", example)]
struct SystemMessageView {
    /// The token of its application.
    application_token: String,
    /// The number of its chat.
    chat_number: u64,
    #[oai(flatten)]
    #[serde(flatten)]
    message: MessageView,
}

impl Example for SystemMessageView {
    fn example() -> Self {
        Self {
            application_token: EXAMPLE_TOKEN.to_owned(),
            chat_number: 1,
            message: MessageView::example(),
        }
    }
}

impl From<Tokened<Message>> for SystemMessageView {
    fn from(message: Tokened<Message>) -> Self {
        Self {
            application_token: message.token.as_str().to_owned(),
            chat_number: message.item.key.chat.get(),
            message: message.item.into(),
        }
    }
}

/// A message of some application that was found.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SystemHit", example)]
struct SystemHitView {
    /// The token of its application.
    application_token: String,
    /// The number of its chat.
    chat_number: u64,
    #[oai(flatten)]
    #[serde(flatten)]
    hit: HitView,
}

impl Example for SystemHitView {
    fn example() -> Self {
        Self {
            application_token: EXAMPLE_TOKEN.to_owned(),
            chat_number: 1,
            hit: HitView::example(),
        }
    }
}

impl From<Tokened<Hit>> for SystemHitView {
    fn from(hit: Tokened<Hit>) -> Self {
        Self {
            application_token: hit.token.as_str().to_owned(),
            chat_number: hit.item.message.key.chat.get(),
            hit: hit.item.into(),
        }
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Admin")]
impl AcrossSystemApi {
    /// Lists the chats of all applications (for operators)
    ///
    /// They are ordered by the creation of their applications, then by number. A chat that was created
    /// just now may be missing for a moment.
    #[oai(path = "/chats", method = "get", operation_id = "listAllChats")]
    #[tracing::instrument(name = "api.v1.chats.list_all", level = "debug", skip_all)]
    async fn chats(
        &self,
        credentials: Credentials,
        /// Where the page begins: the value that `next` carries.
        cursor: Query<Cursor>,
        /// How many items at most.
        limit: Query<Limit>,
    ) -> Result<Listed<SystemChatView>, Refusal<AdminListing>> {
        credentials.admit(&self.admin)?;
        let CursorWindow { cursor, limit } = CursorWindow::judge(cursor, limit)?;
        let page = self.chats.list_all(cursor, limit).await;
        let page = page.map_err(|error| Problem::from(error).of_cursor())?;
        let address = |next| CursorWindow::address(limit, &format!("{ROOT}/chats"), &next);
        Ok(PageView::new(page, address).into())
    }

    /// Lists the messages of all applications (for operators)
    ///
    /// They are ordered by the creation of their applications, then by the numbers of their chats and
    /// their own. A message that was created just now may be missing for a moment.
    #[oai(path = "/messages", method = "get", operation_id = "listAllMessages")]
    #[tracing::instrument(name = "api.v1.messages.list_all", level = "debug", skip_all)]
    async fn messages(
        &self,
        credentials: Credentials,
        /// Where the page begins: the value that `next` carries.
        cursor: Query<Cursor>,
        /// How many items at most.
        limit: Query<Limit>,
    ) -> Result<Listed<SystemMessageView>, Refusal<AdminListing>> {
        credentials.admit(&self.admin)?;
        let CursorWindow { cursor, limit } = CursorWindow::judge(cursor, limit)?;
        let page = self.messages.list_all(cursor, limit).await;
        let page = page.map_err(|error| Problem::from(error).of_cursor())?;
        let address = |next| CursorWindow::address(limit, &format!("{ROOT}/messages"), &next);
        Ok(PageView::new(page, address).into())
    }

    /// Searches the messages of all applications, best first (for operators)
    ///
    /// Without a query, or with a blank one, it finds every message, by application, chat and number.
    #[oai(
        path = "/messages/search",
        method = "get",
        operation_id = "searchAllMessages"
    )]
    #[tracing::instrument(name = "api.v1.search.all", level = "debug", skip_all)]
    async fn search(
        &self,
        credentials: Credentials,
        /// What to search for.
        query: Query<SearchText>,
        /// Where the page begins: the value that `next` carries.
        cursor: Query<SearchPlace<Cursor>>,
        /// How many hits at most.
        limit: Query<HitLimit>,
    ) -> Result<Listed<SystemHitView>, Refusal<AdminListing>> {
        credentials.admit(&self.admin)?;
        let window = SearchWindow::judge(query, cursor, limit)?;
        let SearchWindow {
            text,
            cursor,
            limit,
        } = &window;
        let page = self
            .search
            .across_system(text, cursor.clone(), *limit)
            .await;
        let page = page.map_err(|error| Problem::from(error).of_cursor())?;
        let address = |next| window.address(&format!("{ROOT}/messages/search"), &next);
        Ok(PageView::new(page, address).into())
    }
}
