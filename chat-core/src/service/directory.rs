//! From an application's token to its id, without asking the database twice.

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::{Policy, ServiceError};
use crate::{
    model::{ApplicationId, ApplicationToken},
    ports::{Ports, Repository},
};

/// Resolves tokens.
///
/// A token's id never changes and no id is used again, so what was read once holds for good; whether
/// the application still lives is asked of the counter or the repository each time.
pub(super) struct Directory {
    repository: Arc<dyn Repository>,
    known: Cache<ApplicationToken, ApplicationId>,
}

impl Directory {
    pub(super) fn new(ports: &Ports, policy: &Policy) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            known: Cache::new(policy.remembered_applications),
        }
    }

    /// Answers a token's id, also of a deleted application.
    pub(super) async fn id(&self, token: &ApplicationToken) -> Result<ApplicationId, ServiceError> {
        if let Some(id) = self.known.get(token) {
            return Ok(id);
        }
        let id = self
            .repository
            .application_id(token)
            .await?
            .ok_or(ServiceError::NotFound)?;
        self.known.insert(token.clone(), id);
        Ok(id)
    }
}
