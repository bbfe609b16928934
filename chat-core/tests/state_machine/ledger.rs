//! What was answered to callers, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::model::{ChatNumber, MessageNumber};

/// A message as callers know it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The body that it was created with, different for each create.
    pub(crate) created: String,
    /// Bodies that it may have: the created one, and those of updates that have begun.
    pub(crate) possible: BTreeSet<String>,
    /// The body that it must have; `None` where an update that crashed or runs leaves that open.
    pub(crate) settled: Option<String>,
    /// Rises with each update that begins.
    pub(crate) changes: u64,
    /// Updates that have begun and not ended.
    pub(crate) changing: u32,
    /// Whether a deletion has begun.
    pub(crate) deleting: bool,
    /// Whether a deletion was answered.
    pub(crate) deleted: bool,
}

/// A chat as callers know it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Thread {
    /// Its messages that were answered.
    pub(crate) messages: BTreeMap<MessageNumber, Entry>,
    /// Numbers below one that was listed, which were not listed themselves.
    pub(crate) skipped: BTreeSet<MessageNumber>,
    /// Whether its deletion has begun.
    pub(crate) deleting: bool,
    /// Whether its deletion was answered.
    pub(crate) deleted: bool,
}

/// All that callers know.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The chats of the one application, with the title that each was created with.
    pub(crate) chats: BTreeMap<ChatNumber, (String, Thread)>,
    /// What each key was answered, by kind and key.
    keys: BTreeMap<String, String>,
}

impl Ledger {
    /// Notes that a chat was created.
    pub(crate) fn chat_created(&mut self, number: ChatNumber, title: &str) -> Result<(), String> {
        match self.chats.get(&number) {
            Some((known, _)) if known != title => Err(format!(
                "chat number {number} was given twice: `{known}` and `{title}`"
            )),
            Some(_) => Ok(()),
            None => {
                self.chats
                    .insert(number, (title.to_owned(), Thread::default()));
                Ok(())
            }
        }
    }

    /// Notes that a message was created.
    pub(crate) fn message_created(
        &mut self,
        chat: ChatNumber,
        number: MessageNumber,
        body: &str,
    ) -> Result<(), String> {
        let thread = &mut self.chats.get_mut(&chat).ok_or("a message of no chat")?.1;
        if let Some(known) = thread.messages.get(&number) {
            return if known.created == body {
                Ok(())
            } else {
                Err(format!(
                    "message number {number} of chat {chat} was given twice: `{}` and `{body}`",
                    known.created
                ))
            };
        }
        let entry = Entry {
            created: body.to_owned(),
            possible: BTreeSet::from([body.to_owned()]),
            settled: Some(body.to_owned()),
            changes: 0,
            changing: 0,
            deleting: false,
            deleted: false,
        };
        thread.messages.insert(number, entry);
        Ok(())
    }

    /// Notes what a key was answered.
    pub(crate) fn key_answered(&mut self, key: &str, answer: &str) -> Result<(), String> {
        let known = self
            .keys
            .entry(key.to_owned())
            .or_insert_with(|| answer.to_owned());
        if known == answer {
            Ok(())
        } else {
            Err(format!(
                "key `{key}` was answered with `{known}` and `{answer}`"
            ))
        }
    }

    /// Messages that must be readable now: answered, and nobody has begun to delete them.
    pub(crate) fn living(&self) -> impl Iterator<Item = (ChatNumber, MessageNumber, &Entry)> {
        let threads = self
            .chats
            .iter()
            .filter(|(_, (_, thread))| !thread.deleting);
        threads.flat_map(|(chat, (_, thread))| {
            let living = thread.messages.iter().filter(|(_, entry)| !entry.deleting);
            living.map(|(number, entry)| (*chat, *number, entry))
        })
    }

    /// A message, if it was answered.
    pub(crate) fn message(
        &mut self,
        chat: ChatNumber,
        number: MessageNumber,
    ) -> Option<&mut Entry> {
        self.chats.get_mut(&chat)?.1.messages.get_mut(&number)
    }

    /// The message at `index` of all, modulo how many there are.
    pub(crate) fn pick_message(&self, index: usize) -> Option<(ChatNumber, MessageNumber)> {
        let all: Vec<_> = self
            .chats
            .iter()
            .flat_map(|(chat, (_, thread))| thread.messages.keys().map(|number| (*chat, *number)))
            .collect();
        (!all.is_empty()).then(|| all[index % all.len()])
    }

    /// The chat at `index` of all, modulo how many there are.
    pub(crate) fn pick_chat(&self, index: usize) -> Option<ChatNumber> {
        let count = self.chats.len();
        (count > 0).then(|| {
            *self
                .chats
                .keys()
                .nth(index % count)
                .expect("it is below the count")
        })
    }
}
