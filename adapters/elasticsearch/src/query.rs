//! A search as one request, and its answer.
//!
//! The filters may let too much through, but never drop a match; the script decides on what is left.

use std::collections::BTreeSet;

use chat_core::{
    model::{ApplicationId, MessageKey, Number, Timestamp},
    ports::{SearchHit, SearchQuery},
    text::{Class, Term},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    document::chat_name,
    mapping::{LONGEST_FUZZY, SHORT},
};

/// The script that scores a message by its words.
const SCRIPT: &str = include_str!("rank.painless");

/// How many trigrams of a word are searched for at most, so that a long word makes no long request.
const MOST_TRIGRAMS: usize = 16;

/// Builds the request, to be answered within that many milliseconds.
pub(crate) fn request(query: &SearchQuery, milliseconds: u128) -> Value {
    let terms = query.terms.as_slice();
    let mut filter: Vec<Value> = terms.iter().map(narrowed).collect();
    if let Some(chat) = query.chat {
        filter.push(json!({"term": {"chat": chat_name(chat)}}));
    }
    let mut request = json!({
        "size": query.limit,
        "timeout": format!("{milliseconds}ms"),
        "track_total_hits": false,
        "_source": false,
        "stored_fields": "_none_",
        "query": {
            "script_score": {
                "query": {"bool": {"filter": filter}},
                "script": {"lang": "painless", "source": SCRIPT, "params": parameters(terms)},
                "min_score": 1,
            },
        },
        "sort": [
            {"_score": "desc"},
            {"created_at": "desc"},
            {"application": "desc"},
            {"chat_number": "desc"},
            {"number": "desc"},
        ],
    });
    if let Some(hit) = &query.after {
        request["search_after"] = json!([
            hit.score,
            hit.created_at.as_micros(),
            hit.key.application.get(),
            hit.key.chat.get(),
            hit.key.message.get(),
        ]);
    }
    request
}

/// Builds the script's parameters from the words of the query.
fn parameters(terms: &[Term]) -> Value {
    let first = terms.first().map_or(0, |term| term.position);
    let each = |take: fn(&Term) -> Value| terms.iter().map(take).collect::<Vec<_>>();
    let offsets: Vec<usize> = terms.iter().map(|term| term.position - first).collect();
    json!({
        "words": each(|term| term.word.as_str().into()),
        "parts": each(|term| has_parts(term).into()),
        "edits": each(|term| term.word.edits().into()),
        "offsets": offsets,
    })
}

/// Says whether the word is looked for inside of others.
fn has_parts(term: &Term) -> bool {
    term.word
        .as_str()
        .chars()
        .nth(Class::SHORTEST_PART - 1)
        .is_some()
}

/// Builds the filter for the messages in which a word may match.
fn narrowed(term: &Term) -> Value {
    let word = term.word.as_str();
    if !has_parts(term) {
        // It has at most `SHORT` characters, so it is a term of its own as a prefix.
        return json!({"prefix": {"words": word}});
    }
    // Finds the word whole, as a prefix and as an inner part alike.
    let trigrams = trigrams(word).into_iter();
    let each: Vec<Value> = trigrams
        .map(|it| json!({"term": {"words.trigrams": it}}))
        .collect();
    let whole = json!({"bool": {"filter": each}});
    let typos = match term.word.edits() {
        0 => return whole,
        _ if word.chars().count() > LONGEST_FUZZY => {
            let first: String = word.chars().take(1).collect();
            json!({"prefix": {"words": first}})
        }
        edits => json!({
            "fuzzy": {
                "words": {
                    "value": word,
                    "fuzziness": edits,
                    "prefix_length": 1,
                    "transpositions": true,
                    // Match all words of the index that are so near, however many.
                    "rewrite": "constant_score",
                },
            },
        }),
    };
    json!({"bool": {"should": [whole, typos], "minimum_should_match": 1}})
}

/// Returns trigrams of a word, evenly spread, `MOST_TRIGRAMS` at most.
fn trigrams(word: &str) -> BTreeSet<String> {
    let characters: Vec<char> = word.chars().collect();
    let parts = characters.windows(Class::SHORTEST_PART);
    let step = parts.len().div_ceil(MOST_TRIGRAMS).max(1);
    parts
        .step_by(step)
        .map(|part| part.iter().collect())
        .collect()
}

/// The answer to a search.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// Whether the server stopped before it had looked at everything.
    pub(crate) timed_out: bool,
    #[serde(rename = "_shards", default)]
    shards: Shards,
    hits: Hits,
}

#[derive(Debug, Default, Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Debug, Deserialize)]
struct Hits {
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    /// The values that hits are sorted by.
    sort: (f64, i64, u64, u64, u64),
}

impl Answer {
    /// Says whether some shards could not be searched.
    pub(crate) fn lacks_shards(&self) -> bool {
        self.shards.failed > 0
    }

    /// Returns the hits in their order; `None` where one is not a valid message.
    pub(crate) fn into_hits(self) -> Option<Vec<SearchHit>> {
        self.hits.hits.into_iter().map(Hit::read).collect()
    }
}

impl Hit {
    fn read(self) -> Option<SearchHit> {
        let (score, created_at, application, chat, number) = self.sort;
        Some(SearchHit {
            key: MessageKey {
                application: ApplicationId::new(application),
                chat: Number::try_new(chat).ok()?.into(),
                message: Number::try_new(number).ok()?.into(),
            },
            score: whole(score)?,
            created_at: Timestamp::from_micros(created_at),
        })
    }
}

/// Reads a score, a whole number that the float holds exactly; `None` for anything else.
fn whole(score: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a score is above 0 and below 2^24"
    )]
    let whole = score as u32;
    (f64::from(whole).total_cmp(&score).is_eq() && whole > 0).then(|| whole.into())
}

const _: () = assert!(SHORT + 1 == Class::SHORTEST_PART);

#[cfg(test)]
mod tests {
    use chat_core::text::Terms;

    use super::*;

    fn narrowed_by(text: &str) -> String {
        let terms = Terms::of(text);
        terms
            .as_slice()
            .iter()
            .map(narrowed)
            .map(|it| it.to_string())
            .collect()
    }

    #[test]
    fn a_long_word_makes_no_long_request() {
        let word: String = (100..400).map(|number| number.to_string()).collect();
        let request = narrowed_by(&word);
        assert!(request.matches("trigrams").count() <= MOST_TRIGRAMS);
        assert!(!request.contains("fuzzy"), "{request}");
    }

    #[test]
    fn short_words_are_looked_for_by_their_beginning_alone() {
        assert_eq!(narrowed_by("ab"), r#"{"prefix":{"words":"ab"}}"#);
        assert!(narrowed_by("abc").contains(r#""fuzziness":1"#));
        assert!(narrowed_by("abcdef").contains(r#""fuzziness":2"#));
    }

    #[test]
    fn only_whole_scores_are_read() {
        assert_eq!(whole(16_777_215.0), Some(16_777_215));
        for wrong in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(whole(wrong), None, "{wrong}");
        }
    }
}
