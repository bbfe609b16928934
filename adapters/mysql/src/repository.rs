//! The port's implementation: each method runs a statement, or a few in one transaction, of a module.

use crate::{
    applications, chats,
    config::MySqlConfig,
    database::Database,
    dead_letters,
    error::OpenError,
    jobs, messages, outbox, purging, shards,
    storing::{self, Storing},
};
use async_trait::async_trait;
use chat_core::{
    PortError,
    model::{
        Admission, Application, ApplicationId, ApplicationName, ApplicationToken, Chat, ChatKey,
        ChatTitle, Creation, DeadLetter, DeadLetterId, Epoch, Generation, Job, JobName,
        JobProgress, Message, MessageBody, MessageKey, NewApplication, Number, NumberRange,
        Sequence, Shard, ShardRecord, Sighting, Timestamp,
    },
    ports::{
        AddApplication, Audit, Basis, Claim, Deletion, Indexable, JobClaim, Lookup, OutboxBacklog,
        OutboxChange, OutboxRow, Repository, Slice, StoreBatch, StoreReport, Tokened,
    },
};

/// Keeps everything in one database of MySQL or MariaDB.
pub struct MySqlRepository {
    pub(crate) database: Database,
}

/// Runs a module's function on a connection: by `read`, by `write`, or by `keep_up`, which is `write`
/// with more time.
macro_rules! run {
    ($self:ident.read($operation:literal), $($work:tt)+) => {
        run!($self.read($operation;) $($work)+)
    };
    ($self:ident.write($operation:literal), $($work:tt)+) => {
        run!($self.write($operation; $self.database.timeout,) $($work)+)
    };
    ($self:ident.keep_up($operation:literal), $($work:tt)+) => {
        run!($self.write($operation; $self.database.upkeep_timeout,) $($work)+)
    };
    ($self:ident.$how:ident($operation:literal; $($limit:expr,)?)
     $module:ident::$function:ident($($argument:expr),*)) => {
        $self
            .database
            .$how($operation, $($limit,)? |mut lease: $crate::database::Lease| async move {
                let answer = $module::$function(&mut lease $(, $argument)*).await;
                (lease, answer)
            })
            .await
    };
}
pub(crate) use run;

