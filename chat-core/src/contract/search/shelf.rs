//! Documents to search in.

use std::time::Duration;

use super::{
    super::scene::{body, message_key, number},
    Index,
};
use crate::{
    model::{ApplicationId, ChatKey, Generation, GenerationState, MessageKey, Timestamp},
    ports::{Applied, IndexChange, IndexDocument, SearchHit, SearchQuery},
    text::Terms,
};

pub(super) async fn serving(index: &Index) -> Generation {
    let generation = Generation {
        number: 1,
        state: GenerationState::Serving,
    };
    index.create_generation(&generation).await.unwrap();
    index.serve_generation(&generation).await.unwrap();
    generation
}

pub(super) fn chat(application: u64, chat: u64) -> ChatKey {
    ChatKey {
        application: ApplicationId::new(application),
        chat: number(chat).into(),
    }
}

pub(super) fn document(chat: ChatKey, of: u64, version: u64, text: &str) -> IndexDocument {
    IndexDocument {
        key: message_key(chat, of),
        version,
        body: body(text),
        created_at: Timestamp::from_micros(1_000_000 * i64::try_from(of).unwrap()),
    }
}

pub(super) async fn apply(index: &Index, generation: &Generation, changes: &[IndexChange]) {
    let applied = index.apply(generation, changes).await.unwrap();
    assert_eq!(applied, vec![Applied::Done; changes.len()]);
}

pub(super) async fn put(index: &Index, generation: &Generation, document: IndexDocument) {
    apply(index, generation, &[IndexChange::Put(document)]).await;
}

pub(super) async fn delete(index: &Index, generation: &Generation, key: MessageKey, version: u64) {
    apply(index, generation, &[IndexChange::Delete { key, version }]).await;
}

pub(super) fn query(chat: ChatKey, text: &str) -> SearchQuery {
    SearchQuery {
        chat: Some(chat),
        terms: Terms::of(text),
        limit: 100,
        after: None,
    }
}

pub(super) async fn found(index: &Index, chat: ChatKey, text: &str) -> Vec<u64> {
    let hits = eventually_found(index, &query(chat, text), 0).await;
    hits.iter().map(|hit| hit.key.message.get()).collect()
}

/// Searches until there are `least` hits, since an index may be refreshed only now and then.
pub(super) async fn eventually_found(
    index: &Index,
    query: &SearchQuery,
    least: usize,
) -> Vec<SearchHit> {
    for _ in 0..100 {
        let hits = index.find(query).await.unwrap();
        if hits.len() >= least {
            return hits;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{least} hits were not found in five seconds");
}

/// An index with the same bodies in two chats, of which one is searched.
pub(super) struct Shelf {
    index: Index,
    bodies: Vec<String>,
}

impl Shelf {
    /// Fills the index; a body's number is its place, from 1, and the last one is the newest.
    pub(super) async fn with(index: Index, bodies: &[&str]) -> Self {
        let generation = serving(&index).await;
        let mut changes = Vec::new();
        for chat in [chat(1, 1), chat(1, 2)] {
            for (of, body) in (1..).zip(bodies) {
                changes.push(IndexChange::Put(document(chat, of, 1, body)));
            }
        }
        apply(&index, &generation, &changes).await;
        Self {
            index,
            bodies: bodies.iter().map(|body| (*body).to_owned()).collect(),
        }
    }

    /// Searches, checks the hits against the core's own ranking of every body, and answers their bodies.
    pub(super) async fn find(&self, text: &str) -> Vec<&str> {
        let query = query(chat(1, 1), text);
        let mut wanted: Vec<(u64, u64)> = (1..)
            .zip(&self.bodies)
            .filter_map(|(of, body)| Some((query.terms.rank(body)?.score(), of)))
            .collect();
        wanted.sort_unstable_by(|one, other| other.cmp(one));
        let hits = eventually_found(&self.index, &query, wanted.len()).await;
        for hit in &hits {
            assert_eq!(hit.key.chat_key(), chat(1, 1), "{text:?} left its chat");
        }
        let found: Vec<(u64, u64)> = hits
            .iter()
            .map(|hit| (hit.score, hit.key.message.get()))
            .collect();
        assert_eq!(found, wanted, "{text:?}: scores and numbers");
        let place = |of: u64| usize::try_from(of - 1).ok();
        let bodies = found
            .iter()
            .filter_map(|(_, of)| self.bodies.get(place(*of)?));
        bodies.map(String::as_str).collect()
    }

    /// Checks that each text finds these bodies, in any order.
    pub(super) async fn check(&self, searches: &[(&str, &[&str])]) {
        for (text, wanted) in searches {
            let mut found = self.find(text).await;
            found.sort_unstable();
            let mut wanted = wanted.to_vec();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{text:?}");
        }
    }
}
