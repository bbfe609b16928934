//! Search: finding messages, and the state of what finds them.

use std::sync::Arc;

use super::{Chats, Messages, ServiceError};
use crate::{
    PortError, PortErrorKind,
    model::{
        ApplicationToken, ChatNumber, Cursor, JobName, JobProgress, Limit, Message, MessageNumber,
        NumberRange, Order, Page, SearchText,
    },
    ports::{Ports, Repository, Tokened},
    text::words,
};

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The message as it is now.
    pub message: Message,
    /// How well it matches; 0 where nothing was asked for.
    pub score: u64,
    /// The part that matches, with the matches marked; `None` where nothing was asked for.
    pub highlight: Option<String>,
}

impl From<Message> for Hit {
    /// A message among all messages, where nothing was asked for.
    fn from(message: Message) -> Self {
        Self {
            message,
            score: 0,
            highlight: None,
        }
    }
}

/// Finds messages.
///
/// There is no search index yet: a text that asks for words is answered by
/// [`PortErrorKind::Unavailable`].
pub struct Search {
    repository: Arc<dyn Repository>,
    chats: Arc<Chats>,
    messages: Arc<Messages>,
}

impl Search {
    /// The most hits of a page.
    pub const MAX_HITS: usize = 100;

    pub(super) fn new(ports: &Ports, chats: &Arc<Chats>, messages: &Arc<Messages>) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            chats: Arc::clone(chats),
            messages: Arc::clone(messages),
        }
    }

    /// Finds messages of a chat, best first; a blank text finds every message, by number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] where the chat is not there, or when a backend does.
    pub async fn in_chat(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        text: &SearchText,
        after: Option<MessageNumber>,
        limit: Limit,
    ) -> Result<Page<Hit, MessageNumber>, ServiceError> {
        let limit = limit.at_most(Self::MAX_HITS);
        if !text.is_blank() {
            self.chats.get(token, chat).await?;
            return found_by(text);
        }
        let range = NumberRange::new(after.map(MessageNumber::get), None, Order::Ascending);
        let page = self.messages.list(token, chat, range, limit).await?;
        let last_read = |rest: NumberRange| MessageNumber::try_new(rest.first() - 1).ok();
        Ok(Page {
            next: page.next.and_then(last_read),
            items: page.items.into_iter().map(Hit::from).collect(),
        })
    }

    /// Finds messages of the whole system, best first; a blank text finds every stored message, by
    /// application, chat and number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] on a cursor that names no message, or when a backend does.
    pub async fn across_system(
        &self,
        text: &SearchText,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Tokened<Hit>, Cursor>, ServiceError> {
        if !text.is_blank() {
            return found_by(text);
        }
        let limit = limit.at_most(Self::MAX_HITS);
        let page = self.messages.list_all(after, limit).await?;
        let hit = |found: Tokened<Message>| Tokened {
            token: found.token,
            item: found.item.into(),
        };
        Ok(Page {
            items: page.items.into_iter().map(hit).collect(),
            next: page.next,
        })
    }

    /// Begins to fill the index anew, unless that is going on, and tells how far it is.
    ///
    /// # Errors
    ///
    /// Fails when a backend does.
    #[expect(clippy::unused_async, reason = "there is no index to fill yet")]
    pub async fn rebuild(&self) -> Result<JobProgress, ServiceError> {
        Err(no_index("rebuild the index").into())
    }

    /// Tells how far the last rebuild of the index came; `None` before the first.
    ///
    /// # Errors
    ///
    /// Fails when a backend does.
    pub async fn rebuild_progress(&self) -> Result<Option<JobProgress>, ServiceError> {
        let job = self.repository.job(JobName::RebuildSearch).await?;
        Ok(job.map(|job| job.progress))
    }

    /// Asks the index for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when the index does not answer.
    #[expect(clippy::unused_async, reason = "there is no index to ask yet")]
    pub async fn check(&self) -> Result<(), PortError> {
        Err(no_index("answer"))
    }
}

/// What a text finds that is not blank.
fn found_by<Item, Next>(text: &SearchText) -> Result<Page<Item, Next>, ServiceError> {
    if words(text.as_str()).is_empty() {
        // Nothing in it can be searched for.
        return Ok(Page {
            items: Vec::new(),
            next: None,
        });
    }
    Err(no_index("find messages").into())
}

fn no_index(operation: &'static str) -> PortError {
    PortError::new(PortErrorKind::Unavailable, "search", operation)
        .caused_by("this version has no search index")
}
