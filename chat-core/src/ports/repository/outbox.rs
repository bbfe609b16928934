//! The outbox, for work that follows a stored change, and jobs that one process of many does.

use std::time::Duration;

use crate::model::{ApplicationId, ChatKey, Job, Message, MessageKey, Timestamp};

/// Who takes work, and until when nobody else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Names the holder, different for every process.
    pub holder: String,
    /// The moment of the claim.
    pub now: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
}

impl Claim {
    /// Makes a claim that lasts from `now` for `lease`.
    #[must_use]
    pub fn new(holder: impl Into<String>, now: Timestamp, lease: Duration) -> Self {
        Self {
            holder: holder.into(),
            now,
            until: now.plus(lease),
        }
    }
}

/// A row of the outbox: what changed, to be carried to the search index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row's id, rising.
    pub id: u64,
    /// What changed in one transaction.
    pub changes: Vec<OutboxChange>,
}

/// How far behind the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxBacklog {
    /// Rows that are not completed; no more than [`MOST_ROWS`](Self::MOST_ROWS) are counted.
    pub rows: u64,
    /// The lowest id among them: everything noted before it has been carried out.
    pub lowest: Option<u64>,
}

impl OutboxBacklog {
    /// How many rows are counted at most: while the index is away for days, counting all would take long.
    pub const MOST_ROWS: u64 = 1_000_000;
}

/// One thing that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutboxChange {
    /// A message was stored, changed or deleted.
    Message(MessageKey),
    /// A chat was deleted with all its messages.
    ChatDeleted(ChatKey),
    /// An application was deleted with all below.
    ApplicationDeleted(ApplicationId),
}

/// A message as the index needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexable {
    /// The message that was asked for.
    pub key: MessageKey,
    /// The live message with its version; `None` if it is gone.
    pub current: Option<(Message, u64)>,
}

/// The answer to the claim of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobClaim {
    /// The claimant holds it; this is what its last holder left, if there was one.
    Claimed(Option<Job>),
    /// Somebody else holds it.
    Held(Job),
}
