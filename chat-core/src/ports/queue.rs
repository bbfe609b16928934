//! Durable work: how accepted creations reach the repository.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    PortError,
    model::{Creation, Epoch, Number, Position, Shard},
};

/// Carries accepted creations to whoever stores them, at least once.
///
/// An entry stays until it is acknowledged: a consumer that dies leaves its entries to the others.
/// Methods take batches, since a worker handles hundreds of entries at a time.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::queue`, one test per law:
///
/// 1. `published_is_received`: an entry arrives with the number, epoch, content and `forced` it was given.
/// 2. `one_consumer_at_a_time`: concurrent consumers receive different entries.
/// 3. `acknowledged_is_gone`: an acknowledged entry never comes again.
/// 4. `given_back_comes_again`: an entry that was given back is delivered again, to any consumer, with a
///    higher attempt.
/// 5. `unacknowledged_comes_again`: a consumer that starts again under its name receives what it
///    held, before anything new.
/// 6. `leaving_hands_over`: what a consumer held when it left comes to another at once. What one held that
///    died comes once the backend notices; each adapter says when.
/// 7. `backlog_counts_bytes`: the backlog tells entries and bytes, and is empty once all is done.
/// 8. `receive_ends_in_time`: with nothing to deliver, `receive` answers an empty batch after its wait.
/// 9. `consumers_have_any_name`: a consumer with a long name, in any script, receives as any other does.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a creation, and answers once the backend will keep it.
    ///
    /// A `forced` one is stored although it is old; an operator asks for that.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the creation may have been added.
    async fn publish(&self, creation: &Creation, forced: bool) -> Result<(), PortError>;

    /// Says that a consumer will not come back, so that others need not wait for what it holds.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; others then get its entries after a while.
    async fn leave(&self, consumer: &Consumer) -> Result<(), PortError>;

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
    /// What to acknowledge the delivery with, or to give it back with.
    pub receipt: Receipt,
    /// How often it was handed out, this time included, as far as the backend knows.
    pub attempt: u32,
    /// Whether an operator wants it stored although it is old.
    pub forced: bool,
    /// Its position in its shard's work, where the queue is the counter's own.
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
        /// The number that it was given, where the entry tells it.
        number: Option<Number>,
        /// The epoch that gave the number.
        epoch: Epoch,
        /// The bytes as they came.
        payload: Vec<u8>,
        /// What is wrong with them.
        detail: String,
        /// Whether a newer program wrote them.
        newer: bool,
    },
}

/// How much is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Entries that are not acknowledged; a backend that cannot tell leaves out those in delivery.
    pub entries: u64,
    /// Their size, as far as the backend tells.
    pub bytes: u64,
    /// How long the oldest of them has been waiting; `None` where the backend cannot tell.
    pub oldest: Option<Duration>,
}
