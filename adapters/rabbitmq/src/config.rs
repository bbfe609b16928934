//! What an operator may set about RabbitMQ.

use std::{fmt, time::Duration};

use lapin::uri::AMQPUri;

use crate::error::OpenError;

/// Settings of the queue on RabbitMQ.
///
/// Its `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitMqConfig {
    /// Where the broker is: `amqp://[user[:password]@]host[:port]/vhost`, or `amqps://…` for TLS.
    ///
    /// The virtual host `/` is written as `%2f`.
    pub url: String,
    /// What the names of the queues begin with, so that systems can share a virtual host; letters,
    /// digits, `.`, `_`, `:` and `-`, at most 200.
    pub prefix: String,
    /// How often the broker delivers an entry before it moves it to the second queue.
    pub delivery_limit: u32,
    /// How long a consumer that got only a few entries waits for more, so that they are stored together.
    pub gather: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a confirm, or any other answer, may take.
    pub answer_timeout: Duration,
    /// The AMQP heartbeat timeout, in whole seconds; one in the URL takes precedence.
    pub heartbeat: Duration,
}

impl RabbitMqConfig {
    /// The usual settings for a broker.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "chat.".to_owned(),
            delivery_limit: 1_000,
            gather: Duration::from_millis(20),
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(3),
            heartbeat: Duration::from_secs(10),
        }
    }

    /// Makes sure that the prefix makes valid names of queues.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._:-".contains(letter);
        if self.prefix.len() <= 200 && self.prefix.chars().all(is_plain) {
            return Ok(());
        }
        Err(OpenError::Setting {
            what: "the prefix of the queues",
            wanted: "at most 200 letters, digits, `.`, `_`, `:` and `-`",
        })
    }

    /// The parsed URL, with the configured heartbeat unless it has its own.
    pub(crate) fn uri(&self) -> Result<AMQPUri, OpenError> {
        let mut uri: AMQPUri = self.url.parse().map_err(|_| OpenError::Setting {
            what: "the URL of RabbitMQ",
            wanted: "`amqp://[user[:password]@]host[:port]/vhost`, or `amqps://…` for TLS",
        })?;
        if uri.query.heartbeat.is_none() {
            let seconds = self.heartbeat.as_secs().max(1);
            uri.query.heartbeat = Some(u16::try_from(seconds).unwrap_or(u16::MAX));
        }
        Ok(uri)
    }
}

impl fmt::Debug for RabbitMqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url: _,
            prefix,
            delivery_limit,
            gather,
            connect_timeout,
            answer_timeout,
            heartbeat,
        } = self;
        let address = self
            .uri()
            .map_or_else(|_| "?".to_owned(), |uri| address(&uri));
        f.debug_struct("RabbitMqConfig")
            .field("address", &address)
            .field("prefix", prefix)
            .field("delivery_limit", delivery_limit)
            .field("gather", gather)
            .field("connect_timeout", connect_timeout)
            .field("answer_timeout", answer_timeout)
            .field("heartbeat", heartbeat)
            .finish()
    }
}

/// Where a broker is, without credentials.
pub(crate) fn address(uri: &AMQPUri) -> String {
    let (scheme, authority) = (&uri.scheme, &uri.authority);
    format!("{scheme}://{}:{}", authority.host, authority.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_credentials() {
        for url in [
            "amqp://ann:secret@host:5672/%2f",
            "amqps://:secret@host/chat",
            "amqp://host/chat?password=secret",
            "http://ann:secret@host",
        ] {
            let shown = format!("{:?}", RabbitMqConfig::new(url));
            assert!(!shown.contains("secret"), "{shown}");
        }
        let shown = format!("{:?}", RabbitMqConfig::new("amqp://ann:secret@host/%2f"));
        assert!(shown.contains("amqp://host:5672"), "{shown}");
    }

    #[test]
    fn a_prefix_that_is_no_name_is_refused() {
        let is_taken = |prefix: &str| {
            let config = RabbitMqConfig {
                prefix: prefix.to_owned(),
                ..RabbitMqConfig::new("amqp://host/%2f")
            };
            config.check().is_ok()
        };
        assert!(is_taken("") && is_taken("chat-2.") && is_taken(&"x".repeat(200)));
        assert!(!is_taken("two words") && !is_taken("\u{e9}") && !is_taken(&"x".repeat(201)));
    }

    #[test]
    fn a_heartbeat_of_the_url_is_kept() {
        let heartbeat = |url| RabbitMqConfig::new(url).uri().unwrap().query.heartbeat;
        assert_eq!(heartbeat("amqp://host/%2f"), Some(10));
        assert_eq!(heartbeat("amqp://host/%2f?heartbeat=3"), Some(3));
    }
}
