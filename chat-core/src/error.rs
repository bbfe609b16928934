//! The error that a port returns when its backend fails.

use std::{error::Error as StdError, fmt};

/// A failure of the backend behind a port.
///
/// `Display` names the adapter, the operation and the kind, never the source: the boundary that
/// handles the error prints the chain once.
#[derive(Debug, thiserror::Error)]
#[error("{adapter} failed to {operation}: {kind}")]
pub struct PortError {
    /// What the caller may do about it.
    pub kind: PortErrorKind,
    /// The technology that failed, such as `sqlite`.
    pub adapter: &'static str,
    /// What was being done, in the infinitive, such as `store a batch`.
    pub operation: &'static str,
    /// The driver's own error.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl PortError {
    /// Makes an error without a source.
    #[must_use]
    pub fn new(kind: PortErrorKind, adapter: &'static str, operation: &'static str) -> Self {
        Self {
            kind,
            adapter,
            operation,
            source: None,
        }
    }

    /// Adds what the driver said.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

/// Formats an error and all its causes in one line, for logs.
///
/// ```
/// # use chat_core::{Chain, PortError, PortErrorKind};
/// let error = PortError::new(PortErrorKind::Timeout, "sqlite", "store a batch").caused_by("a lock");
/// assert_eq!(
///     Chain(&error).to_string(),
///     "sqlite failed to store a batch: no answer in time: a lock"
/// );
/// ```
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What a caller may do about a [`PortError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortErrorKind {
    /// The backend cannot be reached or is not ready; try again later.
    #[error("the backend is unavailable")]
    Unavailable,
    /// No answer came in time; the call may have taken effect.
    #[error("no answer in time")]
    Timeout,
    /// Another writer was in the way; try again at once.
    #[error("another writer interfered")]
    Contention,
    /// The backend is out of room: disk, memory or a limit of its own.
    #[error("the backend is full")]
    Full,
    /// The backend refuses this very input; trying again will not help.
    #[error("the backend refuses the input")]
    Rejected,
    /// The backend holds something that this version cannot read.
    #[error("the backend holds data that cannot be read")]
    Corrupt,
    /// The backend is set up in a way that this program must not run on.
    #[error("the backend is misconfigured")]
    Misconfigured,
}

impl PortErrorKind {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Timeout | Self::Contention | Self::Full => true,
            Self::Rejected | Self::Corrupt | Self::Misconfigured => false,
        }
    }
}
