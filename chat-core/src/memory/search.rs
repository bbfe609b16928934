//! A search index in memory that scans every document.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;

use super::{ADAPTER, pace::Pace};
use crate::{
    PortError, PortErrorKind,
    model::{Generation, MessageKey},
    ports::{Applied, IndexChange, IndexDocument, SearchHit, SearchIndex, SearchQuery},
};

/// Finds by scanning.
#[derive(Debug)]
pub struct MemorySearchIndex {
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generations: BTreeMap<u64, BTreeMap<MessageKey, Versioned>>,
    serving: Option<u64>,
}

#[derive(Debug)]
struct Versioned {
    version: u64,
    document: Option<IndexDocument>,
}

impl MemorySearchIndex {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }
}

fn missing(operation: &'static str) -> PortError {
    PortError::new(PortErrorKind::Unavailable, ADAPTER, operation)
        .caused_by("there is no such generation")
}

/// The sort key of a hit: better ones come first, then newer ones.
fn place(hit: &SearchHit) -> impl Ord + use<> {
    Reverse((hit.score, hit.created_at, hit.key))
}

fn hit(document: &IndexDocument, query: &SearchQuery) -> Option<SearchHit> {
    let inside = query
        .chat
        .is_none_or(|chat| document.key.chat_key() == chat);
    let rank = query.terms.rank(document.body.as_str())?;
    inside.then(|| SearchHit {
        key: document.key,
        score: rank.score(),
        created_at: document.created_at,
    })
}

#[async_trait]
impl SearchIndex for MemorySearchIndex {
    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let apply = || {
            let mut state = self.lock();
            let Some(documents) = state.generations.get_mut(&generation.number) else {
                return Err(missing("apply changes"));
            };
            for change in changes {
                let (key, version, document) = match change {
                    IndexChange::Put(document) => {
                        (document.key, document.version, Some(document.clone()))
                    }
                    IndexChange::Delete { key, version } => (*key, *version, None),
                    IndexChange::DeleteChat(chat) => {
                        documents.retain(|key, _| key.chat_key() != *chat);
                        continue;
                    }
                    IndexChange::DeleteApplication(application) => {
                        documents.retain(|key, _| key.application != *application);
                        continue;
                    }
                };
                if documents
                    .get(&key)
                    .is_none_or(|known| known.version < version)
                {
                    documents.insert(key, Versioned { version, document });
                }
            }
            Ok(vec![Applied::Done; changes.len()])
        };
        self.pace.around(apply).await
    }

    async fn find(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
        let find = || {
            let state = self.lock();
            let serving = state
                .serving
                .and_then(|number| state.generations.get(&number));
            let documents = serving.ok_or_else(|| missing("find messages"))?;
            let live = documents
                .values()
                .filter_map(|known| known.document.as_ref());
            let mut hits: Vec<_> = live.filter_map(|document| hit(document, query)).collect();
            hits.sort_by_key(place);
            if let Some(after) = &query.after {
                hits.retain(|hit| place(hit) > place(after));
            }
            hits.truncate(query.limit);
            Ok(hits)
        };
        self.pace.around(find).await
    }

    async fn create_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let create = || {
            self.lock()
                .generations
                .entry(generation.number)
                .or_default();
        };
        self.pace.around(create).await;
        Ok(())
    }

    async fn serve_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let serve = || {
            let mut state = self.lock();
            if !state.generations.contains_key(&generation.number) {
                return Err(missing("serve a generation"));
            }
            state.serving = Some(generation.number);
            Ok(())
        };
        self.pace.around(serve).await
    }

    async fn remove_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let remove = || {
            let mut state = self.lock();
            state.generations.remove(&generation.number);
            state.serving = state
                .serving
                .filter(|serving| *serving != generation.number);
        };
        self.pace.around(remove).await;
        Ok(())
    }

    async fn remove_others(&self, kept: &Generation) -> Result<(), PortError> {
        let remove = || {
            let mut state = self.lock();
            state.generations.retain(|number, _| *number == kept.number);
            state.serving = state.serving.filter(|serving| *serving == kept.number);
        };
        self.pace.around(remove).await;
        Ok(())
    }

    async fn generations(&self) -> Result<Vec<u64>, PortError> {
        let list = || self.lock().generations.keys().copied().collect();
        Ok(self.pace.around(list).await)
    }

    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }
}
