//! What the system needs of the world, one port per file, each with its laws.
//!
//! A port is a trait that an adapter implements with one technology.
//! Only values of [`model`](crate::model) cross it, absence is `Ok(None)` or a named outcome, and
//! [`PortError`](crate::PortError) means that the backend failed.

use std::sync::Arc;

mod clock;
mod counter;
mod queue;
mod repository;
mod search;
mod tokens;

pub use clock::Clock;
pub use counter::{
    Counter, Lease, Numbering, Overload, Pending, PendingPage, PendingPlace, Placement, Seed,
    Seeding, Settlement, UnknownSequence,
};
pub use queue::{Backlog, Consumer, Delivery, Entry, Queue, Receipt};
pub use repository::{
    AddApplication, Audit, Basis, Claim, Deletion, Indexable, JobClaim, Lookup, OutboxBacklog,
    OutboxChange, OutboxRow, Parent, Repository, Slice, StoreBatch, StoreOutcome, StoreReport,
    Tokened,
};
pub use search::{Applied, IndexChange, IndexDocument, SearchHit, SearchIndex, SearchQuery};
pub use tokens::Tokens;

#[cfg(feature = "mocks")]
pub use self::{
    clock::MockClock, counter::MockCounter, queue::MockQueue, repository::MockRepository,
    search::MockSearchIndex, tokens::MockTokens,
};

/// One adapter for each port: all that the services depend on.
#[derive(Clone)]
pub struct Ports {
    /// Gives creations their numbers.
    pub counter: Arc<dyn Counter>,
    /// Carries accepted work to where it is stored.
    pub queue: Arc<dyn Queue>,
    /// Keeps what was stored.
    pub repository: Arc<dyn Repository>,
    /// Finds messages.
    pub search: Arc<dyn SearchIndex>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes tokens and uids.
    pub tokens: Arc<dyn Tokens>,
}
