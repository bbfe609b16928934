//! The source of truth: stored applications, chats and messages, and the outbox, jobs and dead letters.

use async_trait::async_trait;

use crate::{
    PortError,
    model::{
        Admission, Application, ApplicationId, ApplicationName, ApplicationToken, Chat, ChatKey,
        ChatTitle, Creation, DeadLetter, DeadLetterId, Epoch, Generation, Job, JobName,
        JobProgress, Message, MessageBody, MessageKey, NewApplication, Number, NumberRange,
        Sequence, Shard, ShardRecord, Sighting, Timestamp,
    },
};

mod lookup;
mod outbox;
mod storing;

pub use lookup::{AddApplication, Deletion, Lookup, Parent, Slice, Tokened};
pub use outbox::{Claim, Indexable, JobClaim, OutboxBacklog, OutboxChange, OutboxRow};
pub use storing::{Audit, Basis, StoreBatch, StoreOutcome, StoreReport};

/// Keeps everything that was created, and counts it.
///
/// All writes are idempotent, and those to one row commute: a create that comes late finds the row
/// that an update or a deletion wrote in its place, and changes nothing.
/// Counts, last numbers and outbox rows change in the same transaction as the rows they are about.
/// What lies under something deleted is gone at once, even while its rows still exist.
///
/// # Errors
///
/// Each method fails when the backend does, and can be called again.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::repository`, one test per law.
///
/// Applications:
///
/// 1. `taken_token_is_answered`: a token or id that exists is an outcome, not an error, and changes nothing.
/// 2. `applications_are_listed_by_id`: whatever the order that they were added in.
/// 3. `deleted_application_keeps_its_id`: its token still leads to its id, and the id to [`Lookup::Gone`].
///
/// Rows:
///
/// 4. `stored_is_found`: what was stored is found by key, by range in both orders and in lists
///    across the system, byte for byte.
/// 5. `range_and_limit_hold`: a slice holds only rows of its range, the first `limit` of them, in order.
/// 6. `slice_judges_the_asked_numbers`: a slice tells which of the numbers asked for have a row,
///    tombstones included.
/// 7. `storing_again_changes_nothing`: a batch that is stored twice leaves each row once, counted once.
/// 8. `another_uid_is_a_repeat`: a creation whose number is stored under another uid is reported and
///    changes nothing.
/// 9. `message_may_come_before_its_chat`: the chat is invisible and not counted until it is stored, and
///    then counts the message.
/// 10. `counts_follow_rows`: counts equal live rows after any mix of stores and deletions.
/// 11. `late_create_stands_back`: a create that comes after the update or deletion of its pending
///     form changes nothing.
/// 12. `one_of_many_deletions_wins`: of concurrent deletions exactly one answers [`Deletion::Deleted`].
/// 13. `nothing_lives_under_deleted`: under a deleted chat or application nothing is found, listed,
///     updated, deleted or stored.
/// 14. `old_creates_are_not_inserted`: a create from before the batch's bound is refused if it has no
///     row, unless forced.
/// 15. `versions_rise`: each change of a row raises its version; equal versions are equal contents.
/// 16. `concurrent_batches_agree`: overlapping batches stored at once leave each row once, counted.
/// 17. `twins_of_a_batch_are_stored_once`: a creation that is in its batch twice becomes one row, counted
///     once, and both copies succeed.
/// 18. `absent_application_is_told`: a creation of an application that has no row at all is not stored,
///     and not taken for one below a deleted application.
/// 19. `cut_off_store_leaves_all_or_nothing`: a batch whose caller goes away is stored, counted and noted
///     for the index as a whole, or not at all.
///
/// Numbers and epochs:
///
/// 20. `numbers_hold_to_their_end`: rows and bases at the highest numbers neither wrap nor fail.
/// 21. `basis_is_the_highest_number`: the basis of a sequence is the highest number that it stored,
///     including deleted and purged ones.
/// 22. `basis_leaps_in_a_new_epoch`: the first basis of a later epoch leaps far ahead, later ones stay there.
/// 23. `stale_epoch_gets_no_basis`: an epoch that is not the shard's is refused.
/// 24. `admission_is_remembered`: the same sighting is admitted into the same epoch again.
/// 25. `overtaken_sighting_is_not_admitted`: a sighting of one run decides nothing if another run was
///     admitted since the record was read.
/// 26. `shard_count_is_fixed_once`: the first count stays, and later callers are told it.
/// 27. `report_tells_the_epochs`: a report tells the epochs as they are when the batch is stored.
/// 28. `positions_never_go_back`: the position kept of a shard is the furthest that any batch reported,
///     in whatever order they come.
///
/// Outbox, jobs and audits:
///
/// 29. `changes_leave_outbox_rows`: while an index generation exists, each store, update and deletion
///     leaves an outbox row; without a generation none does.
/// 30. `outbox_rows_are_claimed_once`: concurrent claims share no row, and rows of an expired claim are free.
/// 31. `released_rows_are_free`: a row that its holder gave back can be claimed at once; nobody can give
///     back a row that another claimant holds.
/// 32. `noted_changes_come_out`: what was noted by hand is claimed like any change, and the backlog
///     tells how many rows there are and which is the oldest.
/// 33. `scan_finds_every_live_message`: a scan shows each live message once, with its version, does not read
///     on to make up for dead ones, and the count of the live ones is right.
/// 34. `chat_on_its_way_hides_nothing_from_the_index`: a message that was stored before its chat is
///     read by key and scanned, until the chat is deleted.
/// 35. `one_holder_has_the_job`: a job has one holder until its lease ends.
/// 36. `audit_repairs_nothing_that_is_right`: an audit of sound counts changes none.
/// 37. `purging_frees_no_number`: what was purged is absent, but its number is never given again.
///
/// Dead letters, which are kept here whatever the queue is:
///
/// 38. `dead_letter_is_kept_once`: adding the same letter again keeps its first failure and updates
///     its last.
/// 39. `removed_letter_is_gone`: removing a letter answers it once; then it is unknown.
/// 40. `letters_are_paged`: letters are listed by id, after a given one.
/// 41. `letter_that_failed_again_stays`: only a caller who has seen a letter's last failure removes it.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Repository: Send + Sync {
    /// Adds an application, unless another one, possibly deleted, has its token or its id.
    async fn add_application(&self, new: &NewApplication) -> Result<AddApplication, PortError>;

    /// Reads the id behind a token, also of a deleted application; it never changes.
    async fn application_id(
        &self,
        token: &ApplicationToken,
    ) -> Result<Option<ApplicationId>, PortError>;

    /// Reads an application.
    async fn application(&self, id: ApplicationId) -> Result<Lookup<Application>, PortError>;

    /// Lists the first `limit` applications after one, oldest first.
    async fn applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Vec<Application>, PortError>;

    /// Renames an application.
    async fn rename_application(
        &self,
        id: ApplicationId,
        name: &ApplicationName,
        at: Timestamp,
    ) -> Result<Lookup<Application>, PortError>;

    /// Deletes an application and everything below it.
    async fn delete_application(
        &self,
        id: ApplicationId,
        at: Timestamp,
    ) -> Result<Deletion, PortError>;

    /// Reads a chat.
    async fn chat(&self, key: ChatKey) -> Result<Lookup<Chat>, PortError>;

    /// Reads the first `limit` chats of a range, and what is known of the numbers in `also`.
    async fn chats(
        &self,
        application: ApplicationId,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Chat>, PortError>;

    /// Lists the first `limit` chats of the system after one.
    async fn all_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Chat>>, PortError>;

    /// Sets or clears a chat's title; a chat without a row gets one from its `pending` creation.
    async fn update_chat(
        &self,
        key: ChatKey,
        title: Option<ChatTitle>,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Chat>, PortError>;

    /// Deletes a chat and its messages; a chat without a row gets a deleted one from `pending`.
    async fn delete_chat(
        &self,
        key: ChatKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError>;

    /// Reads a message.
    async fn message(&self, key: MessageKey) -> Result<Lookup<Message>, PortError>;

    /// Reads the first `limit` messages of a range, and what is known of the numbers in `also`.
    async fn messages(
        &self,
        chat: ChatKey,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Message>, PortError>;

    /// Lists the first `limit` messages of the system after one.
    async fn all_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Message>>, PortError>;

    /// Changes a message's body; a message without a row gets one from its `pending` creation.
    async fn update_message(
        &self,
        key: MessageKey,
        body: &MessageBody,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Message>, PortError>;

    /// Deletes a message; one without a row gets a tombstone from its `pending` creation.
    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError>;

    /// Reads messages with their versions, for indexing and for hits, in the order asked for.
    ///
    /// A message that was stored before its chat counts as live: the chat is on its way, not gone.
    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError>;

    /// Stores creations in one transaction, and says of each how it ended.
    ///
    /// # Errors
    ///
    /// Fails as a whole when the backend does, or when it refuses one of them.
    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError>;

    /// Proves which number is the highest that a sequence may have given.
    ///
    /// `alive` is the epoch of the chat's own creation where that is pending: it proves that a chat
    /// without a row exists.
    /// In the first call of a new epoch the basis leaps by [`Basis::LEAP`], and is stored before it
    /// is answered, so that it is above everything that the lost epoch may have given.
    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError>;

    /// Reads the record of a shard, which must happen before the server is sighted; [`admit`](Self::admit)
    /// takes it.
    async fn shard(&self, shard: Shard) -> Result<Option<ShardRecord>, PortError>;

    /// Decides by [`ShardRecord::admit`] under the shard's lock; `None` if the sighting is overtaken, so that
    /// the server has to be sighted anew.
    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError>;

    /// Fixes the number of shards at the first start, and answers the fixed one.
    async fn fix_shards(&self, count: u16) -> Result<u16, PortError>;

    /// Claims up to `limit` outbox rows, the oldest of those that nobody holds beyond `claim.now`.
    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError>;

    /// Gives back outbox rows that the claim's holder could not finish, for anybody to take at once.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the rows are then free once the claim ends.
    async fn release_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError>;

    /// Removes outbox rows that the claim's holder has finished.
    async fn complete_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError>;

    /// Tells how far behind the outbox is.
    async fn outbox_backlog(&self) -> Result<OutboxBacklog, PortError>;

    /// Adds outbox rows for things that have not changed, so that they are indexed once more.
    async fn note_changes(&self, changes: &[OutboxChange]) -> Result<(), PortError>;

    /// Reads up to `limit` messages after one, for a rebuild: live ones with their versions, others as gone.
    ///
    /// As in [`messages_by_key`](Self::messages_by_key), a message whose chat is on its way counts as live. It
    /// does not read on to replace dead ones by live ones, so that it is quick however many are dead.
    async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Indexable>, PortError>;

    /// Adds up the message counts of live chats, for the progress of a rebuild.
    async fn count_messages(&self) -> Result<u64, PortError>;

    /// Keeps a dead letter, or updates the one with its id; `last_failed_at` rises each time, whatever clocks
    /// say.
    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError>;

    /// Reads one dead letter.
    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError>;

    /// Lists up to `limit` dead letters by id, those after `after`.
    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError>;

    /// Removes a dead letter and answers it; `None` if there is none whose last failure is up to `seen`.
    ///
    /// So a letter stays if its entry was replayed and has failed again by now.
    async fn remove_dead_letter(
        &self,
        id: &DeadLetterId,
        seen: Timestamp,
    ) -> Result<Option<DeadLetter>, PortError>;

    /// Lists the index generations, the lowest number first.
    async fn generations(&self) -> Result<Vec<Generation>, PortError>;

    /// Adds a generation to be built, once every transaction that does not know of it has ended.
    async fn add_generation(&self) -> Result<Generation, PortError>;

    /// Notes that this generation serves, and forgets every other; `false`, and nothing changes, where it is
    /// not listed.
    async fn serve_generation(&self, number: u64) -> Result<bool, PortError>;

    /// Forgets a generation.
    async fn remove_generation(&self, number: u64) -> Result<(), PortError>;

    /// Takes a job, unless another holder's lease lasts beyond `claim.now`.
    async fn claim_job(&self, name: JobName, claim: &Claim) -> Result<JobClaim, PortError>;

    /// Notes a job's progress and renews its lease; `false` if somebody else holds it by now.
    async fn report_job(
        &self,
        name: JobName,
        claim: &Claim,
        progress: &JobProgress,
    ) -> Result<bool, PortError>;

    /// Reads a job.
    async fn job(&self, name: JobName) -> Result<Option<Job>, PortError>;

    /// Compares `chats_count` and `last_number` of up to `limit` applications with their chats, and
    /// repairs them.
    ///
    /// A piece may be smaller than `limit`, even empty, without being the last: it is bounded by work, not
    /// by keys. An application that fails by itself is skipped, and listed in [`Audit::failed`].
    async fn audit_applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Audit<ApplicationId>, PortError>;

    /// Compares `messages_count` and `last_number` of up to `limit` chats with their messages, and
    /// repairs them.
    ///
    /// As for [`audit_applications`](Self::audit_applications).
    async fn audit_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Audit<ChatKey>, PortError>;

    /// Removes up to `limit` rows below deleted chats and applications, and says how many.
    async fn purge_below_deleted(&self, limit: usize) -> Result<u64, PortError>;

    /// Lists up to `limit` tombstones of messages in live chats, deleted before `before`.
    async fn tombstones(
        &self,
        before: Timestamp,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<MessageKey>, PortError>;

    /// Removes tombstones for good, and says how many; their numbers are never given again.
    async fn purge_tombstones(&self, keys: &[MessageKey]) -> Result<u64, PortError>;

    /// Asks the backend for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when the backend does not answer or must not be used.
    async fn check(&self) -> Result<(), PortError>;
}
