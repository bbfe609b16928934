//! What an index of ours looks like, and how it is told from others.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ElasticsearchConfig;

/// Who made an index, as its mapping says.
const MADE_BY: &str = "chat-adapter-elasticsearch";

/// The version of the mapping; an index of another version is rebuilt as a new generation.
const SCHEMA: u64 = 1;

/// The refresh interval of an index that is being filled.
///
/// Longer than while it serves, to save work, but short enough that nobody who waits for a refresh
/// times out.
const WHILE_FILLED: Duration = Duration::from_secs(5);

/// How many characters of a word are looked at for typos; longer words are cut there in `words`.
const HEAD: u64 = 256;

/// The longest word that is searched for with typos.
///
/// Even with two letters inserted it is whole in the index.
pub(crate) const LONGEST_FUZZY: usize = 100;

/// The length of the longest prefix that has a term of its own.
pub(crate) const SHORT: usize = 2;

/// Formats a duration as index settings want it.
pub(crate) fn interval(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// Builds the settings, aliases and mapping that an index is created with.
pub(crate) fn index(config: &ElasticsearchConfig, alias: &str) -> Value {
    let mut settings = json!({
        "number_of_shards": config.shards,
        "refresh_interval": interval(WHILE_FILLED),
        // How long a deletion is remembered, so that nothing older is accepted: longer than any indexer
        // holds what it read, but not much longer, since each deletion takes memory meanwhile.
        "gc_deletes": "5m",
        "analysis": {
            "tokenizer": {
                // A word can be as long as a body, and must not be split.
                "words": {"type": "whitespace", "max_token_length": 1_000_000},
            },
            "filter": {
                "head": {"type": "truncate", "length": HEAD},
                "trigrams": {"type": "ngram", "min_gram": 3, "max_gram": 3},
            },
            "analyzer": {
                "words": {"type": "custom", "tokenizer": "words", "filter": ["head"]},
                "trigrams": {"type": "custom", "tokenizer": "words", "filter": ["trigrams"]},
            },
        },
    });
    match config.replicas {
        Some(replicas) => settings["number_of_replicas"] = json!(replicas),
        None => settings["auto_expand_replicas"] = json!("0-1"),
    }
    json!({
        "settings": {"index": settings},
        "aliases": {alias: {}},
        "mappings": {
            "dynamic": "strict",
            "_meta": {"made_by": MADE_BY, "schema": SCHEMA},
            "_routing": {"required": true},
            // Not needed: hits are read from the repository, and generations are filled from it.
            "_source": {"enabled": false},
            "properties": properties(),
        },
    })
}

fn properties() -> Value {
    json!({
        "application": {"type": "long"},
        "chat": {"type": "keyword", "doc_values": false},
        "chat_number": {"type": "long", "index": false},
        "number": {"type": "long", "index": false},
        "created_at": {"type": "long", "index": false},
        "words": {
            "type": "text",
            "analyzer": "words",
            "index_options": "docs",
            "norms": false,
            "index_prefixes": {"min_chars": 1, "max_chars": SHORT},
            "fields": {
                "trigrams": {
                    "type": "text",
                    "analyzer": "trigrams",
                    "index_options": "docs",
                    "norms": false,
                },
            },
        },
        "tokens": {"type": "binary", "doc_values": true},
    })
}

/// What the server tells of an index.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    #[serde(default)]
    pub(crate) aliases: Map<String, Value>,
    #[serde(default)]
    mappings: Value,
}

impl Found {
    /// Says whether this system made it, this version or another.
    pub(crate) fn is_made_here(&self) -> bool {
        self.mappings["_meta"]["made_by"] == MADE_BY
    }

    /// Says whether this version made it.
    pub(crate) fn is_of_this_schema(&self) -> bool {
        self.is_made_here() && self.mappings["_meta"]["schema"] == SCHEMA
    }

    /// Says whether it has the mapping that this version gave it, and nothing besides.
    pub(crate) fn is_as_made(&self) -> bool {
        let kinds = |properties: &Value| -> Option<Vec<(String, Value)>> {
            let properties = properties.as_object()?.iter();
            let mut kinds: Vec<_> = properties
                .map(|(name, field)| (name.clone(), field["type"].clone()))
                .collect();
            kinds.sort_by(|one, other| one.0.cmp(&other.0));
            Some(kinds)
        };
        self.is_of_this_schema()
            && self.mappings["dynamic"] == "strict"
            && kinds(&self.mappings["properties"]) == kinds(&properties())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: impl FnOnce(&mut Value)) -> Found {
        let mut made = index(&ElasticsearchConfig::new("http://host"), "alias");
        change(&mut made["mappings"]);
        serde_json::from_value(made).unwrap()
    }

    #[test]
    fn what_was_made_is_known_again() {
        let own = found(|_| ());
        assert!(own.is_as_made() && own.is_made_here());
        assert!(own.aliases.contains_key("alias"));
    }

    #[test]
    fn what_is_different_is_not_ours() {
        let changes: [fn(&mut Value); 5] = [
            |mapping| mapping["_meta"] = json!({}),
            |mapping| mapping["_meta"]["schema"] = json!(0),
            |mapping| mapping["dynamic"] = json!("true"),
            |mapping| mapping["properties"]["more"] = json!({"type": "text"}),
            |mapping| mapping["properties"]["words"] = json!({"type": "keyword"}),
        ];
        for change in changes {
            assert!(!found(change).is_as_made());
        }
    }
}
