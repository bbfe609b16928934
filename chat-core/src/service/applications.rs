//! Applications: creating, reading and ending them.

use std::sync::{Arc, Mutex};

use super::{ServiceError, directory::Directory};
use crate::{
    PortError, PortErrorKind,
    model::{
        Application, ApplicationId, ApplicationName, ApplicationToken, Cursor, Limit,
        NewApplication, Page, Sequence, Timestamp,
    },
    ports::{AddApplication, Clock, Counter, Deletion, Ports, Repository, Tokens},
};

/// How many tokens and ids are tried before their source counts as broken.
const TRIES: usize = 3;

/// Serves applications.
pub struct Applications {
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    tokens: Arc<dyn Tokens>,
    directory: Arc<Directory>,
    /// The last id that was made here.
    last_id: Mutex<ApplicationId>,
}

impl Applications {
    pub(super) fn new(ports: &Ports, directory: &Arc<Directory>) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
            tokens: Arc::clone(&ports.tokens),
            directory: Arc::clone(directory),
            last_id: Mutex::new(ApplicationId::new(0)),
        }
    }

    /// Makes an id that is above all that were made here, even within one microsecond.
    fn make_id(&self, created_at: Timestamp) -> ApplicationId {
        let mut last = self.last_id.lock().expect("no holder of the lock panics");
        let next = ApplicationId::new(last.get() + 1);
        *last = next.max(ApplicationId::make(created_at, self.tokens.uid()));
        *last
    }

    /// Creates an application under a new token.
    ///
    /// # Errors
    ///
    /// Fails when a backend does.
    pub async fn create(&self, name: ApplicationName) -> Result<Application, ServiceError> {
        let created_at = self.clock.now();
        for _ in 0..TRIES {
            let new = NewApplication {
                id: self.make_id(created_at),
                token: self.tokens.application_token(),
                name: name.clone(),
                created_at,
            };
            match self.repository.add_application(&new).await? {
                AddApplication::Added(application) => return Ok(application),
                AddApplication::Taken => {
                    tracing::warn!("a newly generated token or id is already taken");
                }
            }
        }
        Err(PortError::new(PortErrorKind::Misconfigured, "tokens", "make a new token").into())
    }

    /// Reads an application.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn get(&self, token: &ApplicationToken) -> Result<Application, ServiceError> {
        let id = self.directory.id(token).await?;
        self.repository
            .application(id)
            .await?
            .found()
            .ok_or(ServiceError::NotFound)
    }

    /// Lists applications, oldest first.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] on a cursor that names no application, or when a backend
    /// does.
    pub async fn list(
        &self,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Application, Cursor>, ServiceError> {
        let after = match after {
            Some(Cursor {
                application,
                chat: None,
                message: None,
            }) => Some(self.directory.id(&application).await?),
            Some(_) => return Err(ServiceError::NotFound),
            None => None,
        };
        let items = self.repository.applications(after, limit.get() + 1).await?;
        Ok(Page::cut(items, limit, |last| Cursor {
            application: last.token.clone(),
            chat: None,
            message: None,
        }))
    }

    /// Renames an application.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`], or when a backend does.
    pub async fn rename(
        &self,
        token: &ApplicationToken,
        name: &ApplicationName,
    ) -> Result<Application, ServiceError> {
        let id = self.directory.id(token).await?;
        let now = self.clock.now();
        let renamed = self.repository.rename_application(id, name, now).await?;
        renamed.found().ok_or(ServiceError::NotFound)
    }

    /// Deletes an application and all below it.
    ///
    /// # Errors
    ///
    /// Fails with [`ServiceError::NotFound`] also where it was deleted before, or when a backend does.
    pub async fn delete(&self, token: &ApplicationToken) -> Result<(), ServiceError> {
        let id = self.directory.id(token).await?;
        let deletion = self
            .repository
            .delete_application(id, self.clock.now())
            .await?;
        // Also after an earlier deletion, whose caller may have died before this step.
        self.counter.mark_deleted(&Sequence::Chats(id)).await?;
        match deletion {
            Deletion::Deleted => Ok(()),
            Deletion::Gone | Deletion::Absent => Err(ServiceError::NotFound),
        }
    }
}
