//! What an operator may set about Redis.

use std::{fmt, time::Duration};

use chat_core::ports::Basis;

use crate::error::OpenError;

/// Settings of counter and queue on Redis.
///
/// Its `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where the server is: `redis://[user[:password]@]host[:port][/database]`, or `rediss://…` for TLS;
    /// for a cluster `redis+cluster://…` or `rediss+cluster://…`, where `?node=host:port` may name more
    /// nodes to ask at the start.
    pub url: String,
    /// What the names of all keys begin with, so that systems can share a server; letters, digits,
    /// `.`, `_`, `:` and `-`.
    pub prefix: String,
    /// How many shards applications are spread over; fixed for good once something was numbered.
    pub shards: u16,
    /// Whether workers take creations from this server's streams.
    ///
    /// If the queue is of another technology, creations only wait here, and the caller publishes and
    /// confirms them.
    pub enqueues: bool,
    /// The limits above which the counter refuses creations.
    pub limits: RedisLimits,
    /// How long a counter, or the mark of a deletion, is kept once nothing needs it; far longer than
    /// any request lives.
    pub idle: Duration,
    /// How long a consumer may hold an entry before another one takes it over.
    pub takeover: Duration,
    /// How long a reader that found only a few entries waits for more, so that they are stored together.
    pub gather: Duration,
    /// How long a consumer that holds nothing may be silent before its name is removed.
    pub silence: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
}

/// The limits above which the counter refuses creations.
///
/// Bytes and keys are counted over the whole system: exactly if they lie in one shard, and else to
/// within what is created in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisLimits {
    /// Pending creations of one sequence; at most 65,536, which a new epoch leaps over.
    pub pending: u32,
    /// Bytes of payload that may be waiting.
    pub high_bytes: u64,
    /// Down to how many bytes they must fall once there were too many.
    pub low_bytes: u64,
    /// Idempotency keys of a day; each takes about 220 bytes of the server's memory.
    pub keys: u32,
}

impl RedisConfig {
    /// The usual settings for a server.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "chat:".to_owned(),
            shards: 16,
            enqueues: true,
            limits: RedisLimits::default(),
            idle: Duration::from_hours(24),
            takeover: Duration::from_secs(30),
            gather: Duration::from_millis(20),
            silence: Duration::from_hours(1),
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(3),
        }
    }
}

impl RedisLimits {
    /// Makes sure that the limits keep what the numbering relies on.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if !(1..=Basis::LEAP).contains(&u64::from(self.pending)) {
            return Err(OpenError::Setting {
                what: "the limit of pending creations in a sequence",
                wanted: "from 1 to 65,536, the size of the leap at a new epoch",
            });
        }
        if self.low_bytes > self.high_bytes {
            return Err(OpenError::Setting {
                what: "the low-water mark of waiting bytes",
                wanted: "at most the high-water mark",
            });
        }
        Ok(())
    }
}

impl Default for RedisLimits {
    fn default() -> Self {
        Self {
            pending: 65_536,
            high_bytes: 512 << 20,
            low_bytes: 384 << 20,
            keys: 1 << 20,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            prefix,
            shards,
            enqueues,
            limits,
            idle,
            takeover,
            gather,
            silence,
            connect_timeout,
            answer_timeout,
        } = self;
        f.debug_struct("RedisConfig")
            .field("url", &without_credentials(url))
            .field("prefix", prefix)
            .field("shards", shards)
            .field("enqueues", enqueues)
            .field("limits", limits)
            .field("idle", idle)
            .field("takeover", takeover)
            .field("gather", gather)
            .field("silence", silence)
            .field("connect_timeout", connect_timeout)
            .field("answer_timeout", answer_timeout)
            .finish()
    }
}

/// A URL as it may be shown.
fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // A query may hold a password too.
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_could_repeat_a_number_are_refused() {
        let usual = RedisLimits::default();
        assert!(usual.check().is_ok());
        for pending in [0, 65_537] {
            let limits = RedisLimits { pending, ..usual };
            assert!(limits.check().is_err(), "{pending}");
        }
        let low_bytes = usual.high_bytes + 1;
        assert!(RedisLimits { low_bytes, ..usual }.check().is_err());
    }

    #[test]
    fn what_is_shown_holds_no_credentials() {
        for url in [
            "redis://ann:secret@host:6379/0",
            "rediss://:secret@host",
            "redis://host?password=secret",
            "redis://ann:se@secret@host",
        ] {
            let shown = format!("{:?}", RedisConfig::new(url));
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains("host"), "{shown}");
        }
    }
}
