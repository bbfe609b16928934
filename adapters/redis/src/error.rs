//! From Redis' errors to the ports' error.

use std::{error::Error, fmt, io, sync::Arc};

use chat_core::{PortError, PortErrorKind};
use redis::{ErrorKind, RedisError, Value};

/// The adapter's name in errors.
const ADAPTER: &str = "redis";

/// Why a server cannot be used.
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
    /// The server does not answer, or not to this user.
    #[error("asking the Redis server at `{address}` failed")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        #[source]
        source: PortError,
    },
    /// The server is one that this program must not run on.
    #[error("the Redis server at `{address}` cannot be used: {reason}")]
    Unusable {
        /// Where it is.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a command to the server failed.
#[derive(Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// No answer came in time.
    #[error("the server did not answer in time")]
    Late,
    /// The driver or the server reported an error.
    #[error("{}", said(.0))]
    Told(RedisError),
    /// The answer has another form than the command gives.
    #[error("the server answered with something other than {0}")]
    Strange(&'static str),
    /// No known node has the shard.
    #[error("no known node of the cluster serves the shard")]
    Nowhere,
    /// The server has something else to do first.
    #[error("the server is {0}")]
    Busy(&'static str),
}

impl Failure {
    /// The error that a script was told and passed on: a code, and a text for people.
    pub(crate) fn told(line: &str) -> Self {
        let line = line.lines().next().unwrap_or_default();
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => Self::Told(error.into()),
            Ok(_) => Self::Strange("an error"),
            Err(error) => error.into(),
        }
    }

    /// Says whether the server answered with this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        matches!(self, Self::Told(error) if error.code() == Some(code))
    }

    /// Says whether a shard that has moved in the cluster, or is about to, may be the cause.
    pub(crate) fn may_be_of_place(&self) -> bool {
        match self {
            Self::Late | Self::Nowhere => true,
            Self::Strange(_) | Self::Busy(_) => false,
            Self::Told(error) => match error.code() {
                Some(code) => {
                    matches!(
                        code,
                        "ASK" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING"
                    )
                }
                // The connection itself has failed.
                None => true,
            },
        }
    }

    /// Says whether a connection that had been made was lost, so that a new one may help.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Told(error)
            if error.is_connection_dropped() && !error.is_connection_refusal())
    }

    /// Says whether a node answered that it lacks the keys, or some of them.
    pub(crate) fn is_of_place(&self) -> bool {
        self.is("MOVED") || self.is_of_migration()
    }

    /// Says whether nothing was done because a shard is migrating from one node to another.
    pub(crate) fn is_of_migration(&self) -> bool {
        self.is("ASK") || self.is("TRYAGAIN")
    }

    /// Converts the failure into the ports' error.
    pub(crate) fn of(self, operation: &'static str) -> PortError {
        PortError::new(self.kind(), ADAPTER, operation).caused_by(self)
    }

    fn kind(&self) -> PortErrorKind {
        match self {
            Self::Late => PortErrorKind::Timeout,
            Self::Nowhere | Self::Busy(_) => PortErrorKind::Unavailable,
            Self::Strange(_) => PortErrorKind::Corrupt,
            Self::Told(error) => kind(error),
        }
    }
}

/// Hides the driver's own form, which repeats what the server said, arguments and all.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        // If several commands failed, the first error tells enough.
        let errors = error.clone().into_server_errors();
        let first = errors.as_deref().and_then(|errors| errors.first());
        Self::Told(first.map_or(error, |(_, first)| first.clone().into()))
    }
}

/// An error whose only cause is what was found.
pub(crate) fn port_error(
    kind: PortErrorKind,
    operation: &'static str,
    found: impl Into<String>,
) -> PortError {
    PortError::new(kind, ADAPTER, operation).caused_by(found.into())
}

/// Parts of messages about temporary failures: too many clients; and for a script in a cluster, a key
/// that has moved to another node, or a cluster that is down.
const PASSING: [&str; 3] = [
    "max number of clients",
    "non local key in a cluster node",
    "while the cluster is down",
];

