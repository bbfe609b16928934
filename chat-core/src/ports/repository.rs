//! The truth: applications, chats and messages as they are stored, and the notes that go with them.

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
/// All writes are idempotent, and those to one row commute: a create that comes late finds what an
/// update or a deletion wrote in its place and stands back.
/// Counts, last numbers and outbox rows change in the transaction of the rows that they speak of.
/// What lies under something deleted is gone at once, whatever rows are left.
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
/// 1. `taken_token_is_answered`: a token or id that exists is refused as an outcome, and nothing changes.
/// 2. `applications_are_listed_by_id`: whatever the order that they were added in.
/// 3. `deleted_application_keeps_its_id`: its token still answers its id, its lookup answers gone.
///
/// Rows:
///
/// 4. `stored_is_found`: what was stored is found by key, by range in both orders and in lists
///    across the system, byte for byte.
/// 5. `range_and_limit_hold`: a slice holds the rows of its range only, the first ones, in order.
/// 6. `slice_judges_the_asked_numbers`: a slice says of each asked number whether it is stored, also
///    when it is a tombstone.
/// 7. `storing_again_changes_nothing`: the same batch twice leaves one row, one count.
/// 8. `another_uid_is_a_repeat`: a number that has another uid is reported and changes nothing.
/// 9. `message_may_come_before_its_chat`: its chat is invisible and not counted until it comes, and
///    then counts the message.
/// 10. `counts_follow_rows`: counts equal live rows after any mix of stores and deletions.
/// 11. `late_create_stands_back`: a create that comes after the update or deletion of its pending
///     form changes nothing.
/// 12. `one_of_many_deletions_wins`: of concurrent deletions one is told so.
/// 13. `nothing_lives_under_deleted`: under a deleted chat or application nothing is found, listed,
///     updated, deleted or stored.
/// 14. `old_creates_are_not_inserted`: a create below the batch's bound is refused where no row is,
///     unless forced.
/// 15. `versions_rise`: each change of a row raises its version; equal versions are equal contents.
/// 16. `concurrent_batches_agree`: overlapping batches stored at once leave each row once, counted.
/// 17. `twins_of_a_batch_are_stored_once`: a creation that is in its batch twice is one row, counted
///     once, and nothing is wrong with either.
/// 18. `absent_application_is_told`: a creation of an application that has no row at all is not stored,
///     and not taken for one below a deleted application.
/// 19. `cut_off_store_leaves_all_or_nothing`: of a batch whose caller goes away all is stored, counted and
///     noted for the index, or nothing.
///
/// Numbers and epochs:
///
/// 20. `numbers_hold_to_their_end`: rows and proofs at the highest numbers neither wrap nor fail.
/// 21. `basis_is_the_highest_number`: the basis of a sequence is the highest number that it stored,
///     deleted ones included, and purged ones.
/// 22. `basis_leaps_in_a_new_epoch`: the first basis of a later epoch is far above, later ones stay.
/// 23. `stale_epoch_gets_no_basis`: an epoch that is not the shard's is refused.
/// 24. `admission_is_remembered`: the same sighting is admitted into the same epoch again.
/// 25. `overtaken_sighting_is_not_admitted`: a sighting that calls for another run than the one that was
///     admitted since the record was read decides nothing.
/// 26. `shard_count_is_fixed_once`: the first count stays, others are told it.
/// 27. `report_tells_the_epochs`: a report tells the epochs as they are when the batch is stored.
/// 28. `positions_never_go_back`: how far the work of a shard has come is the furthest that any batch
///     told, whatever comes later.
///
/// Notes:
///
/// 29. `changes_leave_outbox_rows`: while an index generation exists each store, update and deletion
///     leaves an outbox row; without one none does.
/// 30. `outbox_rows_are_claimed_once`: concurrent claims share no row, and an expired claim is free.
/// 31. `released_rows_are_free`: a row that its holder gave back is claimed at once; nobody gives back
///     what another one holds.
/// 32. `noted_changes_come_out`: what was noted by hand is claimed like any change, and the backlog
///     tells how much there is and how far it goes back.
/// 33. `scan_finds_every_live_message`: a scan shows each live message once, with its version, looks no
///     further past those that do not live, and the count of those that do is right.
/// 34. `chat_on_its_way_hides_nothing_from_the_index`: a message that was stored before its chat is
///     read by key and scanned, until the chat is deleted.
/// 35. `one_holder_has_the_job`: a job is held by one until its lease ends.
/// 36. `audit_repairs_nothing_that_is_right`: an audit of sound counts changes none.
/// 37. `purging_frees_no_number`: what was purged is absent, its number stays given.
///
/// Dead letters, which are kept here whatever the queue is:
///
/// 38. `dead_letter_is_kept_once`: adding the same letter again keeps its first failure and updates
///     its last.
/// 39. `removed_letter_is_gone`: a removed letter is handed out once, then it is unknown.
/// 40. `letters_are_paged`: letters are listed by id, after a given one.
/// 41. `letter_that_failed_again_stays`: a letter is not removed by who has not seen its last failure.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Repository: Send + Sync {
    /// Adds an application, unless its token or its id exists, also on a deleted one.
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

    /// Deletes an application and with it all below.
    async fn delete_application(
        &self,
        id: ApplicationId,
        at: Timestamp,
    ) -> Result<Deletion, PortError>;

    /// Reads a chat.
    async fn chat(&self, key: ChatKey) -> Result<Lookup<Chat>, PortError>;

    /// Reads the first `limit` chats of a range, and what is known of the numbers `also`.
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

    /// Sets or clears a chat's title; where no row is, in the row of its `pending` creation.
    async fn update_chat(
        &self,
        key: ChatKey,
        title: Option<ChatTitle>,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Chat>, PortError>;

    /// Deletes a chat and with it its messages; where no row is, its `pending` creation.
    async fn delete_chat(
        &self,
        key: ChatKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError>;

    /// Reads a message.
    async fn message(&self, key: MessageKey) -> Result<Lookup<Message>, PortError>;

    /// Reads the first `limit` messages of a range, and what is known of the numbers `also`.
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

    /// Changes a message's body; where no row is, in the row of its `pending` creation.
    async fn update_message(
        &self,
        key: MessageKey,
        body: &MessageBody,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Message>, PortError>;

    /// Deletes a message; where no row is, its `pending` creation.
    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError>;

    /// Reads messages with their versions, for indexing and for hits, in the order asked for.
    ///
    /// A message that was stored before its chat is one of them: its chat is on its way, not gone.
    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError>;

    /// Stores creations in one transaction, and says of each how it ended.
    ///
    /// # Errors
    ///
    /// Fails as a whole when the backend does, or when it refuses one of them.
    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError>;

    /// Proves up to which number a sequence may have given numbers.
    ///
    /// `alive` is the epoch of the chat's own creation where that is pending: it stands for a chat
    /// that is not stored yet.
    /// In the first call of a new epoch the basis leaps by [`Basis::LEAP`], and is stored before it
    /// is answered, so that it is above everything that the lost epoch may have given.
    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError>;

    /// Reads what is remembered of a shard, which [`admit`](Self::admit) asks for: it is read before the
    /// server is sighted.
    async fn shard(&self, shard: Shard) -> Result<Option<ShardRecord>, PortError>;

    /// Decides by [`ShardRecord::admit`] under the shard's lock; `None` where the sighting is overtaken, and
    /// the server has to be sighted anew.
    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError>;

    /// Fixes the number of shards at the first start, and answers the fixed one.
    async fn fix_shards(&self, count: u16) -> Result<u16, PortError>;

    /// Takes up to `limit` of the oldest outbox rows that nobody has claimed beyond `claim.now`.
    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError>;

    /// Gives outbox rows back that the claim's holder could not do, for anybody to take at once.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; the rows are then free once the claim ends.
    async fn release_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError>;

    /// Removes outbox rows that the claim's holder has done.
    async fn complete_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError>;

    /// Tells how far behind the outbox is.
    async fn outbox_backlog(&self) -> Result<OutboxBacklog, PortError>;

    /// Leaves outbox rows without a change, so that something is indexed once more.
    async fn note_changes(&self, changes: &[OutboxChange]) -> Result<(), PortError>;

    /// Reads the next `limit` messages after one, for a rebuild: those that live with their versions, and of the
    /// others that they do not.
    ///
    /// Like [`messages_by_key`](Self::messages_by_key) it reads those whose chat is on its way. It looks no
    /// further for messages that live, so that it is quick however many do not.
    async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Indexable>, PortError>;

    /// Counts the messages of live chats by the chats' counts, for the progress of a rebuild.
    async fn count_messages(&self) -> Result<u64, PortError>;

    /// Keeps a dead letter, or brings the one of its id up to date; its last failure is later each time, whatever
    /// clocks say.
    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError>;

    /// Reads one dead letter.
    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError>;

    /// Lists up to `limit` dead letters by id, those after `after`.
    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError>;

    /// Removes a dead letter and hands it out; `None` if there is none that failed last at `seen` or before.
    ///
    /// So a letter stays whose entry was put back to work and has failed again by now.
    async fn remove_dead_letter(
        &self,
        id: &DeadLetterId,
        seen: Timestamp,
    ) -> Result<Option<DeadLetter>, PortError>;

    /// Lists the index generations, the lowest number first.
    async fn generations(&self) -> Result<Vec<Generation>, PortError>;

    /// Adds a generation that is being built, after every transaction that does not know of it.
    async fn add_generation(&self) -> Result<Generation, PortError>;

    /// Notes that this generation serves, and forgets every other; `false`, and nothing changes, where it is
    /// not listed.
    async fn serve_generation(&self, number: u64) -> Result<bool, PortError>;

    /// Forgets a generation.
    async fn remove_generation(&self, number: u64) -> Result<(), PortError>;

    /// Takes a job, unless another holder's lease lasts beyond `claim.now`.
    async fn claim_job(&self, name: JobName, claim: &Claim) -> Result<JobClaim, PortError>;

    /// Notes a job's progress and prolongs its lease; `false` if somebody else holds it by now.
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
    /// A piece may be smaller, or empty, and not be the last one: how much work it is counts, not how
    /// many keys it has. One that fails by itself is passed over and named.
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

    /// Removes tombstones for good; their numbers stay given.
    async fn purge_tombstones(&self, keys: &[MessageKey]) -> Result<u64, PortError>;

    /// Asks the backend for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when the backend does not answer or must not be used.
    async fn check(&self) -> Result<(), PortError>;
}
