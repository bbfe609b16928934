//! Every port in memory: for tests, prototypes and simulation.
//!
//! They obey all laws, but lose everything when the process ends. The clock stands still until it is
//! moved, and the tokens are the same in each run, so a real program must take both from elsewhere.
//! [`Memory::paced`] makes every call yield once before and once after its effect, so that a test that
//! polls by hand can interleave callers, and drop one at any point as a crash would.

use std::sync::Arc;

mod clock;
mod counter;
mod pace;
mod queue;
mod repository;
mod rows;
mod search;
mod tables;
mod tokens;
mod upkeep;

pub use clock::ManualClock;
pub use counter::{CounterLimits, CounterSnapshot, MemoryCounter};
use pace::Pace;
pub use queue::MemoryQueue;
pub use repository::MemoryRepository;
pub use search::MemorySearchIndex;
pub use tokens::SeededTokens;

use crate::ports::Ports;

/// The adapter's name in errors.
const ADAPTER: &str = "memory";

/// One system in memory.
#[derive(Clone)]
pub struct Memory {
    /// Numbers, and enqueues what it numbered.
    pub counter: Arc<MemoryCounter>,
    /// Carries what the counter enqueued.
    pub queue: Arc<MemoryQueue>,
    /// Keeps what was stored.
    pub repository: Arc<MemoryRepository>,
    /// Finds by words.
    pub search: Arc<MemorySearchIndex>,
    /// Stands still until it is moved.
    pub clock: Arc<ManualClock>,
    /// Makes the same tokens in every system that is made the same way.
    pub tokens: Arc<SeededTokens>,
}

impl Memory {
    /// Makes an empty system.
    #[must_use]
    pub fn new() -> Self {
        Self::build(Pace::Straight, CounterLimits::default(), true)
    }

    /// Makes an empty system whose calls yield before and after their effect.
    #[must_use]
    pub fn paced(limits: CounterLimits) -> Self {
        Self::build(Pace::GivesWay, limits, true)
    }

    /// Makes a paced system whose counter leaves enqueuing to the caller, as with a queue of another
    /// technology.
    #[must_use]
    pub fn paced_apart(limits: CounterLimits) -> Self {
        Self::build(Pace::GivesWay, limits, false)
    }

    /// Makes an empty system whose counter leaves enqueuing to the caller.
    #[must_use]
    pub fn apart() -> Self {
        Self::build(Pace::Straight, CounterLimits::default(), false)
    }

    fn build(pace: Pace, limits: CounterLimits, enqueues: bool) -> Self {
        let clock = Arc::new(ManualClock::new());
        let queue = Arc::new(MemoryQueue::new(pace, Arc::clone(&clock)));
        let own_queue = enqueues.then(|| Arc::clone(&queue));
        Self {
            counter: Arc::new(MemoryCounter::new(
                pace,
                limits,
                Arc::clone(&clock),
                own_queue,
            )),
            queue,
            repository: Arc::new(MemoryRepository::new(pace)),
            search: Arc::new(MemorySearchIndex::new(pace)),
            clock,
            tokens: Arc::new(SeededTokens::new(7)),
        }
    }

    /// The system as ports, for services and laws.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports {
            counter: self.counter.clone(),
            queue: self.queue.clone(),
            repository: self.repository.clone(),
            search: self.search.clone(),
            clock: self.clock.clone(),
            tokens: self.tokens.clone(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