/// Says what a caller may do about an error of the driver or the server.
fn kind(error: &RedisError) -> PortErrorKind {
    if error.is_timeout() {
        return PortErrorKind::Timeout;
    }
    match error.code() {
        Some("OOM") => PortErrorKind::Full,
        Some("WRONGTYPE") => PortErrorKind::Corrupt,
        // The server has no codes of their own for these.
        Some("ERR")
            if error
                .detail()
                .is_some_and(|said| PASSING.iter().any(|part| said.contains(part))) =>
        {
            PortErrorKind::Unavailable
        }
        Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "ERR" | "CROSSSLOT") => {
            PortErrorKind::Misconfigured
        }
        // Among them LOADING, READONLY, MISCONF, NOREPLICAS, BUSY, MASTERDOWN, and in a cluster TRYAGAIN,
        // CLUSTERDOWN, ASK, and a second MOVED in a row.
        Some(_) => PortErrorKind::Unavailable,
        None if is_distrust(error) => PortErrorKind::Misconfigured,
        None => match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => {
                PortErrorKind::Misconfigured
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => PortErrorKind::Corrupt,
            _ => PortErrorKind::Unavailable,
        },
    }
}

/// Says whether TLS failed for good: a bad or missing certificate, or nothing that both sides support.
///
/// A TLS error comes as the cause of a failed read or write, as temporary failures do.
fn is_distrust(error: &RedisError) -> bool {
    let cause = error
        .source()
        .and_then(|it| it.downcast_ref::<Arc<dyn Error + Send + Sync>>())
        .and_then(|it| it.downcast_ref::<io::Error>());
    let told = cause.and_then(|it| it.get_ref()?.downcast_ref());
    matches!(
        told,
        Some(
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::PeerIncompatible(_)
        )
    )
}

/// The server's message, without the arguments that it repeats of an unknown command.
fn said(error: &RedisError) -> String {
    let text = error.to_string();
    let end = text.find(", with args").unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Failure {
        let failure = Failure::told(line);
        assert!(matches!(failure, Failure::Told(_)), "{line}");
        failure
    }

    #[test]
    fn what_passes_can_be_tried_again() {
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "MISCONF Errors writing to the AOF file: No space left on device",
            "NOREPLICAS Not enough good replicas to write.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "BUSY Redis is busy running a script.",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down",
            "ERR max number of clients reached",
            "MOVED 12958 127.0.0.1:7003",
            "ASK 12958 127.0.0.1:7003",
            "ERR Script attempted to access a non local key in a cluster node script: 3f, on @user:9.",
            "ERR Script attempted to execute a command while the cluster is down script: 3f",
        ] {
            assert_eq!(told(line).kind(), PortErrorKind::Unavailable, "{line}");
        }
        assert_eq!(told("OOM command not allowed").kind(), PortErrorKind::Full);
        assert_eq!(Failure::Late.kind(), PortErrorKind::Timeout);
    }

    #[test]
    fn what_an_operator_must_mend_is_not_tried_again() {
        for line in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions",
            "ERR unknown command",
        ] {
            assert_eq!(told(line).kind(), PortErrorKind::Misconfigured, "{line}");
        }
        assert_eq!(
            told("WRONGTYPE Operation against a key").kind(),
            PortErrorKind::Corrupt
        );
    }

    #[test]
    fn only_distrust_of_what_tls_says_is_an_operators() {
        let kind = |told: rustls::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, told);
            Failure::Told(error.into()).kind()
        };
        let unknown = rustls::CertificateError::UnknownIssuer;
        assert_eq!(kind(unknown.into()), PortErrorKind::Misconfigured);
        let cut = rustls::Error::DecryptError;
        assert_eq!(kind(cut), PortErrorKind::Unavailable);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let reset = Failure::Told(reset.into());
        assert_eq!(reset.kind(), PortErrorKind::Unavailable);
    }

    #[test]
    fn no_argument_is_repeated() {
        let line = "ERR unknown command 'EVALSHA', with args beginning with: 'a secret body' ";
        let error = told(line).of("number a creation");
        let chain = format!("{error} {:?}", error.source);
        assert!(!chain.contains("secret"), "{chain}");
        assert!(chain.contains("EVALSHA"), "{chain}");
    }
}
