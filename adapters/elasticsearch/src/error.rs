//! Maps the driver's errors and the server's answers to the ports' error.

use std::{error::Error, fmt, io};

use chat_core::{PortError, PortErrorKind};

/// The adapter's name in errors.
const ADAPTER: &str = "elasticsearch";

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
    #[error("asking the Elasticsearch server at `{address}` failed")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        #[source]
        source: PortError,
    },
    /// The server is one that this program cannot use.
    #[error("the Elasticsearch server at `{address}` cannot be used: {reason}")]
    Unusable {
        /// Where it is.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl OpenError {
    /// Says whether the same settings may work later, because the server is not there yet.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_retryable(),
            Self::Setting { .. } | Self::Unusable { .. } => false,
        }
    }
}

/// Why a request to the server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The circuit breaker is open, so the server was not asked.
    #[error(
        "the server has not answered lately, so it is not asked for a while (open circuit breaker)"
    )]
    LeftAlone,
    /// No answer came in time.
    #[error("the server did not answer in time")]
    Late,
    /// The driver could not reach the server.
    #[error("the server cannot be reached")]
    Away(#[source] Hidden),
    /// The server cannot prove its identity, or the two cannot agree on TLS.
    #[error("no trusted TLS connection to the server is possible")]
    Untrusted(#[source] Hidden),
    /// Some shards could not be searched.
    #[error("some shards of the index could not be searched")]
    Partial,
    /// The server refused; its own words may repeat what was written or asked for.
    #[error("the server answered {status} with `{code}`")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What the server calls it.
        code: String,
    },
    /// The answer is not of the expected form.
    #[error("expected {0}")]
    Strange(&'static str),
    /// The generation is not there.
    #[error("the search index has no such generation")]
    Missing,
    /// An index or alias under one of our names was not made by this version of this system.
    #[error(
        "the index or alias `{0}` was not made by this version of this system, so it is not touched"
    )]
    Foreign(String),
}

/// A driver's error without the address, which may hold credentials.
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Hidden {}

impl Failure {
    /// Turns the failure into the ports' error.
    pub(crate) fn of(self, operation: &'static str) -> PortError {
        PortError::new(self.kind(), ADAPTER, operation).caused_by(self)
    }

    /// Says what a caller may do about it.
    fn kind(&self) -> PortErrorKind {
        match self {
            Self::Late => PortErrorKind::Timeout,
            Self::LeftAlone | Self::Away(_) | Self::Partial | Self::Missing => {
                PortErrorKind::Unavailable
            }
            Self::Untrusted(_) | Self::Foreign(_) => PortErrorKind::Misconfigured,
            Self::Strange(_) => PortErrorKind::Corrupt,
            // A nearly full disk makes indices read-only; OpenSearch then also refuses to create any.
            Self::Refused { code, .. }
                if ["cluster_block_exception", "index_create_block_exception"]
                    .contains(&code.as_str()) =>
            {
                PortErrorKind::Full
            }
            Self::Refused { status, .. } => match status {
                401 | 403 => PortErrorKind::Misconfigured,
                404 | 429 | 500.. => PortErrorKind::Unavailable,
                408 => PortErrorKind::Timeout,
                409 => PortErrorKind::Contention,
                _ => PortErrorKind::Rejected,
            },
        }
    }

    /// Says whether an immediate retry may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Refused { status, .. } => may_pass(*status),
            Self::LeftAlone
            | Self::Late
            | Self::Untrusted(_)
            | Self::Partial
            | Self::Strange(_)
            | Self::Missing
            | Self::Foreign(_) => false,
        }
    }

    /// Says whether the server seems to be down, rather than refusing.
    pub(crate) fn is_of_absence(&self) -> bool {
        match self {
            Self::Late | Self::Away(_) => true,
            Self::Refused { status, .. } => (502..=504).contains(status),
            Self::LeftAlone
            | Self::Untrusted(_)
            | Self::Partial
            | Self::Strange(_)
            | Self::Missing
            | Self::Foreign(_) => false,
        }
    }

    /// Says whether the server answered with this code.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

/// Says whether the server's code tells that there is no index to read or to write.
pub(crate) fn means_no_index(code: &str) -> bool {
    matches!(code, "index_not_found_exception" | "index_closed_exception")
}

/// Says by the HTTP status whether the same request may succeed later.
pub(crate) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

impl From<elasticsearch::Error> for Failure {
    fn from(error: elasticsearch::Error) -> Self {
        if error.is_timeout() {
            return Self::Late;
        }
        // The outermost error shows the address; the innermost one tells what went wrong.
        let mut deepest: &dyn Error = &error;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        let told = Hidden(deepest.to_string());
        if is_distrust(&error) {
            return Self::Untrusted(told);
        }
        Self::Away(told)
    }
}

/// Says whether TLS failed for good, since the server is not trusted or the two are incompatible.
///
/// Errors that pass by themselves arrive wrapped in the same types.
fn is_distrust(mut error: &(dyn Error + 'static)) -> bool {
    loop {
        if let Some(told) = error.downcast_ref() {
            return matches!(
                told,
                rustls::Error::InvalidCertificate(_)
                    | rustls::Error::NoCertificatesPresented
                    | rustls::Error::PeerIncompatible(_)
            );
        }
        // `io::Error::source` skips the error that it wraps, and returns that one's source.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let next = match held {
            Some(held) => Some(held as &(dyn Error + 'static)),
            None => error.source(),
        };
        match next {
            Some(next) => error = next,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Failure {
        Failure::Refused {
            status,
            code: code.to_owned(),
        }
    }

    #[test]
    fn what_passes_can_be_tried_again() {
        for status in [404, 408, 429, 500, 502, 503, 504] {
            assert!(refused(status, "some").kind().is_retryable(), "{status}");
        }
        assert_eq!(Failure::Late.kind(), PortErrorKind::Timeout);
        for blocked in ["cluster_block_exception", "index_create_block_exception"] {
            assert_eq!(
                refused(403, blocked).kind(),
                PortErrorKind::Full,
                "{blocked}"
            );
        }
    }

    #[test]
    fn what_an_operator_must_mend_is_not_tried_again() {
        for failure in [
            refused(401, "some"),
            refused(403, "some"),
            refused(400, "some"),
        ] {
            assert!(!failure.kind().is_retryable(), "{failure}");
        }
        let foreign = Failure::Foreign("chat-index-1".to_owned());
        assert_eq!(foreign.kind(), PortErrorKind::Misconfigured);
    }
}
