//! The inputs and outcomes of storing creations, proving numbers and auditing.

use crate::model::{Creation, Epoch, Number, Position, Sequence, Shard, Timestamp};

/// Creations to store together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreBatch {
    /// The creations; `true` beside one forces it to be stored although it is old.
    pub creations: Vec<(Creation, bool)>,
    /// Creations from before this are not inserted if they have no row: it may have been purged.
    pub not_before: Timestamp,
    /// The position that this batch reaches in each shard's work.
    pub positions: Vec<(Shard, Position)>,
}

/// How storing a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// The outcome of each creation, in the batch's order.
    pub outcomes: Vec<StoreOutcome>,
    /// The epochs of all shards that were ever admitted, read in the same transaction.
    pub epochs: Vec<(Shard, Epoch)>,
}

/// How storing one creation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// It has become a row.
    Stored,
    /// It has a row already: from an earlier delivery, or from an update or deletion that came first.
    Present,
    /// Its number belongs to another creation: this one must not be dropped.
    NumberTaken,
    /// What it belongs to is deleted, so it was dropped; this sequence should be marked as deleted.
    ParentDeleted(Sequence),
    /// Its application has no row, not even that of a deleted one: this one must not be dropped.
    ApplicationAbsent,
    /// It is too old to be inserted where no row is.
    TooOld,
}

/// What the repository proves about a sequence's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Whatever number above this was given is still pending.
    Last(u64),
    /// What the sequence belongs to is deleted.
    Deleted,
    /// What the sequence belongs to does not exist.
    Absent,
    /// The epoch is not the shard's current one.
    StaleEpoch,
}

impl Basis {
    /// How far the first basis of an epoch leaps: no sequence has more than this many pending.
    pub const LEAP: u64 = 65_536;

    /// The last number after a leap; numbers end at [`Number::MAX`].
    #[must_use]
    pub fn leap(last: u64) -> u64 {
        last.saturating_add(Self::LEAP).min(Number::MAX)
    }
}

/// The outcome of a piece of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit<Key> {
    /// Where the next piece starts; `None` at the end.
    pub next: Option<Key>,
    /// How many were compared.
    pub checked: u64,
    /// The ones that were wrong, and are right now.
    pub repaired: Vec<Key>,
    /// The ones that could not be compared or repaired, and wait for the next audit; the adapter has
    /// logged why.
    pub failed: Vec<Key>,
}
