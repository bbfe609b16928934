//! The repository in memory: the truth, as long as the process lasts.

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::{pace::Pace, tables::Tables};
use crate::{
    PortError,
    model::{
        Admission, Application, ApplicationId, ApplicationName, ApplicationToken, Chat, ChatKey,
        ChatTitle, Creation, DeadLetter, DeadLetterId, Epoch, Generation, GenerationState, Job,
        JobName, JobProgress, Message, MessageBody, MessageKey, NewApplication, Number,
        NumberRange, Sequence, Shard, ShardRecord, Sighting, Timestamp,
    },
    ports::{
        AddApplication, Audit, Basis, Claim, Deletion, Indexable, JobClaim, Lookup, OutboxBacklog,
        OutboxChange, OutboxRow, Parent, Repository, Slice, StoreBatch, StoreReport, Tokened,
    },
};

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryRepository {
    pace: Pace,
    tables: Mutex<Tables>,
}

impl MemoryRepository {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            tables: Mutex::default(),
        }
    }

    async fn act<T>(&self, effect: impl FnOnce(&mut Tables) -> T) -> Result<T, PortError> {
        Ok(self.pace.around(|| effect(&mut self.lock())).await)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("no holder of the lock panics")
    }
}

fn with_token<T>(tables: &Tables, application: ApplicationId, item: T) -> Option<Tokened<T>> {
    let row = tables.applications.get(&application)?;
    Some(Tokened {
        token: row.application.token.clone(),
        item,
    })
}

#[async_trait]
impl Repository for MemoryRepository {
    async fn add_application(&self, new: &NewApplication) -> Result<AddApplication, PortError> {
        self.act(|tables| tables.add_application(new)).await
    }

    async fn application_id(
        &self,
        token: &ApplicationToken,
    ) -> Result<Option<ApplicationId>, PortError> {
        self.act(|tables| tables.tokens.get(token).copied()).await
    }

    async fn application(&self, id: ApplicationId) -> Result<Lookup<Application>, PortError> {
        self.act(|tables| match tables.applications.get(&id) {
            None => Lookup::Absent,
            Some(row) if row.deleted => Lookup::Gone,
            Some(row) => Lookup::Found(row.application.clone()),
        })
        .await
    }

    async fn applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Vec<Application>, PortError> {
        self.act(|tables| {
            let live = tables.applications.values().filter(|row| !row.deleted);
            let rest = live.filter(|row| after.is_none_or(|after| row.application.id > after));
            rest.take(limit)
                .map(|row| row.application.clone())
                .collect()
        })
        .await
    }

    async fn rename_application(
        &self,
        id: ApplicationId,
        name: &ApplicationName,
        at: Timestamp,
    ) -> Result<Lookup<Application>, PortError> {
        self.act(|tables| match tables.applications.get_mut(&id) {
            None => Lookup::Absent,
            Some(row) if row.deleted => Lookup::Gone,
            Some(row) => {
                row.application.name = name.clone();
                row.application.updated_at = at;
                Lookup::Found(row.application.clone())
            }
        })
        .await
    }

    async fn delete_application(
        &self,
        id: ApplicationId,
        _at: Timestamp,
    ) -> Result<Deletion, PortError> {
        self.act(|tables| match tables.applications.get_mut(&id) {
            None => Deletion::Absent,
            Some(row) if row.deleted => Deletion::Gone,
            Some(row) => {
                row.deleted = true;
                tables.note(vec![OutboxChange::ApplicationDeleted(id)]);
                Deletion::Deleted
            }
        })
        .await
    }

    async fn chat(&self, key: ChatKey) -> Result<Lookup<Chat>, PortError> {
        self.act(|tables| tables.chat(key)).await
    }

