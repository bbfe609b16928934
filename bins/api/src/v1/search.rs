//! Search in a chat over HTTP.

use std::sync::Arc;

use chat_core::{
    model::{ApplicationToken, ChatNumber, MessageNumber, Page, SearchText},
    service::{Hit, Search, SearchPlace, ServiceError, Services},
};
use poem_openapi::{Object, OpenApi, types::Example};

use super::message_views::{HitView, path_of_messages};
use crate::{
    answer::{Listed, PageView},
    body::{Form, Payload},
    fields::Fields,
    group::Group,
    path::Path,
    query::{HitLimit, Parameter as _, Query},
    refusal::{Changing, Listing, Refusal},
    window::SearchWindow,
};

/// Serves search in chats.
pub struct SearchApi {
    search: Arc<Search>,
}

impl SearchApi {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            search: Arc::clone(&services.search),
        }
    }

    /// Answers the page of hits that a window shows.
    async fn page(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        window: &SearchWindow<SearchPlace<MessageNumber>>,
    ) -> Result<Listed<HitView>, ServiceError> {
        let page = window.search_chat(&self.search, token, chat).await?;
        let search = format!("{}/search", path_of_messages(token, chat));
        Ok(PageView::new(page, |next| window.address(&search, &next)).into())
    }
}

impl SearchWindow<SearchPlace<MessageNumber>> {
    /// Searches a chat.
    pub(super) async fn search_chat(
        &self,
        search: &Search,
        token: &ApplicationToken,
        chat: ChatNumber,
    ) -> Result<Page<Hit, SearchPlace<MessageNumber>>, ServiceError> {
        search
            .in_chat(token, chat, &self.text, self.cursor.clone(), self.limit)
            .await
    }
}

/// A search.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct NewSearch {
    /// What to search for: at most 1,024 characters; left out, null or blank it finds every message.
    #[oai(nullable, validator(max_length = 1_024, pattern = r"^[^\x00]*$"))]
    query: Option<String>,
    /// How many hits at most: 1 to 100, 20 by default.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "100")))]
    limit: Option<u64>,
}

impl Example for NewSearch {
    fn example() -> Self {
        Self {
            query: Some("where is my order".to_owned()),
            limit: Some(10),
        }
    }
}

impl Form for NewSearch {
    const FIELDS: &'static [&'static str] = &["query", "limit"];
    const TAKES_KEY: bool = false;

    type Content = SearchWindow<SearchPlace<MessageNumber>>;

    fn content(fields: &mut Fields) -> Option<Self::Content> {
        let text = fields.optional("query", SearchText::parse);
        let limit = fields.number("limit", HitLimit::WANTED, HitLimit::try_new);
        Some(SearchWindow {
            text: text.unwrap_or_default(),
            cursor: None,
            limit: limit.unwrap_or_default().0,
        })
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Search")]
impl SearchApi {
    /// Searches a chat's messages, best first
    ///
    /// Without a query, or with a blank one, it finds every message, by number.
    #[oai(
        path = "/applications/:token/chats/:chat/messages/search",
        method = "get",
        operation_id = "searchMessages"
    )]
    #[tracing::instrument(name = "api.v1.search.get", level = "debug", skip_all)]
    async fn get(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        /// What to search for.
        query: Query<SearchText>,
        /// Where the page begins: the value that `next` carries.
        cursor: Query<SearchPlace<MessageNumber>>,
        /// How many hits at most.
        limit: Query<HitLimit>,
    ) -> Result<Listed<HitView>, Refusal<Listing>> {
        let window = SearchWindow::judge(query, cursor, limit)?;
        Ok(self.page(&token.found()?, chat.found()?, &window).await?)
    }

    /// Searches a chat's messages by a query in the body
    ///
    /// Its `next` is the address of a GET.
    #[oai(
        path = "/applications/:token/chats/:chat/messages/search",
        method = "post",
        operation_id = "postSearch"
    )]
    #[tracing::instrument(name = "api.v1.search.post", level = "debug", skip_all)]
    async fn post(
        &self,
        /// The application's token.
        token: Path<ApplicationToken>,
        /// The chat's number.
        chat: Path<ChatNumber>,
        search: Payload<NewSearch>,
    ) -> Result<Listed<HitView>, Refusal<Changing>> {
        Ok(self.page(&token.found()?, chat.found()?, &search.0).await?)
    }
}
