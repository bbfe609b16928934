//! What the system does, by resource and by background duty.
//!
//! [`Applications`], [`Chats`], [`Messages`] and [`Search`] serve users, [`DeadLetters`] operators;
//! [`Persister`] stores what was accepted, [`Reconciler`] audits and repairs;
//! [`Indexer`] carries changes into the search index, and [`Rebuilder`] fills it anew.

use std::{sync::Arc, time::Duration};

use crate::ports::Ports;

mod applications;
mod chats;
mod dead_letters;
mod directory;
mod error;
mod indexer;
mod messages;
mod numbering;
mod once;
mod opening;
mod paging;
mod persister;
mod rebuilder;
mod reconciler;
mod search;

pub use applications::Applications;
pub use chats::Chats;
pub use dead_letters::{DeadLetters, Held, OpenedLetter};
pub use error::{ReplayError, ServiceError};
pub use indexer::{Indexed, Indexer};
pub use messages::Messages;
pub use numbering::Created;
#[cfg(feature = "contract")]
pub(crate) use numbering::Numberer;
pub use persister::{Persisted, Persister};
pub use rebuilder::Rebuilder;
pub use reconciler::{Reconciled, Reconciler};
pub use search::{Hit, Search, SearchPlace};

/// What an operator may set about the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long tombstones stay; a create older than half of it is not stored if it has no row.
    pub retention: Duration,
    /// How many applications' ids are cached in the process, so that creates need no database read.
    pub remembered_applications: usize,
    /// How many creations are stored together at most.
    pub batch: usize,
    /// How many changes are carried into the search index together at most.
    pub index_batch: usize,
    /// How long a creation may be pending before the audit looks after it.
    pub patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Duration::from_hours(30 * 24),
            remembered_applications: 100_000,
            batch: 500,
            index_batch: 8_000,
            patience: Duration::from_mins(1),
        }
    }
}

/// Every service over one set of ports; cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Applications.
    pub applications: Arc<Applications>,
    /// Chats.
    pub chats: Arc<Chats>,
    /// Messages.
    pub messages: Arc<Messages>,
    /// Finding messages.
    pub search: Arc<Search>,
    /// What could not be stored.
    pub dead_letters: Arc<DeadLetters>,
    /// Stores what was accepted.
    pub persister: Arc<Persister>,
    /// Audits and repairs.
    pub reconciler: Arc<Reconciler>,
    /// Carries changes into the search index.
    pub indexer: Arc<Indexer>,
    /// Fills the search index anew.
    pub rebuilder: Arc<Rebuilder>,
}

impl Services {
    /// Builds the services.
    #[must_use]
    pub fn new(ports: &Ports, policy: &Policy) -> Self {
        let directory = Arc::new(directory::Directory::new(ports, policy));
        let numberer = Arc::new(numbering::Numberer::new(ports));
        let persister = Arc::new(Persister::new(ports, policy));
        let messages = Arc::new(Messages::new(ports, &directory, &numberer));
        let indexer = Arc::new(Indexer::new(ports, policy));
        let rebuilder = Arc::new(Rebuilder::new(ports, &indexer));
        let chats = Arc::new(Chats::new(ports, &directory, &numberer));
        Self {
            applications: Arc::new(Applications::new(ports, &directory)),
            search: Arc::new(Search::new(ports, &directory, &chats, &messages)),
            chats,
            messages,
            dead_letters: Arc::new(DeadLetters::new(ports)),
            reconciler: Arc::new(Reconciler::new(ports, policy, &persister)),
            persister,
            indexer,
            rebuilder,
        }
    }
}
