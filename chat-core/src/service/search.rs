//! Search: finding messages.

use std::{collections::BTreeMap, sync::Arc};

use super::{Chats, Messages, ServiceError, directory::Directory, paging::cut};
use crate::{
    PortError, PortErrorKind,
    model::{
        ApplicationId, ApplicationToken, ChatKey, ChatNumber, Cursor, Limit, Message, MessageKey,
        MessageNumber, NumberRange, Order, Page, SearchText, Timestamp,
    },
    ports::{Ports, Repository, SearchHit, SearchIndex, SearchQuery, Tokened},
    text::{Terms, highlight, tokens},
};

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The message as it is now.
    pub message: Message,
    /// How well it matches; 0 without a query.
    pub score: u64,
    /// The part that matches, with the matches marked; `None` without a query.
    pub highlight: Option<String>,
}

impl From<Message> for Hit {
    /// A message among all messages, without a query.
    fn from(message: Message) -> Self {
        Self {
            message,
            score: 0,
            highlight: None,
        }
    }
}

/// A place in the results of a search: the last hit of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPlace<At> {
    /// Its score and creation time; `None` in a blank search, which lists by number.
    pub rank: Option<(u64, Timestamp)>,
    /// Which message it is.
    pub at: At,
}

impl<At> SearchPlace<At> {
    /// Refuses a place of a blank search in a search for words, and the other way round.
    fn check(&self, is_ranked: bool) -> Result<(), ServiceError> {
        if self.rank.is_some() == is_ranked {
            Ok(())
        } else {
            Err(ServiceError::NotFound)
        }
    }
}

/// How many pages with only deleted applications' messages a search across the system skips; the index
/// forgets them within seconds.
const GONE_PAGES: usize = 10;

/// Finds messages.
pub struct Search {
    repository: Arc<dyn Repository>,
    index: Arc<dyn SearchIndex>,
    directory: Arc<Directory>,
    chats: Arc<Chats>,
    messages: Arc<Messages>,
}

impl Search {
    /// The most hits of a page.
    pub const MAX_HITS: usize = 100;

