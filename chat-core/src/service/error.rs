//! The errors that services return.

use std::time::Duration;

use crate::{
    PortError,
    ports::{Lookup, Overload},
};

/// Why a service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The thing is not there, was deleted, or belongs to another application.
    #[error("there is no such thing")]
    NotFound,
    /// The idempotency key was used by another request.
    #[error("the idempotency key was used by another request")]
    KeyReused,
    /// The counter holds as much as it may; nothing was numbered.
    #[error("a limit of the counter is reached")]
    Overloaded {
        /// Which limit it is.
        by: Overload,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// A backend failed; the request may have been accepted.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Why a dead letter was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is so old that only `force` replays it.
    #[error("it is so old that only `force` replays it")]
    NeedsForce,
    /// This program cannot read what it holds.
    #[error("this version cannot read the dead letter")]
    Unreadable,
    /// There is no letter with that id, or a backend failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<PortError> for ReplayError {
    fn from(error: PortError) -> Self {
        Self::Service(error.into())
    }
}

/// What a lookup says for sure; `None` where the thing may still be pending.
pub(super) fn answered<T>(lookup: Lookup<T>) -> Option<Result<T, ServiceError>> {
    match lookup {
        Lookup::Found(thing) => Some(Ok(thing)),
        Lookup::Gone => Some(Err(ServiceError::NotFound)),
        Lookup::Absent => None,
    }
}
