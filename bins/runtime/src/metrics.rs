//! What the background work counts, for whoever serves metrics.

use chat_core::service::{Indexed, Persisted, Reconciled};
use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counts what the [duties](crate::duties) did; cheap to clone, and every clone counts the same.
#[derive(Debug, Clone, Default)]
pub struct Work {
    stored: Counter,
    set_aside: Counter,
    rescued: Counter,
    counts_repaired: Counter,
    purged: Counter,
    indexed: Counter,
    not_indexable: Counter,
}

impl Work {
    /// Makes the counters part of what is served.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "stored",
                "Creations taken from the queue that are stored, or need not be",
                &self.stored,
            ),
            (
                "set_aside",
                "Entries taken from the queue that became dead letters",
                &self.set_aside,
            ),
            (
                "rescued",
                "Creations that the audit found pending for too long and stored",
                &self.rescued,
            ),
            (
                "counts_repaired",
                "Counts that the audit found wrong and repaired",
                &self.counts_repaired,
            ),
            (
                "purged",
                "Deleted rows that were removed for good",
                &self.purged,
            ),
            (
                "indexed",
                "Notes of changes that were carried into the search index",
                &self.indexed,
            ),
            (
                "not_indexable",
                "Messages that the search index refuses, which became dead letters",
                &self.not_indexable,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// Counts a round of storing.
    pub(crate) fn persisted(&self, round: &Persisted) {
        self.stored.inc_by(round.done as u64);
        self.set_aside.inc_by(round.set_aside as u64);
    }

    /// Counts a round of auditing.
    pub(crate) fn reconciled(&self, round: &Reconciled) {
        self.rescued.inc_by(round.rescued);
        self.counts_repaired.inc_by(round.counts_repaired);
        self.purged.inc_by(round.purged);
    }

    /// Counts a round of indexing.
    pub(crate) fn indexed(&self, round: &Indexed) {
        self.indexed.inc_by(round.completed as u64);
        self.not_indexable.inc_by(round.refused as u64);
    }
}