impl MySqlRepository {
    /// Opens a database: makes it where it is missing, and brings it to this version's schema.
    ///
    /// # Errors
    ///
    /// Fails when the server cannot be reached or is none that this program runs on, when the database
    /// cannot be made or migrated, and when a newer program made it.
    pub async fn open(config: &MySqlConfig) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(config).await?,
        })
    }

    /// Connects to a database as it is, without creating or migrating anything.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), and where the database is missing.
    pub async fn connect(config: &MySqlConfig) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::connect(config).await?,
        })
    }

    /// Closes the connections, once those in use are given back.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl Repository for MySqlRepository {
    async fn add_application(&self, new: &NewApplication) -> Result<AddApplication, PortError> {
        run!(self.write("add an application"), applications::add(new))
    }

    async fn application_id(
        &self,
        token: &ApplicationToken,
    ) -> Result<Option<ApplicationId>, PortError> {
        run!(
            self.read("read an application's id"),
            applications::id(token)
        )
    }

    async fn application(&self, id: ApplicationId) -> Result<Lookup<Application>, PortError> {
        run!(self.read("read an application"), applications::get(id))
    }

    async fn applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Vec<Application>, PortError> {
        run!(
            self.read("list applications"),
            applications::list(after, limit)
        )
    }

    async fn rename_application(
        &self,
        id: ApplicationId,
        name: &ApplicationName,
        at: Timestamp,
    ) -> Result<Lookup<Application>, PortError> {
        run!(
            self.write("rename an application"),
            applications::rename(id, name, at)
        )
    }

    async fn delete_application(
        &self,
        id: ApplicationId,
        at: Timestamp,
    ) -> Result<Deletion, PortError> {
        run!(
            self.write("delete an application"),
            applications::delete(id, at)
        )
    }

    async fn chat(&self, key: ChatKey) -> Result<Lookup<Chat>, PortError> {
        run!(self.read("read a chat"), chats::get(key))
    }

    async fn chats(
        &self,
        application: ApplicationId,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Chat>, PortError> {
        run!(
            self.read("list chats"),
            chats::slice(application, range, limit, also)
        )
    }

    async fn all_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Chat>>, PortError> {
        run!(self.read("list all chats"), chats::list(after, limit))
    }

    async fn update_chat(
        &self,
        key: ChatKey,
        title: Option<ChatTitle>,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Chat>, PortError> {
        let (title, pending) = (title.as_ref(), pending.as_ref());
        run!(
            self.write("update a chat"),
            chats::update(key, title, at, pending)
        )
    }

    async fn delete_chat(
        &self,
        key: ChatKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        let pending = pending.as_ref();
        run!(self.write("delete a chat"), chats::delete(key, at, pending))
    }

    async fn message(&self, key: MessageKey) -> Result<Lookup<Message>, PortError> {
        run!(self.read("read a message"), messages::get(key))
    }

    async fn messages(
        &self,
        chat: ChatKey,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Message>, PortError> {
        run!(
            self.read("list messages"),
            messages::slice(chat, range, limit, also)
        )
    }

    async fn all_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Message>>, PortError> {
        run!(self.read("list all messages"), messages::list(after, limit))
    }

    async fn update_message(
        &self,
        key: MessageKey,
        body: &MessageBody,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Message>, PortError> {
        let pending = pending.as_ref();
        run!(
            self.write("update a message"),
            messages::update(key, body, at, pending)
        )
    }

    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        let pending = pending.as_ref();
        run!(
            self.write("delete a message"),
            messages::delete(key, at, pending)
        )
    }

    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError> {
        run!(self.read("read messages by key"), messages::by_key(keys))
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let batch = &Storing::new(batch, self.database.server.statement_bytes);
        run!(self.write("store a batch"), storing::store(batch))
    }

    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError> {
        run!(
            self.write("find a sequence's last number"),
            shards::basis(*sequence, shard, epoch, alive)
        )
    }

    async fn shard(&self, shard: Shard) -> Result<Option<ShardRecord>, PortError> {
        run!(self.read("read a shard's record"), shards::record(shard))
    }

    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError> {
        let read = read.as_ref();
        run!(self.write("admit a counter"), shards::admit(sighting, read))
    }

    async fn fix_shards(&self, count: u16) -> Result<u16, PortError> {
        run!(
            self.write("store the number of shards"),
            shards::fix_count(count)
        )
    }

    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError> {
        run!(self.write("claim outbox rows"), outbox::claim(claim, limit))
    }

    async fn release_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError> {
        run!(
            self.write("release outbox rows"),
            outbox::release(claim, rows)
        )
    }

    async fn complete_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError> {
        run!(
            self.write("complete outbox rows"),
            outbox::complete(claim, rows)
        )
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog, PortError> {
        run!(self.read("measure the outbox"), outbox::backlog())
    }

    async fn note_changes(&self, changes: &[OutboxChange]) -> Result<(), PortError> {
        run!(self.write("add outbox rows"), outbox::note_again(changes))
    }

    async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Indexable>, PortError> {
        run!(self.read("scan messages"), messages::scan(after, limit))
    }

    async fn count_messages(&self) -> Result<u64, PortError> {
        run!(self.keep_up("count messages"), messages::count())
    }

    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        run!(self.write("store a dead letter"), dead_letters::add(letter))
    }

    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        run!(self.read("read a dead letter"), dead_letters::get(id))
    }

    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let after = after.as_ref();
        run!(
            self.read("list dead letters"),
            dead_letters::list(after, limit)
        )
    }

    async fn remove_dead_letter(
        &self,
        id: &DeadLetterId,
        seen: Timestamp,
    ) -> Result<Option<DeadLetter>, PortError> {
        run!(
            self.write("remove a dead letter"),
            dead_letters::remove(id, seen)
        )
    }

    async fn generations(&self) -> Result<Vec<Generation>, PortError> {
        run!(self.read("list index generations"), outbox::generations())
    }

    async fn add_generation(&self) -> Result<Generation, PortError> {
        run!(
            self.write("add an index generation"),
            outbox::add_generation()
        )
    }

    async fn serve_generation(&self, number: u64) -> Result<bool, PortError> {
        run!(
            self.write("serve an index generation"),
            outbox::serve_generation(number)
        )
    }

    async fn remove_generation(&self, number: u64) -> Result<(), PortError> {
        run!(
            self.write("remove an index generation"),
            outbox::remove_generation(number)
        )
    }

    async fn claim_job(&self, name: JobName, claim: &Claim) -> Result<JobClaim, PortError> {
        run!(self.write("claim a job"), jobs::claim(name, claim))
    }

    async fn report_job(
        &self,
        name: JobName,
        claim: &Claim,
        progress: &JobProgress,
    ) -> Result<bool, PortError> {
        run!(
            self.write("report on a job"),
            jobs::report(name, claim, progress)
        )
    }

    async fn job(&self, name: JobName) -> Result<Option<Job>, PortError> {
        run!(self.read("read a job"), jobs::get(name))
    }

    async fn audit_applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Audit<ApplicationId>, PortError> {
        self.audit_each_application(after, limit).await
    }

    async fn audit_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Audit<ChatKey>, PortError> {
        self.audit_each_chat(after, limit).await
    }

    async fn purge_below_deleted(&self, limit: usize) -> Result<u64, PortError> {
        let limit = limit as u64;
        let mut rows = 0;
        loop {
            let room = limit - rows;
            let purged = run!(
                self.keep_up("purge below deleted parents"),
                purging::purge_below_deleted(room)
            )?;
            rows += purged.rows;
            if purged.is_end || rows >= limit {
                return Ok(rows);
            }
        }
    }

    async fn tombstones(
        &self,
        before: Timestamp,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<MessageKey>, PortError> {
        run!(
            self.keep_up("list tombstones"),
            purging::tombstones(before, after, limit)
        )
    }

    async fn purge_tombstones(&self, keys: &[MessageKey]) -> Result<u64, PortError> {
        run!(
            self.keep_up("purge tombstones"),
            purging::purge_tombstones(keys)
        )
    }

    async fn check(&self) -> Result<(), PortError> {
        self.database.check().await
    }
}