    pub(super) fn new(
        ports: &Ports,
        directory: &Arc<Directory>,
        chats: &Arc<Chats>,
        messages: &Arc<Messages>,
    ) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            index: Arc::clone(&ports.search),
            directory: Arc::clone(directory),
            chats: Arc::clone(chats),
            messages: Arc::clone(messages),
        }
    }

    /// Finds messages of a chat, best first; a blank text finds every message, by number.
    ///
    /// A hit that is gone, or does not match any more, is left out, and a page of large texts is cut short: a
    /// page may be shorter than its limit without being the last.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] where the chat is not there or the place is of another
    /// kind of search, or when a backend does.
    pub async fn in_chat(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        text: &SearchText,
        after: Option<SearchPlace<MessageNumber>>,
        limit: Limit,
    ) -> Result<Page<Hit, SearchPlace<MessageNumber>>, ServiceError> {
        let limit = limit.at_most(Self::MAX_HITS);
        if let Some(place) = &after {
            place.check(!text.is_blank())?;
        }
        if text.is_blank() {
            return self.everything_in_chat(token, chat, after, limit).await;
        }
        let key = ChatKey {
            application: self.directory.id(token).await?,
            chat,
        };
        let after = after.and_then(|place| {
            let (score, created_at) = place.rank?;
            let key = MessageKey {
                application: key.application,
                chat: key.chat,
                message: place.at,
            };
            Some(SearchHit {
                key,
                score,
                created_at,
            })
        });
        let query = query(Some(key), text, after, limit);
        let found = match self.seen(&query).await {
            // If the hits cannot be read, fail at once: asking the same database for the chat would take
            // as long again.
            Ok(seen) => Ok(self.read(&query, seen, limit).await?),
            Err(error) => Err(error),
        };
        // A live hit proves that its chat lives; without one, even if the index failed, the chat may be gone.
        if found.as_ref().map_or(true, |found| found.hits.is_empty()) {
            self.chats.get(token, chat).await?;
        }
        let found = found?;
        Ok(Page {
            next: found.next().map(|last| SearchPlace {
                rank: Some((last.score, last.created_at)),
                at: last.key.message,
            }),
            items: found.hits,
        })
    }

    async fn everything_in_chat(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        after: Option<SearchPlace<MessageNumber>>,
        limit: Limit,
    ) -> Result<Page<Hit, SearchPlace<MessageNumber>>, ServiceError> {
        let after = after.map(|place| place.at.get());
        let range = NumberRange::new(after, None, Order::Ascending);
        let page = self.messages.list(token, chat, range, limit).await?;
        let last_read = |rest: NumberRange| MessageNumber::try_new(rest.first() - 1).ok();
        let next = page.next.and_then(last_read);
        Ok(Page {
            items: page.items.into_iter().map(Hit::from).collect(),
            next: next.map(|at| SearchPlace { rank: None, at }),
        })
    }

    /// Finds messages of the whole system, best first; a blank text finds every stored message, by
    /// application, chat and number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] on a place that names no message or is of another kind
    /// of search, or when a backend does.
    pub async fn across_system(
        &self,
        text: &SearchText,
        after: Option<SearchPlace<Cursor>>,
        limit: Limit,
    ) -> Result<Page<Tokened<Hit>, SearchPlace<Cursor>>, ServiceError> {
        let limit = limit.at_most(Self::MAX_HITS);
        if let Some(place) = &after {
            place.check(!text.is_blank())?;
        }
        if text.is_blank() {
            let after = after.map(|place| place.at);
            let page = self.messages.list_all(after, limit).await?;
            let hit = |found: Tokened<Message>| Tokened {
                token: found.token,
                item: found.item.into(),
            };
            return Ok(Page {
                items: page.items.into_iter().map(hit).collect(),
                next: page.next.map(|at| SearchPlace { rank: None, at }),
            });
        }
        let mut after = match after {
            Some(place) => Some(self.hit_at(place).await?),
            None => None,
        };
        for _ in 0..GONE_PAGES {
            let query = query(None, text, after, limit);
            let seen = self.seen(&query).await?;
            let found = self.read(&query, seen, limit).await?;
            after = found.next().cloned();
            let page = self.with_tokens(found).await?;
            if page.next.is_some() || after.is_none() {
                return Ok(page);
            }
        }
        let error = PortError::new(PortErrorKind::Unavailable, "search", "find messages");
        Err(error
            .caused_by(
                "the best hits all belong to deleted applications, which the index has yet to \
                 remove",
            )
            .into())
    }

    async fn hit_at(&self, place: SearchPlace<Cursor>) -> Result<SearchHit, ServiceError> {
        let SearchPlace {
            rank: Some((score, created_at)),
            at:
                Cursor {
                    application,
                    chat: Some(chat),
                    message: Some(message),
                },
        } = place
        else {
            return Err(ServiceError::NotFound);
        };
        let application = self.directory.id(&application).await?;
        Ok(SearchHit {
            key: MessageKey {
                application,
                chat,
                message,
            },
            score,
            created_at,
        })
    }

    /// Asks the index, unless the text has no words to search for.
    async fn seen(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
        if query.terms.is_empty() {
            return Ok(Vec::new());
        }
        self.index.find(query).await
    }

    /// Reads the hits, leaving out those that are gone or do not match any more.
    async fn read(
        &self,
        query: &SearchQuery,
        seen: Vec<SearchHit>,
        limit: Limit,
    ) -> Result<Found, PortError> {
        if seen.is_empty() {
            return Ok(Found::default());
        }
        let keys: Vec<MessageKey> = seen.iter().map(|hit| hit.key).collect();
        let read = self.repository.messages_by_key(&keys).await?;
        let current = read
            .into_iter()
            .map(|read| read.current.map(|(message, _)| message));
        let found: Vec<_> = seen.into_iter().zip(current).collect();
        let page = cut(
            found,
            limit,
            |(_, message)| message.as_ref().map_or(0, |it| it.body.as_str().len()),
            |_| (),
        );
        let mut found = Found {
            is_last: page.next.is_none(),
            ..Found::default()
        };
        for (seen, message) in page.items {
            found.seen.push(seen);
            found
                .hits
                .extend(message.and_then(|message| hit(message, &query.terms)));
        }
        Ok(found)
    }

    /// Adds the applications' tokens, and leaves out hits of applications that are gone.
    ///
    /// If all of them are gone, no place can be named and there is no next page.
    async fn with_tokens(
        &self,
        found: Found,
    ) -> Result<Page<Tokened<Hit>, SearchPlace<Cursor>>, ServiceError> {
        let mut tokens = BTreeMap::new();
        let mut items = Vec::with_capacity(found.hits.len());
        for hit in found.hits {
            let id = hit.message.key.application;
            if let Some(token) = self.token(&mut tokens, id).await? {
                items.push(Tokened { token, item: hit });
            }
        }
        let mut next = None;
        // A place needs a token, which a deleted application no longer has: the last hit that has one counts.
        for seen in found.seen.iter().rev().filter(|_| !found.is_last) {
            if let Some(application) = self.token(&mut tokens, seen.key.application).await? {
                next = Some(SearchPlace {
                    rank: Some((seen.score, seen.created_at)),
                    at: Cursor {
                        application,
                        chat: Some(seen.key.chat),
                        message: Some(seen.key.message),
                    },
                });
                break;
            }
        }
        Ok(Page { items, next })
    }

    async fn token(
        &self,
        known: &mut BTreeMap<ApplicationId, Option<ApplicationToken>>,
        id: ApplicationId,
    ) -> Result<Option<ApplicationToken>, PortError> {
        if let Some(token) = known.get(&id) {
            return Ok(token.clone());
        }
        let application = self.repository.application(id).await?.found();
        let token = application.map(|application| application.token);
        known.insert(id, token.clone());
        Ok(token)
    }
}

/// A search for one more than a page holds, which tells whether there is a next one.
fn query(
    chat: Option<ChatKey>,
    text: &SearchText,
    after: Option<SearchHit>,
    limit: Limit,
) -> SearchQuery {
    SearchQuery {
        chat,
        terms: Terms::of(text.as_str()),
        limit: limit.get() + 1,
        after,
    }
}

/// What the index found, and what is left of it.
#[derive(Default)]
struct Found {
    /// The messages that are still there and still match.
    hits: Vec<Hit>,
    /// All that the index found for the page.
    seen: Vec<SearchHit>,
    /// Whether there is no further page.
    is_last: bool,
}

impl Found {
    /// The last hit of the page, if there is a further one.
    fn next(&self) -> Option<&SearchHit> {
        self.seen.last().filter(|_| !self.is_last)
    }
}

/// Shows a message that was found, unless it does not match any more.
fn hit(message: Message, terms: &Terms) -> Option<Hit> {
    let body = message.body.as_str();
    let tokens = tokens(body);
    let rank = terms.rank_tokens(&tokens)?;
    let highlight = highlight(body, &tokens, terms);
    Some(Hit {
        message,
        score: rank.score(),
        highlight,
    })
}
