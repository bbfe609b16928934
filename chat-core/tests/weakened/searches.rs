//! Search indexes that are wrong in one way each.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use chat_core::{PortError, model::Generation, ports::*, text::Class};

use super::shim::{SearchIndexShim, Weak};

fn with_search(
    ports: Ports,
    weaken: impl FnOnce(Arc<dyn SearchIndex>) -> Arc<dyn SearchIndex>,
) -> Ports {
    Ports {
        search: weaken(Arc::clone(&ports.search)),
        ..ports
    }
}

/// Makes an index that finds something else.
macro_rules! finds {
    ($(#[$doc:meta])* $maker:ident: $name:ident, |$inner:ident, $query:ident| $found:expr) => {
        struct $name(Arc<dyn SearchIndex>);

        #[async_trait]
        impl SearchIndexShim for $name {
            fn inner(&self) -> &dyn SearchIndex {
                &*self.0
            }

            async fn find(&self, $query: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
                let $inner = &self.0;
                Ok($found)
            }
        }

        $(#[$doc])*
        pub(crate) fn $maker(ports: Ports) -> Ports {
            with_search(ports, |inner| Arc::new(Weak($name(inner))))
        }
    };
}

finds! {
    /// An index that forgets to stay in the chat.
    searches_everywhere: Everywhere, |inner, query| {
        let query = SearchQuery { chat: None, ..query.clone() };
        inner.find(&query).await?
    }
}

finds! {
    /// An index that finds whole words only.
    finds_whole_words: WholeWords, |inner, query| {
        let mut hits = inner.find(query).await?;
        hits.retain(|hit| is_of(hit, Class::Exact));
        hits
    }
}

finds! {
    /// An index that forgives no typo.
    forgives_nothing: Unforgiving, |inner, query| {
        let mut hits = inner.find(query).await?;
        hits.retain(|hit| is_of(hit, Class::Part));
        hits
    }
}

finds! {
    /// An index that answers the worst first.
    turns_the_order_round: Reversed, |inner, query| {
        let mut hits = inner.find(query).await?;
        hits.reverse();
        hits
    }
}

finds! {
    /// An index that begins a page with the last hit of the page before.
    repeats_the_last_hit: Repeating, |inner, query| {
        let mut hits = inner.find(query).await?;
        if let (Some(after), false) = (&query.after, hits.is_empty()) {
            hits.insert(0, after.clone());
            hits.truncate(query.limit);
        }
        hits
    }
}

/// Says whether the worst word of a hit matches in this class or a better one.
fn is_of(hit: &SearchHit, class: Class) -> bool {
    let least = chat_core::text::Rank {
        worst: class,
        sum: 0,
        is_phrase: false,
        matches: 0,
    };
    hit.score >= least.score()
}

/// Takes every change for the newest.
struct TakesTheLast(Arc<dyn SearchIndex>, AtomicU64);

#[async_trait]
impl SearchIndexShim for TakesTheLast {
    fn inner(&self) -> &dyn SearchIndex {
        &*self.0
    }

    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let mut changes = changes.to_vec();
        for change in &mut changes {
            if let IndexChange::Put(IndexDocument { version, .. })
            | IndexChange::Delete { version, .. } = change
            {
                *version = 100 + self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.0.apply(generation, &changes).await
    }
}

/// An index in which the last change wins, however old it is.
pub(crate) fn takes_the_last(ports: Ports) -> Ports {
    with_search(ports, |inner| {
        Arc::new(Weak(TakesTheLast(inner, AtomicU64::new(0))))
    })
}

/// Leaves what lies under something deleted.
struct LeavesOrphans(Arc<dyn SearchIndex>);

#[async_trait]
impl SearchIndexShim for LeavesOrphans {
    fn inner(&self) -> &dyn SearchIndex {
        &*self.0
    }

    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let own: Vec<IndexChange> = changes
            .iter()
            .filter(|change| matches!(change, IndexChange::Put(_) | IndexChange::Delete { .. }))
            .cloned()
            .collect();
        self.0.apply(generation, &own).await?;
        Ok(vec![Applied::Done; changes.len()])
    }
}

/// An index that keeps what lies under something deleted.
pub(crate) fn leaves_orphans(ports: Ports) -> Ports {
    with_search(ports, |inner| Arc::new(Weak(LeavesOrphans(inner))))
}

/// Creates any generation that it is told of.
struct Guesses(Arc<dyn SearchIndex>);

#[async_trait]
impl SearchIndexShim for Guesses {
    fn inner(&self) -> &dyn SearchIndex {
        &*self.0
    }

    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        self.0.create_generation(generation).await?;
        self.0.apply(generation, changes).await
    }
}

/// An index that makes a lost generation anew, empty.
pub(crate) fn guesses_generations(ports: Ports) -> Ports {
    with_search(ports, |inner| Arc::new(Weak(Guesses(inner))))
}
