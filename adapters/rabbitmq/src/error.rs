//! From the driver's errors and the broker's answers to the ports' error.

use std::{fmt, io};

use chat_core::{PortError, PortErrorKind};
use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

/// The adapter's name in errors.
const ADAPTER: &str = "rabbitmq";

/// Why a broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting makes no sense.
    #[error("{what} must be {wanted}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
    /// The broker does not answer, or not to this user, or has queues of another kind.
    #[error("the RabbitMQ server at `{address}` cannot be used")]
    Unusable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        #[source]
        source: PortError,
    },
}

impl OpenError {
    /// Says whether the same settings may work later, because the broker is not there yet.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unusable { source, .. } => source.is_retryable(),
            Self::Setting { .. } => false,
        }
    }
}

/// Why the broker did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no connection at the moment; reconnecting is under way.
    #[error("there is no connection to the broker")]
    Away,
    /// The broker blocks publishers, because it is short of memory or disk.
    #[error("the broker blocks publishers, because its memory or disk is nearly full")]
    Blocked,
    /// No answer came in time.
    #[error("the broker did not answer in time")]
    Late,
    /// The driver or the broker reported an error.
    #[error(transparent)]
    Told(#[from] Said),
    /// The queue is not there.
    #[error("the broker has no such queue")]
    Unroutable,
    /// The broker rejected an entry.
    #[error("the broker refuses the entry: a limit of the queue is reached")]
    Refused,
}

/// An error of the driver or the broker; its own text includes its causes.
#[derive(thiserror::Error)]
#[error("{0}")]
pub(crate) struct Said(lapin::Error);

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Said({})", self.0)
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        Self::Told(Said(error))
    }
}

impl Failure {
    /// Converts the failure into the ports' error.
    pub(crate) fn of(self, operation: &'static str) -> PortError {
        PortError::new(self.kind(), ADAPTER, operation).caused_by(self)
    }

    fn kind(&self) -> PortErrorKind {
        match self {
            Self::Away | Self::Unroutable => PortErrorKind::Unavailable,
            Self::Blocked | Self::Refused => PortErrorKind::Full,
            Self::Late => PortErrorKind::Timeout,
            Self::Told(Said(error)) => kind(error),
        }
    }
}

/// Says what a caller may do about an error of the driver or the broker.
fn kind(error: &lapin::Error) -> PortErrorKind {
    match error.kind() {
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_) => {
            PortErrorKind::Misconfigured
        }
        ErrorKind::IOError(error) if is_distrust(error) => PortErrorKind::Misconfigured,
        ErrorKind::ProtocolError(said) => match said.kind() {
            // A user without rights, an unknown virtual host, a queue of another kind.
            AMQPErrorKind::Soft(
                AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED,
            )
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::NOTIMPLEMENTED) => {
                PortErrorKind::Misconfigured
            }
            _ => PortErrorKind::Unavailable,
        },
        _ => PortErrorKind::Unavailable,
    }
}

/// Says whether TLS failed for good: a bad or missing certificate, or nothing that both sides support.
///
/// A TLS error comes as the cause of a failed read or write, as temporary failures do.
fn is_distrust(error: &io::Error) -> bool {
    let told = error.get_ref().and_then(|it| it.downcast_ref());
    matches!(
        told,
        Some(
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::PeerIncompatible(_)
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_distrust_of_what_tls_says_is_an_operators() {
        let kind = |told: rustls::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, told);
            Failure::from(lapin::Error::from(error)).kind()
        };
        let unknown = rustls::CertificateError::UnknownIssuer;
        assert_eq!(kind(unknown.into()), PortErrorKind::Misconfigured);
        let cut = rustls::Error::DecryptError;
        assert_eq!(kind(cut), PortErrorKind::Unavailable);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let reset = Failure::from(lapin::Error::from(reset));
        assert_eq!(reset.kind(), PortErrorKind::Unavailable);
    }
}
