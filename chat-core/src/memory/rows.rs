//! Reading and changing rows of the tables in memory.

use std::{collections::BTreeMap, time::Duration};

use super::tables::{ApplicationRow, Tables};
use crate::{
    model::{
        Application, ApplicationId, Chat, ChatKey, ChatTitle, Creation, DeadLetter, Epoch, Message,
        MessageBody, MessageKey, NewApplication, Number, NumberRange, Order, Timestamp,
    },
    ports::{AddApplication, Deletion, Indexable, Lookup, OutboxChange, Parent, Slice},
};

/// The first `limit` of `rows`, in the range's order.
fn cut<T>(rows: impl DoubleEndedIterator<Item = T>, range: &NumberRange, limit: usize) -> Vec<T> {
    match range.order() {
        Order::Ascending => rows.take(limit).collect(),
        Order::Descending => rows.rev().take(limit).collect(),
    }
}

impl Tables {
    pub(super) fn add_application(&mut self, new: &NewApplication) -> AddApplication {
        let id = new.id;
        if self.tokens.contains_key(&new.token) || self.applications.contains_key(&id) {
            return AddApplication::Taken;
        }
        let application = Application {
            id,
            token: new.token.clone(),
            name: new.name.clone(),
            chats_count: 0,
            created_at: new.created_at,
            updated_at: new.created_at,
        };
        self.tokens.insert(new.token.clone(), id);
        let row = ApplicationRow {
            application: application.clone(),
            last_number: 0,
            epoch: Epoch::NONE,
            deleted: false,
        };
        self.applications.insert(id, row);
        AddApplication::Added(application)
    }

