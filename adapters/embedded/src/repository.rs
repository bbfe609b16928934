//! The port's implementation: each method runs a statement, or a few in one transaction, of a module.

use std::sync::{Arc, Mutex};

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
use sqlx::SqlitePool;

use crate::{
    applications, chats,
    database::Database,
    dead_letters,
    error::port_error,
    jobs, messages, outbox,
    purging::{self, Place},
    shards, storing, upkeep,
};

/// Keeps everything in one SQLite file.
pub struct EmbeddedRepository {
    database: Arc<Database>,
    /// How far the current purge has come.
    purged: Mutex<Option<Place>>,
}

impl EmbeddedRepository {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        Self {
            database: Arc::clone(database),
            purged: Mutex::default(),
        }
    }

    /// Takes the place where this purge goes on, and leaves the one for the next.
    fn purge_place(&self, next: Option<Place>) -> Option<Place> {
        let mut place = self.purged.lock().expect("no holder of the lock panics");
        std::mem::replace(&mut place, next)
    }

    fn readers(&self) -> &SqlitePool {
        self.database.readers()
    }
}

/// Runs work on the writer, in a transaction shared with others.
macro_rules! write {
    ($self:ident, $operation:literal, |$connection:ident| $work:expr) => {
        $self
            .database
            .writer
            .write($operation, move |$connection| {
                Box::pin(async move { $work.await })
            })
            .await
    };
}

#[async_trait]
impl Repository for EmbeddedRepository {
    async fn add_application(&self, new: &NewApplication) -> Result<AddApplication, PortError> {
        let new = new.clone();
        write!(self, "add an application", |connection| applications::add(
            connection, &new
        ))
    }

    async fn application_id(
        &self,
        token: &ApplicationToken,
    ) -> Result<Option<ApplicationId>, PortError> {
        applications::id(self.readers(), token)
            .await
            .map_err(|error| port_error("read an application's id", error))
    }

    async fn application(&self, id: ApplicationId) -> Result<Lookup<Application>, PortError> {
        applications::get(self.readers(), id)
            .await
            .map_err(|error| port_error("read an application", error))
    }

    async fn applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Vec<Application>, PortError> {
        applications::list(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("list applications", error))
    }

    async fn rename_application(
        &self,
        id: ApplicationId,
        name: &ApplicationName,
        at: Timestamp,
    ) -> Result<Lookup<Application>, PortError> {
        let name = name.clone();
        write!(self, "rename an application", |connection| {
            applications::rename(connection, id, &name, at)
        })
    }

    async fn delete_application(
        &self,
        id: ApplicationId,
        at: Timestamp,
    ) -> Result<Deletion, PortError> {
        write!(self, "delete an application", |connection| {
            applications::delete(connection, id, at)
        })
    }

    async fn chat(&self, key: ChatKey) -> Result<Lookup<Chat>, PortError> {
        chats::get(self.readers(), key)
            .await
            .map_err(|error| port_error("read a chat", error))
    }

