//! The metrics of a process's duties, one struct for each.

use chat_core::service::{Indexed, Persisted, Reconciled};
use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::metrics::counter;

/// Counts what storing did.
pub(crate) struct Storing {
    stored: Counter,
    set_aside: Counter,
}

impl Storing {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        Self {
            stored: counter(
                registry,
                "stored",
                "Creations taken from the queue that are stored, or whose chat or application is \
                 deleted",
            ),
            set_aside: counter(
                registry,
                "set_aside",
                "Entries taken from the queue that became dead letters",
            ),
        }
    }

    pub(crate) fn round(&self, round: &Persisted) {
        self.stored.inc_by(round.done as u64);
        self.set_aside.inc_by(round.set_aside as u64);
    }
}

/// Counts what auditing did.
#[derive(Clone)]
pub(crate) struct Auditing {
    rescued: Counter,
    counts_repaired: Counter,
    purged: Counter,
}

impl Auditing {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        Self {
            rescued: counter(
                registry,
                "rescued",
                "Creations that the audit found pending for too long and stored",
            ),
            counts_repaired: counter(
                registry,
                "counts_repaired",
                "Counts that the audit found wrong and repaired",
            ),
            purged: counter(
                registry,
                "purged",
                "Deleted rows that were removed for good",
            ),
        }
    }

    pub(crate) fn round(&self, round: &Reconciled) {
        self.rescued.inc_by(round.rescued);
        self.counts_repaired.inc_by(round.counts_repaired);
        self.purged.inc_by(round.purged);
    }
}

/// Counts what indexing did.
pub(crate) struct Indexing {
    indexed: Counter,
    not_indexable: Counter,
}

impl Indexing {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        Self {
            indexed: counter(
                registry,
                "indexed",
                "Outbox rows whose changes are in the search index",
            ),
            not_indexable: counter(
                registry,
                "not_indexable",
                "Messages that the search index refused, which became dead letters",
            ),
        }
    }

    pub(crate) fn round(&self, round: &Indexed) {
        self.indexed.inc_by(round.completed as u64);
        self.not_indexable.inc_by(round.refused as u64);
    }
}
