//! The outcomes of a service that a user can hear about.

use std::time::Duration;

use crate::{PortError, ports::Overload};

/// Why a service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The thing is not there, was deleted, or belongs to another application.
    #[error("there is no such thing")]
    NotFound,
    /// A dead letter is so old that it is put back to work by force alone.
    #[error("it is so old that it is put back to work by force alone")]
    NeedsForce,
    /// This program cannot read what a dead letter holds, so it cannot put it back to work.
    #[error("this version cannot read it")]
    Unreadable,
    /// The idempotency key was used by another request.
    #[error("the idempotency key was used by another request")]
    KeyReused,
    /// The counter holds as much as it may; nothing was numbered.
    #[error("the counter holds as much as it may")]
    Overloaded {
        /// Of what there is too much.
        by: Overload,
        /// When it may be worth trying again.
        retry_after: Duration,
    },
    /// A backend failed; the request may have been accepted.
    #[error(transparent)]
    Port(#[from] PortError),
}
