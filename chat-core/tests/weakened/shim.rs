//! Ports that pass every call on, so that a weakened adapter says only what it does wrong.

use std::time::Duration;

use async_trait::async_trait;
use chat_core::{PortError, model::*, ports::*};

/// An adapter that is wrong in one way.
pub(crate) struct Weak<T>(pub(crate) T);

macro_rules! shim {
    ($shim:ident, $port:ident {
        $(async fn $method:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) -> $answer:ty;)*
        $(fn $plain:ident(&self) -> $plain_answer:ty;)*
    }) => {
        #[async_trait]
        pub(crate) trait $shim: Send + Sync {
            fn inner(&self) -> &dyn $port;
            $(
                async fn $method(&self $(, $argument: $kind)*) -> Result<$answer, PortError> {
                    self.inner().$method($($argument),*).await
                }
            )*
            $(fn $plain(&self) -> $plain_answer { self.inner().$plain() })*
        }

        #[async_trait]
        impl<T: $shim> $port for Weak<T> {
            $(
                async fn $method(&self $(, $argument: $kind)*) -> Result<$answer, PortError> {
                    $shim::$method(&self.0 $(, $argument)*).await
                }
            )*
            $(fn $plain(&self) -> $plain_answer { $shim::$plain(&self.0) })*
        }
    };
}

shim!(CounterShim, Counter {
    async fn create(&self, submission: &Submission) -> Numbering;
    async fn confirm(&self, sequence: &Sequence, number: Number, uid: Uid) -> ();
    async fn seed(&self, seed: &Seed) -> Seeding;
    async fn release_lease(&self, sequence: &Sequence, lease: Lease) -> ();
    async fn sight(&self, shard: Shard) -> Sighting;
    async fn open(&self, admission: &Admission) -> bool;
    async fn close(&self, shard: Shard, epoch: Epoch) -> ();
    async fn mark_deleted(&self, sequence: &Sequence) -> ();
    async fn pending(&self, sequence: &Sequence, number: Number) -> Option<Creation>;
    async fn pending_page(&self, sequence: &Sequence, range: &NumberRange, limit: usize)
        -> PendingPage;
    async fn settle(&self, settlements: &[Settlement], epochs: &[(Shard, Epoch)])
        -> Vec<(Shard, Epoch)>;
    async fn point_to_letter(
        &self, sequence: &Sequence, number: Number, uid: Uid, letter: Option<DeadLetterId>,
    ) -> ();
    async fn pending_since(
        &self, before: Timestamp, after: Option<PendingPlace>, limit: usize,
    ) -> Vec<Pending>;
    async fn check(&self) -> ();
    fn settle_acknowledges(&self) -> bool;
    fn leaves_publishing(&self) -> bool;
});

shim!(QueueShim, Queue {
    async fn publish(&self, creation: &Creation, forced: bool) -> ();
    async fn leave(&self, consumer: &Consumer) -> ();
    async fn receive(&self, consumer: &Consumer, most: usize, wait: Duration) -> Vec<Delivery>;
    async fn acknowledge(&self, receipts: &[Receipt]) -> ();
    async fn give_back(&self, receipts: &[Receipt]) -> ();
    async fn backlog(&self) -> Backlog;
    async fn check(&self) -> ();
});