    pub(super) fn chats(
        &self,
        application: ApplicationId,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Slice<Chat> {
        let parent = self.application_state(application);
        if parent != Parent::Live {
            return Slice {
                parent,
                rows: Vec::new(),
                known: BTreeMap::new(),
            };
        }
        let own = self
            .chats
            .iter()
            .filter(|(key, _)| key.application == application);
        let live = own.filter(|(_, row)| row.uid.is_some() && !row.deleted);
        let within = live.filter(|(key, _)| range.contains(key.chat.into()));
        let rows = cut(within.map(|(_, row)| row.chat.clone()), range, limit);
        let known = also.iter().filter_map(|number| {
            let row = self.chats.get(&ChatKey {
                application,
                chat: (*number).into(),
            })?;
            row.uid?;
            Some((*number, (!row.deleted).then(|| row.chat.clone())))
        });
        Slice {
            parent,
            rows,
            known: known.collect(),
        }
    }

    pub(super) fn update_chat(
        &mut self,
        key: ChatKey,
        title: Option<ChatTitle>,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Lookup<Chat> {
        match (self.chat_state(key), pending) {
            (Parent::Gone, _) => return Lookup::Gone,
            (Parent::Absent, None) => return Lookup::Absent,
            (Parent::Absent, Some(creation)) => self.insert(&creation, 2, None),
            (Parent::Live, _) => {}
        }
        let Some(row) = self.chats.get_mut(&key) else {
            return Lookup::Absent;
        };
        row.chat.title = title;
        row.chat.updated_at = at;
        Lookup::Found(row.chat.clone())
    }

    pub(super) fn delete_chat(
        &mut self,
        key: ChatKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Deletion {
        match (self.chat_state(key), pending) {
            (Parent::Gone, _) => return Deletion::Gone,
            (Parent::Absent, None) => return Deletion::Absent,
            (Parent::Absent, Some(creation)) => self.insert(&creation, 2, Some(at)),
            (Parent::Live, _) => {
                if let Some(row) = self.chats.get_mut(&key) {
                    row.deleted = true;
                }
                if let Some(parent) = self.applications.get_mut(&key.application) {
                    parent.application.chats_count -= 1;
                }
            }
        }
        self.note(vec![OutboxChange::ChatDeleted(key)]);
        Deletion::Deleted
    }

    pub(super) fn messages(
        &self,
        chat: ChatKey,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Slice<Message> {
        let parent = self.chat_state(chat);
        if parent == Parent::Gone {
            return Slice {
                parent,
                rows: Vec::new(),
                known: BTreeMap::new(),
            };
        }
        let own = self
            .messages
            .iter()
            .filter(|(key, _)| key.chat_key() == chat);
        let live = own.filter(|(_, row)| row.deleted_at.is_none());
        let within = live.filter(|(key, _)| range.contains(key.message.into()));
        let rows = cut(within.map(|(_, row)| row.message.clone()), range, limit);
        let known = also.iter().filter_map(|number| {
            let (application, message) = (chat.application, (*number).into());
            let row = self.messages.get(&MessageKey {
                application,
                chat: chat.chat,
                message,
            })?;
            Some((
                *number,
                row.deleted_at.is_none().then(|| row.message.clone()),
            ))
        });
        Slice {
            parent,
            rows,
            known: known.collect(),
        }
    }

    pub(super) fn update_message(
        &mut self,
        key: MessageKey,
        body: &MessageBody,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Lookup<Message> {
        let fresh = match (self.message(key), pending) {
            (Lookup::Gone, _) => return Lookup::Gone,
            (Lookup::Absent, None) => return Lookup::Absent,
            (Lookup::Absent, Some(creation)) => {
                self.insert(&creation, 2, None);
                true
            }
            (Lookup::Found(_), _) => false,
        };
        let Some(row) = self.messages.get_mut(&key) else {
            return Lookup::Absent;
        };
        row.version += u64::from(!fresh);
        row.message.body = body.clone();
        row.message.updated_at = at;
        let message = row.message.clone();
        self.note(vec![OutboxChange::Message(key)]);
        Lookup::Found(message)
    }

    pub(super) fn delete_message(
        &mut self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Deletion {
        match (self.message(key), pending) {
            (Lookup::Gone, _) => return Deletion::Gone,
            (Lookup::Absent, None) => return Deletion::Absent,
            (Lookup::Absent, Some(creation)) => self.insert(&creation, 2, Some(at)),
            (Lookup::Found(_), _) => {
                if let Some(row) = self.messages.get_mut(&key) {
                    row.version += 1;
                    row.deleted_at = Some(at);
                }
                if let Some(parent) = self.chats.get_mut(&key.chat_key()) {
                    parent.chat.messages_count -= 1;
                }
            }
        }
        self.note(vec![OutboxChange::Message(key)]);
        Deletion::Deleted
    }

    /// A message with its version, if neither it nor its chat or application is deleted.
    pub(super) fn indexable(&self, key: MessageKey) -> Indexable {
        let message = self.message(key).found();
        let version = self.messages.get(&key).map(|row| row.version);
        Indexable {
            key,
            current: message.zip(version),
        }
    }

    pub(super) fn scan(&self, after: Option<MessageKey>, limit: usize) -> Vec<Indexable> {
        let rest = self
            .messages
            .keys()
            .filter(|key| after.is_none_or(|after| **key > after));
        rest.take(limit).map(|key| self.indexable(*key)).collect()
    }

    pub(super) fn count_messages(&self) -> u64 {
        let live = self
            .chats
            .iter()
            .filter(|(key, _)| self.chat_state(**key) == Parent::Live);
        live.map(|(_, row)| row.chat.messages_count).sum()
    }

    /// Keeps a letter; a known one keeps the time of its first failure.
    pub(super) fn add_letter(&mut self, letter: &DeadLetter) {
        let mut letter = letter.clone();
        if let Some(known) = self.letters.get(&letter.id) {
            let later = known.last_failed_at.plus(Duration::from_micros(1));
            letter.first_failed_at = known.first_failed_at;
            letter.last_failed_at = later.max(letter.last_failed_at);
        }
        self.letters.insert(letter.id.clone(), letter);
    }
}
