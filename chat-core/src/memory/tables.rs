//! The tables of the repository in memory, and the rules of writing them.

use std::collections::{BTreeMap, HashMap};

use crate::{
    model::{
        Application, ApplicationId, ApplicationToken, Chat, ChatKey, Content, Creation, DeadLetter,
        DeadLetterId, Epoch, Generation, Job, JobName, Message, MessageKey, Sequence, Shard,
        ShardRecord, Timestamp, Uid,
    },
    ports::{Basis, Lookup, OutboxChange, Parent, StoreOutcome},
};

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) tokens: HashMap<ApplicationToken, ApplicationId>,
    pub(super) applications: BTreeMap<ApplicationId, ApplicationRow>,
    pub(super) chats: BTreeMap<ChatKey, ChatRow>,
    pub(super) messages: BTreeMap<MessageKey, MessageRow>,
    pub(super) shards: BTreeMap<Shard, ShardRecord>,
    pub(super) shard_count: Option<u16>,
    pub(super) outbox: BTreeMap<u64, Note>,
    pub(super) generations: BTreeMap<u64, Generation>,
    pub(super) jobs: BTreeMap<JobName, Job>,
    pub(super) letters: BTreeMap<DeadLetterId, DeadLetter>,
    /// Ids of outbox rows and generations are taken from it.
    pub(super) last_id: u64,
}

#[derive(Debug)]
pub(super) struct ApplicationRow {
    pub(super) application: Application,
    pub(super) last_number: u64,
    pub(super) epoch: Epoch,
    pub(super) deleted: bool,
}

/// A chat's row; without a uid it is a place-holder that carries counts until its create comes.
#[derive(Debug)]
pub(super) struct ChatRow {
    pub(super) uid: Option<Uid>,
    pub(super) chat: Chat,
    pub(super) last_number: u64,
    pub(super) epoch: Epoch,
    pub(super) deleted: bool,
}

#[derive(Debug)]
pub(super) struct MessageRow {
    pub(super) uid: Uid,
    pub(super) version: u64,
    pub(super) message: Message,
    pub(super) deleted_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Note {
    pub(super) changes: Vec<OutboxChange>,
    pub(super) claimed: Option<(String, Timestamp)>,
}

impl ChatRow {
    fn place_holder(key: ChatKey, epoch: Epoch) -> Self {
        let never = Timestamp::MIN;
        let chat = Chat {
            key,
            title: None,
            messages_count: 0,
            created_at: never,
            updated_at: never,
        };
        Self {
            uid: None,
            chat,
            last_number: 0,
            epoch,
            deleted: false,
        }
    }
}

impl Tables {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn application_state(&self, id: ApplicationId) -> Parent {
        match self.applications.get(&id) {
            None => Parent::Absent,
            Some(row) if row.deleted => Parent::Gone,
            Some(_) => Parent::Live,
        }
    }

    pub(super) fn chat_state(&self, key: ChatKey) -> Parent {
        match self.application_state(key.application) {
            Parent::Live => match self.chats.get(&key) {
                Some(row) if row.deleted => Parent::Gone,
                Some(row) if row.uid.is_some() => Parent::Live,
                Some(_) | None => Parent::Absent,
            },
            state => state,
        }
    }

    pub(super) fn chat(&self, key: ChatKey) -> Lookup<Chat> {
        match self.chat_state(key) {
            Parent::Live => Lookup::Found(self.chats[&key].chat.clone()),
            Parent::Gone => Lookup::Gone,
            Parent::Absent => Lookup::Absent,
        }
    }

    pub(super) fn message(&self, key: MessageKey) -> Lookup<Message> {
        if self.chat_state(key.chat_key()) == Parent::Gone {
            return Lookup::Gone;
        }
        match self.messages.get(&key) {
            None => Lookup::Absent,
            Some(row) if row.deleted_at.is_some() => Lookup::Gone,
            Some(row) => Lookup::Found(row.message.clone()),
        }
    }

    pub(super) fn note(&mut self, changes: Vec<OutboxChange>) {
        if !self.generations.is_empty() && !changes.is_empty() {
            let id = self.next_id();
            self.outbox.insert(
                id,
                Note {
                    changes,
                    claimed: None,
                },
            );
        }
    }