    async fn chats(
        &self,
        application: ApplicationId,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Chat>, PortError> {
        chats::slice(self.readers(), application, range, limit, also)
            .await
            .map_err(|error| port_error("list chats", error))
    }

    async fn all_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Chat>>, PortError> {
        chats::list(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("list all chats", error))
    }

    async fn update_chat(
        &self,
        key: ChatKey,
        title: Option<ChatTitle>,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Chat>, PortError> {
        write!(self, "update a chat", |connection| chats::update(
            connection, key, title, at, pending
        ))
    }

    async fn delete_chat(
        &self,
        key: ChatKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        write!(self, "delete a chat", |connection| chats::delete(
            connection, key, at, pending
        ))
    }

    async fn message(&self, key: MessageKey) -> Result<Lookup<Message>, PortError> {
        messages::get(self.readers(), key)
            .await
            .map_err(|error| port_error("read a message", error))
    }

    async fn messages(
        &self,
        chat: ChatKey,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Message>, PortError> {
        messages::slice(self.readers(), chat, range, limit, also)
            .await
            .map_err(|error| port_error("list messages", error))
    }

    async fn all_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Message>>, PortError> {
        messages::list(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("list all messages", error))
    }

    async fn update_message(
        &self,
        key: MessageKey,
        body: &MessageBody,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Message>, PortError> {
        let body = body.clone();
        write!(self, "update a message", |connection| messages::update(
            connection, key, &body, at, pending
        ))
    }

    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        write!(self, "delete a message", |connection| messages::delete(
            connection, key, at, pending
        ))
    }

    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError> {
        messages::by_key(self.readers(), keys)
            .await
            .map_err(|error| port_error("read messages by key", error))
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let batch = batch.clone();
        write!(self, "store a batch", |connection| storing::store(
            connection, &batch
        ))
    }

    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError> {
        let sequence = *sequence;
        write!(self, "find a sequence's last number", |connection| {
            shards::basis(connection, sequence, shard, epoch, alive)
        })
    }

    async fn shard(&self, shard: Shard) -> Result<Option<ShardRecord>, PortError> {
        shards::record(self.readers(), shard)
            .await
            .map_err(|error| port_error("read a shard's record", error))
    }

    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError> {
        let sighting = sighting.clone();
        write!(self, "admit a counter", |connection| shards::admit(
            connection, sighting, read
        ))
    }

    async fn fix_shards(&self, count: u16) -> Result<u16, PortError> {
        write!(self, "store the number of shards", |connection| {
            shards::fix_count(connection, count)
        })
    }

    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError> {
        let claim = claim.clone();
        write!(self, "claim outbox rows", |connection| outbox::claim(
            connection, &claim, limit
        ))
    }

    async fn release_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError> {
        let (claim, rows) = (claim.clone(), rows.to_vec());
        write!(self, "release outbox rows", |connection| outbox::release(
            connection, &claim, &rows
        ))
    }

    async fn complete_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError> {
        let (claim, rows) = (claim.clone(), rows.to_vec());
        write!(self, "complete outbox rows", |connection| outbox::complete(
            connection, &claim, &rows
        ))
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog, PortError> {
        outbox::backlog(self.readers())
            .await
            .map_err(|error| port_error("measure the outbox", error))
    }

    async fn note_changes(&self, changes: &[OutboxChange]) -> Result<(), PortError> {
        let changes = changes.to_vec();
        write!(self, "add outbox rows", |connection| outbox::note(
            connection, &changes
        ))
    }

    async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Indexable>, PortError> {
        messages::scan(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("scan messages", error))
    }

    async fn count_messages(&self) -> Result<u64, PortError> {
        messages::count(self.readers())
            .await
            .map_err(|error| port_error("count messages", error))
    }

    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        let letter = letter.clone();
        write!(self, "store a dead letter", |connection| dead_letters::add(
            connection, &letter
        ))
    }

    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        dead_letters::get(self.readers(), id)
            .await
            .map_err(|error| port_error("read a dead letter", error))
    }

    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        dead_letters::list(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("list dead letters", error))
    }

    async fn remove_dead_letter(
        &self,
        id: &DeadLetterId,
        seen: Timestamp,
    ) -> Result<Option<DeadLetter>, PortError> {
        let id = id.clone();
        write!(self, "remove a dead letter", |connection| {
            dead_letters::remove(connection, &id, seen)
        })
    }

    async fn generations(&self) -> Result<Vec<Generation>, PortError> {
        outbox::generations(self.readers())
            .await
            .map_err(|error| port_error("list index generations", error))
    }

    async fn add_generation(&self) -> Result<Generation, PortError> {
        write!(self, "add an index generation", |connection| {
            outbox::add_generation(connection)
        })
    }

    async fn serve_generation(&self, number: u64) -> Result<bool, PortError> {
        write!(self, "serve an index generation", |connection| {
            outbox::serve_generation(connection, number)
        })
    }

    async fn remove_generation(&self, number: u64) -> Result<(), PortError> {
        write!(self, "remove an index generation", |connection| {
            outbox::remove_generation(connection, number)
        })
    }

    async fn claim_job(&self, name: JobName, claim: &Claim) -> Result<JobClaim, PortError> {
        let claim = claim.clone();
        write!(self, "claim a job", |connection| jobs::claim(
            connection, name, &claim
        ))
    }

    async fn report_job(
        &self,
        name: JobName,
        claim: &Claim,
        progress: &JobProgress,
    ) -> Result<bool, PortError> {
        let (claim, progress) = (claim.clone(), progress.clone());
        write!(self, "report on a job", |connection| jobs::report(
            connection, name, &claim, &progress
        ))
    }

    async fn job(&self, name: JobName) -> Result<Option<Job>, PortError> {
        jobs::get(self.readers(), name)
            .await
            .map_err(|error| port_error("read a job", error))
    }

    async fn audit_applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Audit<ApplicationId>, PortError> {
        let (audit, wrong) = upkeep::compare_applications(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("audit applications", error))?;
        if wrong.is_empty() {
            return Ok(audit);
        }
        let repaired = write!(self, "repair applications", |connection| {
            upkeep::repair_applications(connection, &wrong)
        })?;
        Ok(Audit { repaired, ..audit })
    }

    async fn audit_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Audit<ChatKey>, PortError> {
        let (audit, wrong) = upkeep::compare_chats(self.readers(), after, limit)
            .await
            .map_err(|error| port_error("audit chats", error))?;
        if wrong.is_empty() {
            return Ok(audit);
        }
        let repaired = write!(self, "repair chats", |connection| upkeep::repair_chats(
            connection, &wrong
        ))?;
        Ok(Audit { repaired, ..audit })
    }

    async fn purge_below_deleted(&self, limit: usize) -> Result<u64, PortError> {
        let limit = limit as u64;
        let mut rows = 0;
        let mut place = self.purge_place(None);
        loop {
            let found = purging::look(self.readers(), place)
                .await
                .map_err(|error| port_error("look for what to purge", error))?;
            let (chats, room) = (found.chats, limit - rows);
            let (removed, is_all) = if chats.is_empty() {
                (0, true)
            } else {
                write!(self, "purge below deleted parents", |connection| {
                    purging::remove(connection, &chats, room)
                })?
            };
            rows += removed;
            if is_all {
                place = found.next;
            }
            if place.is_none() || rows >= limit {
                self.purge_place(place);
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
        upkeep::tombstones(self.readers(), before, after, limit)
            .await
            .map_err(|error| port_error("list tombstones", error))
    }

    async fn purge_tombstones(&self, keys: &[MessageKey]) -> Result<u64, PortError> {
        let keys = keys.to_vec();
        write!(self, "purge tombstones", |connection| {
            upkeep::purge_tombstones(connection, &keys)
        })
    }

    async fn check(&self) -> Result<(), PortError> {
        self.database.check().await
    }
}
