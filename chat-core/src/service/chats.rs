//! Chats: creating, reading, changing and ending them.

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
        ApplicationId, ApplicationToken, Chat, ChatKey, ChatNumber, ChatTitle, Content, Creation,
        Cursor, IdempotencyKey, Limit, Number, NumberRange, Page, Sequence,
    },
    ports::{Clock, Counter, Deletion, Ports, Repository, Slice, Tokened},
};

/// Serves chats.
pub struct Chats {
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    numberer: Arc<Numberer>,
}

impl Chats {
    pub(super) fn new(ports: &Ports, directory: &Arc<Directory>, numberer: &Arc<Numberer>) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
            directory: Arc::clone(directory),
            numberer: Arc::clone(numberer),
        }
    }

    /// Creates a chat; it can be read and written into at once.
    ///
    /// # Errors
    ///
    /// Fails with any [`ServiceError`]; after a backend's failure the chat may exist, and a retry with
    /// the same key finds it.
    ///
    /// # Panics
    ///
    /// Never: what is created is what was asked for.
    pub async fn create(
        &self,
        token: &ApplicationToken,
        title: Option<ChatTitle>,
        key: Option<IdempotencyKey>,
    ) -> Result<Created<Chat>, ServiceError> {
        let application = self.directory.id(token).await?;
        let created = self
            .numberer
            .create(Content::Chat { application, title }, key)
            .await?;
        Ok(created.map(|creation| creation.as_chat().expect("a chat's content creates a chat")))
    }

    /// Reads a chat.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn get(
        &self,
        token: &ApplicationToken,
        number: ChatNumber,
    ) -> Result<Chat, ServiceError> {
        let key = self.key(token, number).await?;
        if let Some(answer) = answered(self.repository.chat(key).await?) {
            return answer;
        }
        if let Some(creation) = self.pending(key).await? {
            return creation.as_chat().ok_or(ServiceError::NotFound);
        }
        // It may have been stored between the two reads.
        self.repository
            .chat(key)
            .await?
            .found()
            .ok_or(ServiceError::NotFound)
    }

    /// Lists an application's chats by number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn list(
        &self,
        token: &ApplicationToken,
        range: NumberRange,
        limit: Limit,
    ) -> Result<Page<Chat, NumberRange>, ServiceError> {
        let application = self.directory.id(token).await?;
        let stored = StoredChats {
            repository: &*self.repository,
            application,
        };
        paging::page(&self.counter, &stored, range, limit).await
    }

    /// Lists the stored chats of the whole system, by application and number.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] on a cursor that names no chat of a known application, or
    /// when a backend does.
    pub async fn list_all(
        &self,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Tokened<Chat>, Cursor>, ServiceError> {
        let after = match after {
            Some(Cursor {
                application,
                chat: Some(chat),
                message: None,
            }) => Some(ChatKey {
                application: self.directory.id(&application).await?,
                chat,
            }),
            Some(_) => return Err(ServiceError::NotFound),
            None => None,
        };
        let items = self.repository.all_chats(after, limit.get() + 1).await?;
        let bytes = |found: &Tokened<Chat>| StoredChats::bytes(&found.item);
        Ok(paging::cut(items, limit, bytes, |last| Cursor {
            application: last.token.clone(),
            chat: Some(last.item.key.chat),
            message: None,
        }))
    }

    /// Sets a chat's title, or clears it.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn update(
        &self,
        token: &ApplicationToken,
        number: ChatNumber,
        title: Option<ChatTitle>,
    ) -> Result<Chat, ServiceError> {
        let key = self.key(token, number).await?;
        let at = self.clock.now();
        if let Some(answer) = answered(
            self.repository
                .update_chat(key, title.clone(), at, None)
                .await?,
        ) {
            return answer;
        }
        let pending = self.pending(key).await?;
        let lookup = self.repository.update_chat(key, title, at, pending).await?;
        lookup.found().ok_or(ServiceError::NotFound)
    }

    /// Deletes a chat and its messages.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] also where it was deleted before, or when a backend does.
    pub async fn delete(
        &self,
        token: &ApplicationToken,
        number: ChatNumber,
    ) -> Result<(), ServiceError> {
        let key = self.key(token, number).await?;
        let at = self.clock.now();
        let mut deletion = self.repository.delete_chat(key, at, None).await?;
        if deletion == Deletion::Absent {
            let pending = self.pending(key).await?;
            deletion = self.repository.delete_chat(key, at, pending).await?;
        }
        if deletion == Deletion::Absent {
            return Err(ServiceError::NotFound);
        }
        // Also after an earlier deletion, whose caller may have died before this step.
        self.counter.mark_deleted(&Sequence::Messages(key)).await?;
        match deletion {
            Deletion::Deleted => Ok(()),
            Deletion::Gone | Deletion::Absent => Err(ServiceError::NotFound),
        }
    }

    async fn key(
        &self,
        token: &ApplicationToken,
        chat: ChatNumber,
    ) -> Result<ChatKey, ServiceError> {
        Ok(ChatKey {
            application: self.directory.id(token).await?,
            chat,
        })
    }

    async fn pending(&self, key: ChatKey) -> Result<Option<Creation>, PortError> {
        self.counter
            .pending(&Sequence::Chats(key.application), key.chat.into())
            .await
    }
}

struct StoredChats<'a> {
    repository: &'a dyn Repository,
    application: ApplicationId,
}

#[async_trait]
impl Stored for StoredChats<'_> {
    type Item = Chat;

    fn sequence(&self) -> Sequence {
        Sequence::Chats(self.application)
    }

    fn number(chat: &Chat) -> Number {
        chat.key.chat.into()
    }

    fn bytes(chat: &Chat) -> usize {
        chat.title.as_ref().map_or(0, |it| it.as_str().len())
    }

    fn pending(creation: &Creation) -> Option<Chat> {
        creation.as_chat()
    }

    async fn slice(
        &self,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Chat>, PortError> {
        self.repository
            .chats(self.application, range, limit, also)
            .await
    }

    async fn owner_is_pending(&self, _counter: &dyn Counter) -> Result<bool, PortError> {
        // An application is stored before anybody learns its token.
        Ok(false)
    }
}
