//! What an operator may set about Elasticsearch.

use std::{fmt, time::Duration};

/// Settings of the search index on Elasticsearch.
///
/// Its `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// Where the server is: `http://[user:password@]host[:port][/path]`, or `https://…` for TLS.
    pub url: String,
    /// An API key as the server gave it out, encoded; it takes the place of user and password.
    pub api_key: Option<String>,
    /// What the names of all indices begin with, so that systems can share a server: lower-case ASCII
    /// letters, digits, `-`, `_` and `.`, a letter first.
    pub prefix: String,
    /// How many shards a new generation has.
    pub shards: u32,
    /// How many replicas it has; `None` for one wherever there is a node for it.
    pub replicas: Option<u32>,
    /// How often the index is refreshed, which makes what was written findable.
    pub refresh: Duration,
    /// How long a search may take.
    pub search_timeout: Duration,
    /// How long applying a batch of changes may take, all requests together; less than the time for
    /// which an indexer holds what it took.
    pub write_timeout: Duration,
    /// How many bytes are written by one request, at most.
    pub bulk_bytes: usize,
}

impl ElasticsearchConfig {
    /// The usual settings for a server.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            prefix: "chat-".to_owned(),
            shards: 1,
            replicas: None,
            refresh: Duration::from_millis(250),
            search_timeout: Duration::from_secs(3),
            write_timeout: Duration::from_secs(15),
            bulk_bytes: 1 << 20,
        }
    }
}

impl fmt::Debug for ElasticsearchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            api_key,
            prefix,
            shards,
            replicas,
            refresh,
            search_timeout,
            write_timeout,
            bulk_bytes,
        } = self;
        f.debug_struct("ElasticsearchConfig")
            .field("url", &without_credentials(url))
            .field("api_key", &api_key.as_ref().map(|_| "…"))
            .field("prefix", prefix)
            .field("shards", shards)
            .field("replicas", replicas)
            .field("refresh", refresh)
            .field("search_timeout", search_timeout)
            .field("write_timeout", write_timeout)
            .field("bulk_bytes", bulk_bytes)
            .finish()
    }
}

/// A URL as it may be shown.
pub(crate) fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_credentials() {
        for url in [
            "http://ann:secret@host:9200",
            "https://:secret@host/path",
            "https://host?key=secret",
            "http://ann:se@secret@host",
        ] {
            let config = ElasticsearchConfig {
                api_key: Some("secret".to_owned()),
                ..ElasticsearchConfig::new(url)
            };
            let shown = format!("{config:?}");
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains("host"), "{shown}");
        }
    }
}
