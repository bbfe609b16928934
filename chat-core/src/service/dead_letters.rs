//! Dead letters: what an operator can do about work that was set aside.

use std::sync::Arc;

use super::ServiceError;
use crate::{
    PortError,
    model::{Content, Creation, DeadLetter, DeadLetterId, Limit, MessageKey, Page},
    ports::{Clock, Counter, Lookup, Ports, Queue, Repository, Settlement},
};

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
    ) -> Result<Page<DeadLetter, DeadLetterId>, ServiceError> {
        let letters = self.queue.dead_letters(after, limit.get() + 1).await?;
        Ok(Page::cut(letters, limit, |last| last.id.clone()))
    }

    /// Puts a dead letter's entry back to work; `force` stores it although it is old.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn replay(&self, id: &DeadLetterId, force: bool) -> Result<(), ServiceError> {
        let letter = self
            .queue
            .dead_letter(id)
            .await?
            .ok_or(ServiceError::NotFound)?;
        if !self.queue.replay(id, force).await? {
            return Err(ServiceError::NotFound);
        }
        if let Some(creation) = letter.creation {
            let uid = creation.draft.uid;
            self.counter
                .set_aside(&creation.sequence(), creation.number, uid, None)
                .await?;
        }
        Ok(())
    }

    /// Gives a dead letter up: what it would have created counts as deleted.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn drop_letter(&self, id: &DeadLetterId) -> Result<(), ServiceError> {
        let letter = self
            .queue
            .dead_letter(id)
            .await?
            .ok_or(ServiceError::NotFound)?;
        if let Some(creation) = letter.creation {
            self.bury(creation).await?;
        }
        self.queue
            .drop_dead_letter(id)
            .await?
            .map(drop)
            .ok_or(ServiceError::NotFound)
    }

    /// Leaves a tombstone where the creation would have stood, and settles it.
    async fn bury(&self, creation: Creation) -> Result<(), PortError> {
        let settlement = Settlement {
            sequence: creation.sequence(),
            number: creation.number,
            uid: creation.draft.uid,
            receipt: None,
        };
        let now = self.clock.now();
        match &creation.draft.content {
            Content::Chat { .. } => {
                let key = creation
                    .as_chat()
                    .expect("a chat's content makes a chat")
                    .key;
                // A row that is there belongs to somebody else, and stays.
                if self.repository.chat(key).await? == Lookup::Absent {
                    self.repository
                        .delete_chat(key, now, Some(creation))
                        .await?;
                }
            }
            Content::Message { chat, .. } => {
                let message = creation.number.into();
                let key = MessageKey {
                    application: chat.application,
                    chat: chat.chat,
                    message,
                };
                if self.repository.message(key).await? == Lookup::Absent {
                    self.repository
                        .delete_message(key, now, Some(creation))
                        .await?;
                }
            }
        }
        self.counter.settle(&[settlement], &[]).await.map(drop)
    }
}
