//! Numbering: how chats and messages get the numbers that users see.

use std::time::Duration;

use async_trait::async_trait;

use super::queue::Receipt;
use crate::{
    PortError,
    model::{
        Admission, Creation, DeadLetterId, Epoch, Number, NumberRange, Sequence, Shard, Sighting,
        Submission, Timestamp, Uid,
    },
};

/// Gives a creation its number, and keeps it readable until it is stored.
///
/// Users see the numbers in URLs, so two callers must never receive the same one, even when they
/// ask in the same millisecond from different processes.
/// One atomic step checks the idempotency key, numbers the creation and remembers it as pending
/// (accepted, and perhaps not stored yet); where the queue is of the same technology, the step
/// enqueues it too.
///
/// A counter may forget a sequence at any time: it is then *unknown* and never starts by itself.
/// Whoever finds it unknown reads first the pending creations and then the repository, and seeds the
/// sequence with the highest number that they prove to have been given.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::counter`, one test per law. Laws of pending creations
/// hold trivially for an adapter that stores at once.
///
/// 1. `never_starts_by_itself`: a sequence that nobody seeded is unknown or gone, and gives no number.
/// 2. `never_repeats`: concurrent callers of one sequence receive 1, 2, 3, … each once.
/// 3. `sequences_are_independent`: drawing from one leaves every other alone, even that of chat 1 of
///    another application.
/// 4. `seed_never_lowers`: a seed of a sequence that is known changes nothing.
/// 5. `seed_needs_its_lease`: a seed with another lease than the one given out is refused.
/// 6. `new_chat_starts_at_one`: once a chat has its number, its messages are numbered from 1, without
///    seeding.
/// 7. `deleted_stays_deleted`: once marked, a sequence numbers nothing and cannot be seeded.
/// 8. `same_key_same_answer`: a repeated key answers the first number and time and numbers nothing,
///    also when the repetitions are concurrent.
/// 9. `key_of_another_request_is_refused`: the same key with another content numbers nothing.
/// 10. `keys_belong_to_an_application`: another application may use the same key.
/// 11. `refused_create_keeps_its_key_free`: a create that was not accepted leaves no key behind.
/// 12. `key_outlives_its_chat`: a key still answers for a message whose chat was deleted since.
/// 13. `deleted_application_answers_no_key`: below a deleted application no key answers anything.
/// 14. `accepted_is_pending_until_settled`: what was accepted is read by number and by range, in
///     both orders, until it is settled.
/// 15. `settling_twice_is_harmless`: settling what is settled, or was never there, changes nothing.
/// 16. `settling_spares_another_uid`: settling one uid leaves another creation with the same number.
/// 17. `pending_page_tells_what_was_issued`: a page carries the last number issued when it was read.
/// 18. `older_epoch_does_not_settle`: a counter whose epoch is behind the one given keeps everything
///     pending, and says so.
/// 19. `set_aside_stays_pending`: a creation with a dead letter can be read, and is listed with its letter,
///     so that the audit leaves it alone.
/// 20. `unconfirmed_are_listed`: what was accepted and not confirmed is listed once it is old enough.
/// 21. `lease_given_back_is_handed_out_at_once`: the next caller need not wait for a seeder that gave up;
///     nobody can give back a lease that another caller holds.
/// 22. `acknowledged_stays_pending`: a creation whose delivery is acknowledged is read and listed until
///     it is settled.
/// 23. `pending_page_is_bounded_in_bytes`: a page of large texts ends early, and later pages have the rest.
/// 24. `cut_off_create_leaves_no_gap`: a create whose caller goes away is done as a whole or not at all: each
///     number that was given has a creation, which is enqueued where the counter does that.
///
/// An adapter whose counters can be made to forget from outside passes these too, by
/// `counter_forgetting_contract`:
///
/// 25. `forgotten_sequence_goes_on`: an evicted sequence, with some of its creations stored and some
///     pending, goes on without gaps or repeats, even if callers race.
/// 26. `lease_ends_once_known`: a lease ends as soon as its sequence is known or gone, so it cannot seed a
///     sequence that is forgotten again.
/// 27. `lease_tells_what_is_pending`: a lease comes with the highest number that was pending when it was
///     granted, even if that is settled before the seed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Counter: Send + Sync {
    /// Numbers a submission, or says why not.
    ///
    /// # Errors
    ///
    /// Fails when the backend does. The caller then cannot tell whether a number was given; an
    /// idempotency key makes its retry safe.
    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError>;

    /// Notes that a creation reached the queue.
    ///
    /// Called after [`Placement::Remembered`] once the queue has it.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the audit then stores the creation itself, which is harmless.
    async fn confirm(&self, sequence: &Sequence, number: Number, uid: Uid)
    -> Result<(), PortError>;

    /// Makes an unknown sequence known, unless it is known by now or the lease has ended.
    ///
    /// It continues above `seed.last` and above every number that is pending at that moment.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn seed(&self, seed: &Seed) -> Result<Seeding, PortError>;

    /// Gives up the lease on seeding a sequence, so that the next caller is handed one at once.
    ///
    /// Called when the sequence cannot be seeded, such as when it belongs to nothing. A lease that has
    /// ended, or is another caller's, is left alone.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the lease then runs out by itself.
    async fn release_lease(&self, sequence: &Sequence, lease: Lease) -> Result<(), PortError>;

    /// Observes the server of a shard that is not open for its present run.
    ///
    /// Called after the repository's record of the shard was read, so that the repository can tell whether
    /// another run was admitted meanwhile.
    ///
    /// # Errors
    ///
    /// Fails when the backend does, or when its server must not number.
    async fn sight(&self, shard: Shard) -> Result<Sighting, PortError>;

    /// Installs an admitted epoch, provided that its sighting still holds.
    ///
    /// Answers `false` if it does not; the next create then leads to a new sighting.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn open(&self, admission: &Admission) -> Result<bool, PortError>;

    /// Forgets, in this process, that a shard is open for an epoch that the repository has left.
    ///
    /// The next create of this process in the shard then sights the server anew. Other processes notice by
    /// themselves, or hit the limit of pending creations.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn close(&self, shard: Shard, epoch: Epoch) -> Result<(), PortError>;

    /// Marks a sequence as deleted, so that it gives no more numbers.
    ///
    /// Called after the repository has stored the deletion, and before the client is answered.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn mark_deleted(&self, sequence: &Sequence) -> Result<(), PortError>;

    /// Reads one pending creation.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn pending(
        &self,
        sequence: &Sequence,
        number: Number,
    ) -> Result<Option<Creation>, PortError>;

    /// Reads the first `limit` pending creations of a range, with the last issued number, in one step.
    ///
    /// The page ends early once its creations have [`PendingPage::BYTES`] of text, so that no page is
    /// much larger than that, and the caller [sees](PendingPage::is_full) that there may be more.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn pending_page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, PortError>;

    /// Forgets pending creations that are stored.
    ///
    /// `epochs` are the repository's epochs of the shards concerned: a counter that is behind them
    /// may have been replaced, so it keeps everything pending, until it hits its limit and stops
    /// numbering.
    /// It answers the shards that are behind, with the epochs that they are open for; the caller
    /// [closes](Self::close) them.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; settling again is harmless.
    async fn settle(
        &self,
        settlements: &[Settlement],
        epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, PortError>;

    /// Links a pending creation to its dead letter, or removes the link with `None`.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn point_to_letter(
        &self,
        sequence: &Sequence,
        number: Number,
        uid: Uid,
        letter: Option<DeadLetterId>,
    ) -> Result<(), PortError>;

    /// Lists creations that have been pending since before `before`, for the audit.
    ///
    /// `after` is the place of the last one that the caller has seen; the order is the backend's own.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn pending_since(
        &self,
        before: Timestamp,
        after: Option<PendingPlace>,
        limit: usize,
    ) -> Result<Vec<Pending>, PortError>;

    /// Says whether [`settle`](Self::settle) acknowledges the receipts it is given; if not, its caller must.
    fn settle_acknowledges(&self) -> bool;

    /// Says whether [`create`](Self::create) may answer [`Placement::Remembered`], so that an accepted creation
    /// may be in no queue.
    fn leaves_publishing(&self) -> bool;

    /// Asks the backend for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when the backend does not answer or must not be used.
    async fn check(&self) -> Result<(), PortError>;
}

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbering {
    /// It has a number and will be kept.
    Accepted {
        /// The number.
        number: Number,
        /// The epoch that gave it.
        epoch: Epoch,
        /// Where the creation is now.
        placement: Placement,
    },
    /// Its key was used by the same request before.
    Replayed {
        /// The number that was given then.
        number: Number,
        /// When it was created.
        created_at: Timestamp,
    },
    /// Its key was used by another request.
    KeyReused,
    /// Its application or chat is deleted, or the counter is sure that it never existed.
    Gone,
    /// A sequence that it needs is unknown here; seed it and submit again.
    Unknown(UnknownSequence),
    /// The shard is not open for the server's present run; [sight](Counter::sight) it, have it admitted,
    /// and submit again.
    Closed(Shard),
    /// A limit is reached; nothing was numbered.
    Overloaded {
        /// Which limit it is.
        by: Overload,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
}

/// Which limit of a counter is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// Creations of the whole system that wait to be stored.
    Backlog,
    /// Creations of one sequence that wait to be stored, or its numbers, which end at [`Number::MAX`].
    Sequence,
    /// Idempotency keys, each of which is kept for a day; creates without one are still accepted.
    Keys,
}

