//! Storing creations that come from a queue, thousands in one transaction of some fifteen statements.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use chat_core::{
    model::{ApplicationId, ChatKey, Content, Creation, MessageKey, Sequence, Uid},
    ports::{OutboxChange, Parent, StoreBatch, StoreOutcome, StoreReport},
};
use sqlx::MySqlConnection;

use crate::{
    messages, outbox,
    parents::{HeldChat, Hold, hold_applications, hold_chats},
    shards,
    writing::Writing,
};

/// How a batch is stored.
pub(crate) struct Storing<'a> {
    batch: &'a StoreBatch,
    most_bytes: usize,
    /// Set by the first try: a retry looks for all rows, whatever a chat's last number says.
    is_thorough: AtomicBool,
}

/// The rows that the batch refers to, as far as they exist, and locked.
struct Held {
    applications: BTreeMap<ApplicationId, Parent>,
    chats: BTreeMap<ChatKey, HeldChat>,
    messages: BTreeMap<MessageKey, Uid>,
}

impl<'a> Storing<'a> {
    pub(crate) fn new(batch: &'a StoreBatch, most_bytes: usize) -> Self {
        Self {
            batch,
            most_bytes,
            is_thorough: AtomicBool::new(false),
        }
    }

    async fn run(&self, connection: &mut MySqlConnection) -> Result<StoreReport, sqlx::Error> {
        let is_noted = outbox::hold_generations(connection).await?;
        let mut held = self.hold(connection).await?;
        let mut writing = Writing::default();
        let outcomes = self.batch.creations.iter().map(|(creation, forced)| {
            let is_late = creation.draft.created_at < self.batch.not_before && !forced;
            let outcome = held.judge(creation, is_late);
            if outcome == StoreOutcome::Stored {
                held.take(creation);
                writing.add(creation, 1, None);
            }
            outcome
        });
        let outcomes = outcomes.collect();
        writing.write(connection, self.most_bytes).await?;
        if is_noted {
            let changes: Vec<_> = writing.message_keys().map(OutboxChange::Message).collect();
            outbox::note(connection, &changes).await?;
        }
        shards::advance(connection, &self.batch.positions).await?;
        Ok(StoreReport {
            outcomes,
            // Read under all locks: raising a sequence's number for a later epoch waits for them.
            epochs: shards::epochs(connection).await?,
        })
    }

    /// Locks the parents and the messages of the batch, as far as they have rows.
    async fn hold(&self, connection: &mut MySqlConnection) -> Result<Held, sqlx::Error> {
        let creations = || self.batch.creations.iter().map(|(creation, _)| creation);
        let ids: BTreeSet<ApplicationId> = creations()
            .map(|creation| creation.sequence().application())
            .collect();
        let has_chats = creations().any(|it| matches!(it.draft.content, Content::Chat { .. }));
        let hold = if has_chats {
            Hold::Exclusive
        } else {
            Hold::Shared
        };
        let ids: Vec<_> = ids.into_iter().collect();
        let applications = hold_applications(connection, &ids, hold).await?;
        let lives = |chat: &ChatKey| applications.get(&chat.application) == Some(&Parent::Live);
        let chats: BTreeSet<ChatKey> = creations().map(chat_of).filter(lives).collect();
        let chats: Vec<_> = chats.into_iter().collect();
        let chats = hold_chats(connection, &chats, Hold::Exclusive).await?;
        let was_thorough = self.is_thorough.swap(true, Ordering::Relaxed);
        let possible: BTreeSet<MessageKey> = creations()
            .filter_map(message_of)
            .filter(|key| {
                // No row should have a number above its chat's last one; if one has, inserting fails, and
                // the retry looks for all of them.
                let chat = chats.get(&key.chat_key());
                let last = chat.map_or(0, |chat| chat.last_number);
                let is_gone = HeldChat::state(chat) == Parent::Gone;
                !is_gone && (was_thorough || key.message.get() <= last)
            })
            .collect();
        let possible: Vec<_> = possible.into_iter().collect();
        let messages = messages::hold_uids(connection, &possible).await?;
        Ok(Held {
            applications,
            chats,
            messages,
        })
    }
}

impl Held {
    fn judge(&self, creation: &Creation, is_late: bool) -> StoreOutcome {
        let chat = chat_of(creation);
        match self.applications.get(&chat.application) {
            Some(Parent::Live) => {}
            Some(Parent::Gone) => {
                return StoreOutcome::ParentDeleted(Sequence::Chats(chat.application));
            }
            Some(Parent::Absent) | None => return StoreOutcome::ApplicationAbsent,
        }
        let held = self.chats.get(&chat);
        let own = match message_of(creation) {
            None => held.and_then(|chat| chat.uid),
            Some(_) if HeldChat::state(held) == Parent::Gone => {
                return StoreOutcome::ParentDeleted(Sequence::Messages(chat));
            }
            Some(key) => self.messages.get(&key).copied(),
        };
        match own {
            Some(uid) if uid == creation.draft.uid => StoreOutcome::Present,
            Some(_) => StoreOutcome::NumberTaken,
            None if is_late => StoreOutcome::TooOld,
            None => StoreOutcome::Stored,
        }
    }

    /// Notes that a creation is about to be stored, for those after it in the batch.
    fn take(&mut self, creation: &Creation) {
        let uid = creation.draft.uid;
        if let Some(key) = message_of(creation) {
            self.messages.insert(key, uid);
        } else {
            let chat = self.chats.entry(chat_of(creation)).or_insert(HeldChat {
                uid: None,
                is_deleted: false,
                last_number: 0,
                epoch: creation.epoch.get(),
            });
            chat.uid = Some(uid);
        }
    }
}

/// Stores a batch, and says of each creation how it ended.
pub(crate) async fn store(
    connection: &mut MySqlConnection,
    storing: &Storing<'_>,
) -> Result<StoreReport, sqlx::Error> {
    storing.run(connection).await
}

/// The chat that a creation is, or belongs to.
fn chat_of(creation: &Creation) -> ChatKey {
    match &creation.draft.content {
        Content::Chat { application, .. } => ChatKey {
            application: *application,
            chat: creation.number.into(),
        },
        Content::Message { chat, .. } => *chat,
    }
}

/// The message that a creation is.
fn message_of(creation: &Creation) -> Option<MessageKey> {
    match &creation.draft.content {
        Content::Chat { .. } => None,
        Content::Message { chat, .. } => Some(MessageKey {
            application: chat.application,
            chat: chat.chat,
            message: creation.number.into(),
        }),
    }
}