    /// Inserts a creation's row if it is not there, and counts it.
    pub(super) fn store(
        &mut self,
        creation: &Creation,
        forced: bool,
        not_before: Timestamp,
    ) -> StoreOutcome {
        let application = creation.sequence().application();
        match self.application_state(application) {
            Parent::Live => {}
            Parent::Gone => return StoreOutcome::ParentDeleted(Sequence::Chats(application)),
            Parent::Absent => return StoreOutcome::ApplicationAbsent,
        }
        let own = match &creation.draft.content {
            Content::Chat { .. } => {
                let chat = creation.number.into();
                self.chats
                    .get(&ChatKey { application, chat })
                    .and_then(|row| row.uid)
            }
            Content::Message { chat, .. } => {
                if self.chat_state(*chat) == Parent::Gone {
                    return StoreOutcome::ParentDeleted(Sequence::Messages(*chat));
                }
                let message = creation.number.into();
                let key = MessageKey {
                    application,
                    chat: chat.chat,
                    message,
                };
                self.messages.get(&key).map(|row| row.uid)
            }
        };
        match own {
            Some(uid) if uid == creation.draft.uid => StoreOutcome::Present,
            Some(_) => StoreOutcome::NumberTaken,
            None if creation.draft.created_at < not_before && !forced => StoreOutcome::TooOld,
            None => {
                self.insert(creation, 1, None);
                StoreOutcome::Stored
            }
        }
    }

    /// Inserts the row of a creation that has none: live, or as a tombstone.
    pub(super) fn insert(
        &mut self,
        creation: &Creation,
        version: u64,
        deleted_at: Option<Timestamp>,
    ) {
        let live = u64::from(deleted_at.is_none());
        let number = creation.number.get();
        if let Some(chat) = creation.as_chat() {
            let key = chat.key;
            let row = self
                .chats
                .entry(key)
                .or_insert_with(|| ChatRow::place_holder(key, creation.epoch));
            let messages_count = row.chat.messages_count;
            row.uid = Some(creation.draft.uid);
            row.chat = Chat {
                messages_count,
                ..chat
            };
            row.epoch = row.epoch.max(creation.epoch);
            row.deleted = deleted_at.is_some();
            if let Some(parent) = self.applications.get_mut(&key.application) {
                parent.application.chats_count += live;
                parent.last_number = parent.last_number.max(number);
                parent.epoch = parent.epoch.max(creation.epoch);
            }
        }
        if let Some(message) = creation.as_message() {
            let key = message.key;
            let uid = creation.draft.uid;
            self.messages.insert(
                key,
                MessageRow {
                    uid,
                    version,
                    message,
                    deleted_at,
                },
            );
            let chat = key.chat_key();
            let parent = self
                .chats
                .entry(chat)
                .or_insert_with(|| ChatRow::place_holder(chat, creation.epoch));
            parent.chat.messages_count += live;
            parent.last_number = parent.last_number.max(number);
            parent.epoch = parent.epoch.max(creation.epoch);
        }
    }

    /// Proves up to which number a sequence may have numbered, after a leap in a new epoch.
    pub(super) fn basis(
        &mut self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Basis {
        let current = self
            .shards
            .get(&shard)
            .map_or(Epoch::FIRST, |record| record.epoch);
        if current != epoch {
            return Basis::StaleEpoch;
        }
        let application = sequence.application();
        match self.application_state(application) {
            Parent::Live => {}
            Parent::Gone => return Basis::Deleted,
            Parent::Absent => return Basis::Absent,
        }
        let (last_number, row_epoch) = match sequence {
            Sequence::Chats(id) => {
                let Some(row) = self.applications.get_mut(id) else {
                    return Basis::Absent;
                };
                (&mut row.last_number, &mut row.epoch)
            }
            Sequence::Messages(key) => {
                match (self.chat_state(*key), alive) {
                    (Parent::Gone, _) => return Basis::Deleted,
                    (Parent::Absent, None) => return Basis::Absent,
                    (Parent::Live | Parent::Absent, _) => {}
                }
                let born = alive.unwrap_or(epoch);
                let row = self
                    .chats
                    .entry(*key)
                    .or_insert_with(|| ChatRow::place_holder(*key, born));
                (&mut row.last_number, &mut row.epoch)
            }
        };
        if *row_epoch < epoch {
            // A sequence without an epoch was never seeded, so no number can have been given and lost.
            if *row_epoch != Epoch::NONE {
                *last_number = Basis::leap(*last_number);
            }
            *row_epoch = epoch;
        }
        Basis::Last(*last_number)
    }
}