/// Where an accepted creation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Pending only: the caller publishes it, then [confirms](Counter::confirm) that.
    Remembered,
    /// Pending and in the queue.
    Enqueued,
    /// In the repository.
    Stored,
}

/// A sequence that the counter does not know, and the lease on seeding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSequence {
    /// Which one.
    pub sequence: Sequence,
    /// The shard that it lies in.
    pub shard: Shard,
    /// The epoch that it will be known in.
    pub epoch: Epoch,
    /// The lease; `None` while another caller's lease has not run out: wait for that caller.
    pub lease: Option<Lease>,
    /// The highest number that is pending in it, 0 for none, read in the same step that gave the lease.
    ///
    /// What is settled from then on is in the repository by then. A later read could reach another server,
    /// one that takes this one's place for a moment and lacks what this one gave.
    pub highest_pending: u64,
}

/// The permission to seed one sequence, opaque to the caller.
///
/// It ends when the sequence becomes known or gone, or when it has run out and another caller was given
/// one: so a caller that stalled cannot seed with what it read long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(pub u64);

/// What makes a sequence known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The sequence.
    pub sequence: Sequence,
    /// The shard that it lies in.
    pub shard: Shard,
    /// The epoch that it was found unknown in.
    pub epoch: Epoch,
    /// The lease.
    pub lease: Lease,
    /// The highest number that may have been given; the next is above it.
    pub last: u64,
}

