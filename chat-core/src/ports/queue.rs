//! Durable work: how accepted creations reach the repository.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    PortError,
    model::{Creation, DeadLetter, DeadLetterId, Position, Shard},
};

/// Carries accepted creations to whoever stores them, at least once.
///
/// An entry stays until it is acknowledged: a consumer that dies leaves its entries to the others.
/// What cannot be done is kept apart as a dead letter until an operator decides about it.
/// Methods take batches, since a worker handles hundreds of entries at a time.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::queue`, one test per law:
///
/// 1. `published_is_received`: what was published comes with its number, epoch and content.
/// 2. `one_consumer_at_a_time`: concurrent consumers receive different entries.
/// 3. `acknowledged_is_gone`: an acknowledged entry never comes again.
/// 4. `given_back_comes_again`: an entry that was given back comes to somebody, with a higher attempt.
/// 5. `unacknowledged_comes_again`: a consumer that starts again under its name receives what it
///    held, before anything new.
/// 6. `dead_consumers_are_relieved`: entries of a consumer that stays away go to another in time.
/// 7. `backlog_counts_bytes`: the backlog tells entries and bytes, and is zero once all is done.
/// 8. `dead_letter_is_kept_once`: adding the same letter again keeps its first failure and updates
///    its last.
/// 9. `replayed_letter_comes_again`: a replayed letter is received again, forced if asked, and is no
///    letter any more.
/// 10. `dropped_letter_is_gone`: a dropped letter is handed back once, then it is unknown.
/// 11. `letters_are_paged`: letters are listed by id, after a given one.
/// 12. `receive_ends_in_time`: with nothing to do, `receive` answers nothing within its wait.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a creation, and answers once the backend will keep it.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the creation may have been added.
    async fn publish(&self, creation: &Creation) -> Result<(), PortError>;

    /// Takes up to `most` entries, the consumer's own unacknowledged ones first.
    ///
    /// With nothing to take it waits for at most `wait`.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError>;

    /// Ends deliveries whose work is done.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the entries then come again.
    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), PortError>;

    /// Ends deliveries whose work is to be tried again, soon and by anybody.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the entries then come again later.
    async fn give_back(&self, receipts: &[Receipt]) -> Result<(), PortError>;

    /// Keeps a dead letter, or brings the one of its id up to date.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError>;

    /// Reads one dead letter.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError>;

    /// Lists up to `limit` dead letters by id, those after `after`.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError>;

    /// Puts a dead letter's entry back to work and removes the letter; `false` if there is none.
    ///
    /// A `force`d entry is stored although it is old.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn replay(&self, id: &DeadLetterId, force: bool) -> Result<bool, PortError>;

    /// Removes a dead letter and hands it out; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn drop_dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError>;

    /// Tells how much is waiting.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn backlog(&self) -> Result<Backlog, PortError>;

    /// Asks the backend for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when the backend does not answer or must not be used.
    async fn check(&self) -> Result<(), PortError>;
}

/// Who takes entries; a process that starts again under its name finds what it held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consumer(pub String);

/// Names one delivery to its queue, opaque to everybody else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub String);

/// An entry handed to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What to end the delivery with.
    pub receipt: Receipt,
    /// How often it was handed out, this time included, as far as the backend knows.
    pub attempt: u32,
    /// Whether an operator wants it stored although it is old.
    pub forced: bool,
    /// How far its shard's work has come with it, where the queue is the counter's own.
    pub position: Option<(Shard, Position)>,
    /// What it holds.
    pub entry: Entry,
}

/// What a delivery holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A creation to store.
    Creation(Creation),
    /// Bytes that this program cannot read.
    Unreadable {
        /// The bytes as they came.
        payload: Vec<u8>,
        /// What is wrong with them.
        detail: String,
        /// Whether a newer program wrote them.
        newer: bool,
    },
}

/// How much is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries that are not acknowledged.
    pub entries: u64,
    /// Their size, as far as the backend tells.
    pub bytes: u64,
    /// How long the oldest of them is waiting.
    pub oldest: Duration,
}