shim!(RepositoryShim, Repository {
    async fn add_application(&self, new: &NewApplication) -> AddApplication;
    async fn application_id(&self, token: &ApplicationToken) -> Option<ApplicationId>;
    async fn application(&self, id: ApplicationId) -> Lookup<Application>;
    async fn applications(&self, after: Option<ApplicationId>, limit: usize) -> Vec<Application>;
    async fn rename_application(
        &self, id: ApplicationId, name: &ApplicationName, at: Timestamp,
    ) -> Lookup<Application>;
    async fn delete_application(&self, id: ApplicationId, at: Timestamp) -> Deletion;
    async fn chat(&self, key: ChatKey) -> Lookup<Chat>;
    async fn chats(
        &self, application: ApplicationId, range: &NumberRange, limit: usize, also: &[Number],
    ) -> Slice<Chat>;
    async fn all_chats(&self, after: Option<ChatKey>, limit: usize) -> Vec<Tokened<Chat>>;
    async fn update_chat(
        &self, key: ChatKey, title: Option<ChatTitle>, at: Timestamp, pending: Option<Creation>,
    ) -> Lookup<Chat>;
    async fn delete_chat(&self, key: ChatKey, at: Timestamp, pending: Option<Creation>)
        -> Deletion;
    async fn message(&self, key: MessageKey) -> Lookup<Message>;
    async fn messages(&self, chat: ChatKey, range: &NumberRange, limit: usize, also: &[Number])
        -> Slice<Message>;
    async fn all_messages(&self, after: Option<MessageKey>, limit: usize)
        -> Vec<Tokened<Message>>;
    async fn update_message(
        &self, key: MessageKey, body: &MessageBody, at: Timestamp, pending: Option<Creation>,
    ) -> Lookup<Message>;
    async fn delete_message(&self, key: MessageKey, at: Timestamp, pending: Option<Creation>)
        -> Deletion;
    async fn messages_by_key(&self, keys: &[MessageKey]) -> Vec<Indexable>;
    async fn store(&self, batch: &StoreBatch) -> StoreReport;
    async fn basis(&self, sequence: &Sequence, shard: Shard, epoch: Epoch, alive: Option<Epoch>)
        -> Basis;
    async fn shard(&self, shard: Shard) -> Option<ShardRecord>;
    async fn admit(&self, sighting: &Sighting, read: Option<ShardRecord>) -> Option<Admission>;
    async fn fix_shards(&self, count: u16) -> u16;
    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Vec<OutboxRow>;
    async fn release_outbox(&self, claim: &Claim, rows: &[u64]) -> ();
    async fn complete_outbox(&self, claim: &Claim, rows: &[u64]) -> ();
    async fn outbox_backlog(&self) -> OutboxBacklog;
    async fn note_changes(&self, changes: &[OutboxChange]) -> ();
    async fn scan_messages(&self, after: Option<MessageKey>, limit: usize) -> Vec<Indexable>;
    async fn count_messages(&self) -> u64;
    async fn add_dead_letter(&self, letter: &DeadLetter) -> ();
    async fn dead_letter(&self, id: &DeadLetterId) -> Option<DeadLetter>;
    async fn dead_letters(&self, after: Option<DeadLetterId>, limit: usize) -> Vec<DeadLetter>;
    async fn remove_dead_letter(&self, id: &DeadLetterId, seen: Timestamp) -> Option<DeadLetter>;
    async fn generations(&self) -> Vec<Generation>;
    async fn add_generation(&self) -> Generation;
    async fn serve_generation(&self, number: u64) -> bool;
    async fn remove_generation(&self, number: u64) -> ();
    async fn claim_job(&self, name: JobName, claim: &Claim) -> JobClaim;
    async fn report_job(&self, name: JobName, claim: &Claim, progress: &JobProgress) -> bool;
    async fn job(&self, name: JobName) -> Option<Job>;
    async fn audit_applications(&self, after: Option<ApplicationId>, limit: usize)
        -> Audit<ApplicationId>;
    async fn audit_chats(&self, after: Option<ChatKey>, limit: usize) -> Audit<ChatKey>;
    async fn purge_below_deleted(&self, limit: usize) -> u64;
    async fn tombstones(&self, before: Timestamp, after: Option<MessageKey>, limit: usize)
        -> Vec<MessageKey>;
    async fn purge_tombstones(&self, keys: &[MessageKey]) -> u64;
    async fn check(&self) -> ();
});

shim!(SearchIndexShim, SearchIndex {
    async fn apply(&self, generation: &Generation, changes: &[IndexChange]) -> Vec<Applied>;
    async fn find(&self, query: &SearchQuery) -> Vec<SearchHit>;
    async fn create_generation(&self, generation: &Generation) -> ();
    async fn serve_generation(&self, generation: &Generation) -> ();
    async fn remove_generation(&self, generation: &Generation) -> ();
    async fn remove_others(&self, kept: &Generation) -> ();
    async fn generations(&self) -> Vec<u64>;
    async fn check(&self) -> ();
});