/// The answer to a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeding {
    /// The sequence is known.
    Seeded,
    /// The lease has ended, the epoch is over, or the sequence is known or deleted; submit again.
    Refused,
}

/// The pending part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPage {
    /// The last number issued when the page was read; `None` where the sequence is unknown.
    pub issued: Option<u64>,
    /// The highest pending number of the whole sequence, 0 for none.
    pub highest_pending: u64,
    /// The creations of the range, in its order.
    pub creations: Vec<Creation>,
}

impl PendingPage {
    /// A page ends with the creation that brings its texts to this many bytes: 1 MiB.
    ///
    /// Counted by [`Draft::text_bytes`](crate::model::Draft::text_bytes).
    pub const BYTES: usize = 1 << 20;

    /// Takes creations from the start of a range until the page is full.
    #[must_use]
    pub fn take(creations: impl IntoIterator<Item = Creation>, limit: usize) -> Vec<Creation> {
        let mut bytes = 0;
        let mut page = Vec::new();
        for creation in creations.into_iter().take(limit) {
            bytes += creation.draft.text_bytes();
            page.push(creation);
            if bytes >= Self::BYTES {
                break;
            }
        }
        page
    }

    /// Says whether a page of up to `limit` creations is full, so that its range may have more.
    #[must_use]
    pub fn is_full(&self, limit: usize) -> bool {
        Self::is_enough(&self.creations, limit)
    }

    /// Says whether these creations fill a page of up to `limit`.
    #[must_use]
    pub fn is_enough(creations: &[Creation], limit: usize) -> bool {
        let bytes = creations.iter().map(|it| it.draft.text_bytes());
        creations.len() >= limit || bytes.sum::<usize>() >= Self::BYTES
    }
}

/// A place in the list of pending creations, opaque to everybody but its counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PendingPlace(pub String);

/// One pending creation as the audit sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Where it stands in the list.
    pub place: PendingPlace,
    /// The creation.
    pub creation: Creation,
    /// Whether it is known to have reached the queue.
    pub confirmed: bool,
    /// Its dead letter, if it was set aside.
    pub dead_letter: Option<DeadLetterId>,
}

/// A creation that need not be pending any more: it is stored, or was dropped on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Its sequence.
    pub sequence: Sequence,
    /// Its number there.
    pub number: Number,
    /// Which creation of that number.
    pub uid: Uid,
    /// The delivery that it came with, to be acknowledged in the same step where the counter can.
    pub receipt: Option<Receipt>,
}

impl Settlement {
    /// The settlement of a creation and, where it came with one, of its delivery.
    #[must_use]
    pub fn of(creation: &Creation, receipt: Option<Receipt>) -> Self {
        Self {
            sequence: creation.sequence(),
            number: creation.number,
            uid: creation.draft.uid,
            receipt,
        }
    }
}
