//! Counter, queue and repository on one SQLite file, search on Tantivy: durable, crash-safe, nothing to
//! install.
//!
//! All that is written goes through one task, the `writer`, which commits what is waiting together:
//! one write to the disk then serves hundreds of requests.
//! Since it is alone, the chat's own row is its counter: a create is numbered and stored in the same
//! transaction, nothing is ever pending, and no number can be given twice.
//! Readers have connections of their own and see what is committed.
//!
//! The files on the way of a message, in order: [`counter`](EmbeddedCounter) takes it, `writer`
//! gathers it with others, `creating` numbers and inserts them, and the commit puts them on disk.

mod applications;
mod chats;
mod commits;
mod config;
mod counter;
mod creating;
mod database;
mod dead_letters;
mod error;
mod jobs;
mod messages;
mod migrations;
mod outbox;
mod parents;
mod purging;
mod queue;
mod repository;
mod rows;
mod search;
mod shards;
mod storing;
mod upkeep;
mod writer;

use std::sync::Arc;

use chat_core::ports::Clock;
pub use config::EmbeddedConfig;
pub use counter::EmbeddedCounter;
use database::Database;
pub use error::OpenError;
pub use queue::EmbeddedQueue;
pub use repository::EmbeddedRepository;
pub use search::EmbeddedSearchIndex;

/// The embedded set over one folder.
pub struct Embedded {
    /// Numbers creations and stores them at once.
    pub counter: Arc<EmbeddedCounter>,
    /// Carries work that others publish.
    pub queue: Arc<EmbeddedQueue>,
    /// Keeps everything.
    pub repository: Arc<EmbeddedRepository>,
    /// Finds messages.
    pub search: Arc<EmbeddedSearchIndex>,
    database: Arc<Database>,
}

impl Embedded {
    /// Opens the folder, makes what is missing, and locks it against other processes.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be used, another process has it, or a newer program made it.
    pub async fn open(config: &EmbeddedConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = Arc::new(Database::open(config).await?);
        let search = EmbeddedSearchIndex::open(config.search_folder.clone()).await;
        let search = search.map_err(|source| OpenError::Search {
            folder: config.search_folder.clone(),
            source,
        })?;
        Ok(Self {
            counter: Arc::new(EmbeddedCounter::new(&database)),
            queue: Arc::new(EmbeddedQueue::new(&database, &clock)),
            repository: Arc::new(EmbeddedRepository::new(&database)),
            search: Arc::new(search),
            database,
        })
    }

    /// Finishes the writes that were handed in, and leaves the database as one file.
    pub async fn close(self) {
        self.database.close().await;
    }
}
