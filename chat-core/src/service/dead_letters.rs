//! Dead letters: what an operator can do about work that was set aside.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::{ReplayError, ServiceError, paging};
use crate::{
    PortError, PortErrorKind,
    model::{
        ApplicationToken, ChatNumber, ChatTitle, Content, Creation, DeadLetter, DeadLetterId,
        DeadLetterReason, Epoch, Limit, MessageBody, MessageNumber, Page, Sender, Sequence,
        Timestamp,
    },
    ports::{
        Clock, Counter, Lookup, OutboxChange, Ports, Queue, Repository, Settlement, StoreBatch,
    },
};

/// A dead letter with what can be told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedLetter {
    /// The letter.
    pub letter: DeadLetter,
    /// What it holds, if this program can read it.
    pub creation: Option<Creation>,
    /// The token of the application that it belongs to, if that lives.
    pub token: Option<ApplicationToken>,
}

impl OpenedLetter {
    /// What it holds, as it may be shown.
    #[must_use]
    pub fn held(&self) -> Held {
        let Some(Creation { number, draft, .. }) = &self.creation else {
            return match self.letter.message() {
                Some(key) => Held::Stored {
                    chat: key.chat,
                    number: key.message,
                },
                None if self.letter.reason == DeadLetterReason::Undecodable => {
                    Held::Foreign(self.letter.payload.clone())
                }
                None => Held::Newer,
            };
        };
        match draft.content.clone() {
            Content::Chat { title, .. } => Held::Chat {
                number: (*number).into(),
                title,
            },
            Content::Message { chat, sender, body } => Held::Message {
                chat: chat.chat,
                number: (*number).into(),
                sender,
                body,
            },
        }
    }
}

/// What a dead letter holds, without the row ids, which must not leave the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A chat that is not stored.
    Chat {
        /// Its number.
        number: ChatNumber,
        /// Its title, if it has one.
        title: Option<ChatTitle>,
    },
    /// A message that is not stored.
    Message {
        /// The chat that it is in.
        chat: ChatNumber,
        /// Its number.
        number: MessageNumber,
        /// Who it is from, if the client said so.
        sender: Option<Sender>,
        /// What it says.
        body: MessageBody,
    },
    /// A message that is stored and not indexed.
    Stored {
        /// The chat that it is in.
        chat: ChatNumber,
        /// Its number.
        number: MessageNumber,
    },
    /// Bytes that are no entry of this system.
    Foreign(Vec<u8>),
    /// An entry of a newer version, which only that version can show: it may contain row ids.
    Newer,
}

/// Serves dead letters.
pub struct DeadLetters {
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
}