    async fn chats(
        &self,
        application: ApplicationId,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Chat>, PortError> {
        self.act(|tables| tables.chats(application, range, limit, also))
            .await
    }

    async fn all_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Chat>>, PortError> {
        self.act(|tables| {
            let rest = tables
                .chats
                .keys()
                .filter(|key| after.is_none_or(|after| **key > after));
            let live = rest.filter_map(|key| tables.chat(*key).found());
            let listed = live.filter_map(|chat| with_token(tables, chat.key.application, chat));
            listed.take(limit).collect()
        })
        .await
    }

    async fn update_chat(
        &self,
        key: ChatKey,
        title: Option<ChatTitle>,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Chat>, PortError> {
        self.act(|tables| tables.update_chat(key, title, at, pending))
            .await
    }

    async fn delete_chat(
        &self,
        key: ChatKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        self.act(|tables| tables.delete_chat(key, at, pending))
            .await
    }

    async fn message(&self, key: MessageKey) -> Result<Lookup<Message>, PortError> {
        self.act(|tables| tables.message(key)).await
    }

    async fn messages(
        &self,
        chat: ChatKey,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Message>, PortError> {
        self.act(|tables| tables.messages(chat, range, limit, also))
            .await
    }

    async fn all_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Tokened<Message>>, PortError> {
        self.act(|tables| {
            let rest = tables
                .messages
                .keys()
                .filter(|key| after.is_none_or(|after| **key > after));
            let visible = rest.filter(|key| tables.chat_state(key.chat_key()) == Parent::Live);
            let live = visible.filter_map(|key| tables.message(*key).found());
            let listed =
                live.filter_map(|message| with_token(tables, message.key.application, message));
            listed.take(limit).collect()
        })
        .await
    }

    async fn update_message(
        &self,
        key: MessageKey,
        body: &MessageBody,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Lookup<Message>, PortError> {
        self.act(|tables| tables.update_message(key, body, at, pending))
            .await
    }

    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        self.act(|tables| tables.delete_message(key, at, pending))
            .await
    }

    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError> {
        self.act(|tables| keys.iter().map(|key| tables.indexable(*key)).collect())
            .await
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        self.act(|tables| {
            let mut outcomes = Vec::with_capacity(batch.creations.len());
            let mut changes = Vec::new();
            for (creation, forced) in &batch.creations {
                outcomes.push(tables.store(creation, *forced, batch.not_before));
                changes.extend(
                    creation
                        .as_message()
                        .map(|it| OutboxChange::Message(it.key)),
                );
            }
            tables.note(changes);
            for (shard, position) in &batch.positions {
                if let Some(record) = tables.shards.get_mut(shard) {
                    record.position = record.position.max(*position);
                }
            }
            let epochs = tables
                .shards
                .iter()
                .map(|(shard, record)| (*shard, record.epoch));
            StoreReport {
                outcomes,
                epochs: epochs.collect(),
            }
        })
        .await
    }

    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError> {
        self.act(|tables| tables.basis(sequence, shard, epoch, alive))
            .await
    }

    async fn shard(&self, shard: Shard) -> Result<Option<ShardRecord>, PortError> {
        self.act(|tables| tables.shards.get(&shard).cloned()).await
    }

    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError> {
        self.act(|tables| {
            let known = tables.shards.get(&sighting.shard);
            let record = ShardRecord::admit(known, read.as_ref(), sighting)?;
            let epoch = record.epoch;
            tables.shards.insert(sighting.shard, record);
            Some(Admission {
                sighting: sighting.clone(),
                epoch,
            })
        })
        .await
    }

    async fn fix_shards(&self, count: u16) -> Result<u16, PortError> {
        self.act(|tables| *tables.shard_count.get_or_insert(count))
            .await
    }

    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError> {
        self.act(|tables| tables.claim_outbox(claim, limit)).await
    }

    async fn release_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError> {
        self.act(|tables| tables.release_outbox(claim, rows)).await
    }

    async fn complete_outbox(&self, claim: &Claim, rows: &[u64]) -> Result<(), PortError> {
        self.act(|tables| tables.complete_outbox(claim, rows)).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog, PortError> {
        self.act(|tables| OutboxBacklog {
            rows: tables.outbox.len() as u64,
            lowest: tables.outbox.keys().next().copied(),
        })
        .await
    }

    async fn note_changes(&self, changes: &[OutboxChange]) -> Result<(), PortError> {
        self.act(|tables| tables.note(changes.to_vec())).await
    }

    async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Indexable>, PortError> {
        self.act(|tables| tables.scan(after, limit)).await
    }

    async fn count_messages(&self) -> Result<u64, PortError> {
        self.act(|tables| tables.count_messages()).await
    }

    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        self.act(|tables| tables.add_letter(letter)).await
    }

    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        self.act(|tables| tables.letters.get(id).cloned()).await
    }

    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        self.act(|tables| {
            let all = tables.letters.values();
            let rest = all.filter(|letter| after.as_ref().is_none_or(|after| letter.id > *after));
            rest.take(limit).cloned().collect()
        })
        .await
    }

    async fn remove_dead_letter(
        &self,
        id: &DeadLetterId,
        seen: Timestamp,
    ) -> Result<Option<DeadLetter>, PortError> {
        self.act(|tables| {
            let letter = tables.letters.get(id)?;
            if letter.last_failed_at > seen {
                return None;
            }
            tables.letters.remove(id)
        })
        .await
    }

    async fn generations(&self) -> Result<Vec<Generation>, PortError> {
        self.act(|tables| tables.generations.values().copied().collect())
            .await
    }

    async fn add_generation(&self) -> Result<Generation, PortError> {
        self.act(|tables| {
            let number = tables.next_id();
            let generation = Generation {
                number,
                state: GenerationState::Building,
            };
            tables.generations.insert(number, generation);
            generation
        })
        .await
    }

    async fn serve_generation(&self, number: u64) -> Result<bool, PortError> {
        self.act(|tables| {
            let Some(generation) = tables.generations.get_mut(&number) else {
                return false;
            };
            generation.state = GenerationState::Serving;
            tables.generations.retain(|other, _| *other == number);
            true
        })
        .await
    }

    async fn remove_generation(&self, number: u64) -> Result<(), PortError> {
        self.act(|tables| tables.generations.retain(|other, _| *other != number))
            .await
    }

    async fn claim_job(&self, name: JobName, claim: &Claim) -> Result<JobClaim, PortError> {
        self.act(|tables| tables.claim_job(name, claim)).await
    }

    async fn report_job(
        &self,
        name: JobName,
        claim: &Claim,
        progress: &JobProgress,
    ) -> Result<bool, PortError> {
        self.act(|tables| match tables.jobs.get_mut(&name) {
            Some(job) if job.holder == claim.holder => {
                job.lease_until = claim.until;
                job.progress = progress.clone();
                true
            }
            Some(_) | None => false,
        })
        .await
    }

    async fn job(&self, name: JobName) -> Result<Option<Job>, PortError> {
        self.act(|tables| tables.jobs.get(&name).cloned()).await
    }

    async fn audit_applications(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Audit<ApplicationId>, PortError> {
        self.act(|tables| tables.audit_applications(after, limit))
            .await
    }

    async fn audit_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Audit<ChatKey>, PortError> {
        self.act(|tables| tables.audit_chats(after, limit)).await
    }

    async fn purge_below_deleted(&self, limit: usize) -> Result<u64, PortError> {
        self.act(|tables| tables.purge_below_deleted(limit)).await
    }

    async fn tombstones(
        &self,
        before: Timestamp,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<MessageKey>, PortError> {
        self.act(|tables| {
            let rest = tables
                .messages
                .iter()
                .filter(|(key, _)| after.is_none_or(|it| **key > it));
            let dead = rest.filter(|(_, row)| row.deleted_at.is_some_and(|at| at < before));
            let below_live =
                dead.filter(|(key, _)| tables.chat_state(key.chat_key()) == Parent::Live);
            below_live.map(|(key, _)| *key).take(limit).collect()
        })
        .await
    }

    async fn purge_tombstones(&self, keys: &[MessageKey]) -> Result<u64, PortError> {
        self.act(|tables| {
            let before = tables.messages.len();
            tables
                .messages
                .retain(|key, row| row.deleted_at.is_none() || !keys.contains(key));
            (before - tables.messages.len()) as u64
        })
        .await
    }

    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }
}
