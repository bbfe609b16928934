//! Messages: sending, reading, changing and deleting them.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    ServiceError,
    directory::Directory,
    error::answered,
    numbering::{Created, Numberer},
    paging::{self, Stored},
};
use crate::{
    PortError,
    model::{
        ApplicationToken, ChatKey, ChatNumber, Content, Creation, Cursor, IdempotencyKey, Limit,
        Message, MessageBody, MessageKey, MessageNumber, Number, NumberRange, Page, Sender,
        Sequence,
    },
    ports::{Clock, Counter, Deletion, Ports, Repository, Slice, Tokened},
};

/// Serves messages.
pub struct Messages {
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    numberer: Arc<Numberer>,
}

impl Messages {
    pub(super) fn new(ports: &Ports, directory: &Arc<Directory>, numberer: &Arc<Numberer>) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
            directory: Arc::clone(directory),
            numberer: Arc::clone(numberer),
        }
    }

    /// Creates a message; it can be read at once.
    ///
    /// # Errors
    ///
    /// Fails with any [`ServiceError`]; after a backend's failure the message may exist, and a retry
    /// with the same key finds it.
    ///
    /// # Panics
    ///
    /// Never: what is created is what was asked for.
    pub async fn create(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        sender: Option<Sender>,
        body: MessageBody,
        key: Option<IdempotencyKey>,
    ) -> Result<Created<Message>, ServiceError> {
        let chat = self.chat_key(token, chat).await?;
        let created = self
            .numberer
            .create(Content::Message { chat, sender, body }, key)
            .await?;
        Ok(created.map(|creation| {
            creation
                .as_message()
                .expect("a message's content creates a message")
        }))
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn get(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        number: MessageNumber,
    ) -> Result<Message, ServiceError> {
        let key = self.key(token, chat, number).await?;
        if let Some(answer) = answered(self.repository.message(key).await?) {
            return answer;
        }
        if let Some(creation) = self.pending(key).await? {
            return creation.as_message().ok_or(ServiceError::NotFound);
        }
        // It may have been stored between the two reads.
        self.repository
            .message(key)
            .await?
            .found()
            .ok_or(ServiceError::NotFound)
    }

    /// Lists a chat's messages by number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn list(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        range: NumberRange,
        limit: Limit,
    ) -> Result<Page<Message, NumberRange>, ServiceError> {
        let chat = self.chat_key(token, chat).await?;
        let stored = StoredMessages {
            repository: &*self.repository,
            chat,
        };
        paging::page(&self.counter, &stored, range, limit).await
    }

    /// Lists the stored messages of the whole system, by application, chat and number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] on a cursor that names no message of a known application, or
    /// when a backend does.
    pub async fn list_all(
        &self,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Tokened<Message>, Cursor>, ServiceError> {
        let after = match after {
            Some(Cursor {
                application,
                chat: Some(chat),
                message: Some(message),
            }) => {
                let application = self.directory.id(&application).await?;
                Some(MessageKey {
                    application,
                    chat,
                    message,
                })
            }
            Some(_) => return Err(ServiceError::NotFound),
            None => None,
        };
        let bytes = |found: &Tokened<Message>| StoredMessages::bytes(&found.item);
        let key = |found: &Tokened<Message>| found.item.key;
        let read = |after, most| self.repository.all_messages(after, most);
        let items = paging::gather(after, limit, bytes, key, read).await?;
        Ok(paging::cut(items, limit, bytes, |last| Cursor {
            application: last.token.clone(),
            chat: Some(last.item.key.chat),
            message: Some(last.item.key.message),
        }))
    }

    /// Changes a message's body.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn update(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        number: MessageNumber,
        body: &MessageBody,
    ) -> Result<Message, ServiceError> {
        let key = self.key(token, chat, number).await?;
        let at = self.clock.now();
        if let Some(answer) = answered(self.repository.update_message(key, body, at, None).await?) {
            return answer;
        }
        let pending = self.pending(key).await?;
        let lookup = self
            .repository
            .update_message(key, body, at, pending)
            .await?;
        lookup.found().ok_or(ServiceError::NotFound)
    }

    /// Deletes a message.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] also where it was deleted before, or when a backend does.
    pub async fn delete(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        number: MessageNumber,
    ) -> Result<(), ServiceError> {
        let key = self.key(token, chat, number).await?;
        let at = self.clock.now();
        let mut deletion = self.repository.delete_message(key, at, None).await?;
        if deletion == Deletion::Absent {
            let pending = self.pending(key).await?;
            deletion = self.repository.delete_message(key, at, pending).await?;
        }
        match deletion {
            Deletion::Deleted => Ok(()),
            Deletion::Gone | Deletion::Absent => Err(ServiceError::NotFound),
        }
    }

    async fn chat_key(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
    ) -> Result<ChatKey, ServiceError> {
        Ok(ChatKey {
            application: self.directory.id(token).await?,
            chat,
        })
    }

    async fn key(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
        message: MessageNumber,
    ) -> Result<MessageKey, ServiceError> {
        Ok(MessageKey {
            application: self.directory.id(token).await?,
            chat,
            message,
        })
    }

    async fn pending(&self, key: MessageKey) -> Result<Option<Creation>, PortError> {
        self.counter
            .pending(&Sequence::Messages(key.chat_key()), key.message.into())
            .await
    }
}

struct StoredMessages<'a> {
    repository: &'a dyn Repository,
    chat: ChatKey,
}

#[async_trait]
impl Stored for StoredMessages<'_> {
    type Item = Message;

    fn sequence(&self) -> Sequence {
        Sequence::Messages(self.chat)
    }

    fn number(message: &Message) -> Number {
        message.key.message.into()
    }

    fn bytes(message: &Message) -> usize {
        let sender = message.sender.as_ref().map_or(0, |it| it.as_str().len());
        message.body.as_str().len() + sender
    }

    fn pending(creation: &Creation) -> Option<Message> {
        creation.as_message()
    }

    async fn slice(
        &self,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Message>, PortError> {
        self.repository
            .messages(self.chat, range, limit, also)
            .await
    }

    async fn owner_is_pending(&self, counter: &dyn Counter) -> Result<bool, PortError> {
        let chats = Sequence::Chats(self.chat.application);
        Ok(counter
            .pending(&chats, self.chat.chat.into())
            .await?
            .is_some())
    }
}