impl DeadLetters {
    pub(super) fn new(ports: &Ports) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            queue: Arc::clone(&ports.queue),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
        }
    }

    /// Lists dead letters by id.
    ///
    /// # Errors
    ///
    /// Fails when a backend does.
    pub async fn list(
        &self,
        after: Option<DeadLetterId>,
        limit: Limit,
    ) -> Result<Page<OpenedLetter, DeadLetterId>, ServiceError> {
        let bytes = |letter: &DeadLetter| letter.payload.len();
        let id = |letter: &DeadLetter| letter.id.clone();
        let read = |after, most| self.repository.dead_letters(after, most);
        let letters = paging::gather(after, limit, bytes, id, read).await?;
        let page = paging::cut(letters, limit, bytes, id);
        let mut tokens = BTreeMap::new();
        let mut items = Vec::with_capacity(page.items.len());
        for letter in page.items {
            let creation = letter.creation();
            let of_message = letter.message().map(|key| key.application);
            let of_creation = creation
                .as_ref()
                .map(|creation| creation.sequence().application());
            let application = of_creation.or(of_message);
            if let Some(id) = application
                && let Entry::Vacant(unknown) = tokens.entry(id)
            {
                let application = self.repository.application(id).await?.found();
                unknown.insert(application.map(|application| application.token));
            }
            let token = application.and_then(|id| tokens.get(&id).cloned().flatten());
            items.push(OpenedLetter {
                letter,
                creation,
                token,
            });
        }
        Ok(Page {
            items,
            next: page.next,
        })
    }

    /// Replays a dead letter's entry; `force` stores it although it is too old.
    ///
    /// If it fails again, its letter comes back.
    ///
    /// # Errors
    ///
    /// Fails with [`ReplayError::Unreadable`] where this program cannot read the entry, with
    /// [`ReplayError::NeedsForce`] where it would be set aside again for its age, with
    /// [`ServiceError::NotFound`], or when a backend does.
    pub async fn replay(&self, id: &DeadLetterId, force: bool) -> Result<(), ReplayError> {
        let letter = self.repository.dead_letter(id).await?;
        let letter = letter.ok_or(ServiceError::NotFound)?;
        if let Some(key) = letter.message() {
            let change = OutboxChange::Message(key);
            self.repository.note_changes(&[change]).await?;
        } else {
            let creation = letter.creation().ok_or(ReplayError::Unreadable)?;
            if letter.reason == DeadLetterReason::TooOld && !force {
                return Err(ReplayError::NeedsForce);
            }
            // In this order a crash in between leaves the letter and perhaps a duplicate entry, which is
            // harmless; and if a worker sets it aside again before the removal, its newer letter stays.
            let (sequence, uid) = (creation.sequence(), creation.draft.uid);
            self.counter
                .point_to_letter(&sequence, creation.number, uid, None)
                .await?;
            self.queue.publish(&creation, force).await?;
        }
        self.repository
            .remove_dead_letter(id, letter.last_failed_at)
            .await?;
        Ok(())
    }

    /// Drops a dead letter for good: what it would have created counts as deleted.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does, or while the counter is behind the
    /// repository's epoch: the letter then stays.
    pub async fn drop_letter(&self, id: &DeadLetterId) -> Result<(), ServiceError> {
        let letter = self
            .repository
            .dead_letter(id)
            .await?
            .ok_or(ServiceError::NotFound)?;
        if let Some(creation) = letter.creation() {
            // The number of a repeat belongs to another creation, whose row and chat stay as they are;
            // and without an application there is nowhere to put a tombstone.
            let has_grave = !matches!(
                letter.reason,
                DeadLetterReason::NumberTaken | DeadLetterReason::NoApplication
            );
            if has_grave {
                self.bury(&creation).await?;
            }
            self.settle(&creation).await?;
        }
        let removed = self.repository.remove_dead_letter(id, Timestamp::MAX);
        removed.await?.map(drop).ok_or(ServiceError::NotFound)
    }

    /// Settles the creation, unless the counter is behind and must not be given room to number on.
    async fn settle(&self, creation: &Creation) -> Result<(), PortError> {
        // An empty batch reads the epochs as of after the burial; a later leap is above that number, too.
        let nothing = StoreBatch {
            creations: Vec::new(),
            not_before: self.clock.now(),
            positions: Vec::new(),
        };
        let epochs = self.repository.store(&nothing).await?.epochs;
        let settlement = Settlement::of(creation, None);
        let behind = self.counter.settle(&[settlement], &epochs).await?;
        for (shard, epoch) in &behind {
            self.counter.close(*shard, *epoch).await?;
        }
        // A counter without an epoch holds nothing, and numbers nothing before it is admitted.
        if behind.iter().all(|(_, epoch)| *epoch == Epoch::NONE) {
            Ok(())
        } else {
            let kind = PortErrorKind::Unavailable;
            Err(PortError::new(kind, "counter", "settle a dropped creation"))
        }
    }

    /// Leaves a tombstone where the creation would have stood; repeating it is harmless.
    async fn bury(&self, creation: &Creation) -> Result<(), PortError> {
        let now = self.clock.now();
        let pending = Some(creation.clone());
        if let Some(chat) = creation.as_chat() {
            if self.repository.chat(chat.key).await? == Lookup::Absent {
                self.repository.delete_chat(chat.key, now, pending).await?;
            }
            if self.repository.chat(chat.key).await? == Lookup::Gone {
                self.counter
                    .mark_deleted(&Sequence::Messages(chat.key))
                    .await?;
            }
        } else if let Some(message) = creation.as_message()
            && self.repository.message(message.key).await? == Lookup::Absent
        {
            self.repository
                .delete_message(message.key, now, pending)
                .await?;
        }
        Ok(())
    }
}
