//! What storing and proving numbers takes and answers.

use crate::model::{Creation, Epoch, Number, Position, Sequence, Shard, Timestamp};

/// Creations to store together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreBatch {
    /// The creations; `true` beside one stores it although it is old.
    pub creations: Vec<(Creation, bool)>,
    /// Creations from before this are not inserted where no row is: the row may have been purged.
    pub not_before: Timestamp,
    /// How far each shard's work has come with this batch.
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
    /// It is a row now.
    Stored,
    /// It is one already, or was changed or deleted before it came.
    Present,
    /// Its number belongs to another creation: this one must not be dropped.
    NumberTaken,
    /// What it belongs to is deleted, so it was dropped; the sequence should be marked so.
    ParentDeleted(Sequence),
    /// Its application has no row, not even that of a deleted one: this one must not be dropped.
    ApplicationAbsent,
    /// It is too old to be inserted where no row is.
    TooOld,
}

/// What the repository proves about a sequence's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Nothing above this number was given and forgotten.
    Last(u64),
    /// What the sequence belongs to is deleted.
    Deleted,
    /// What the sequence belongs to is nowhere.
    Absent,
    /// The epoch is not the shard's.
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

/// A piece of an audit.
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
