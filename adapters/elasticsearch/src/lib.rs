//! The search index on Elasticsearch 7.10 to 9 or OpenSearch.
//!
//! # What is found, and in which order
//!
//! Both are exactly as the core defines them, and a search is one request:
//!
//! - *Filtering.* The index has a term for each word that the core yields (`words`), one for each
//!   prefix of up to two characters, and one for each trigram (`words.trigrams`).
//!   A query word of one or two characters is looked up as a prefix; a longer one by its trigrams, or
//!   as any word within the forgiven number of typos, without a bound on how many words those are.
//!   Together with the chat this lets through a little too much, and never too little.
//! - *Scoring.* A script, `rank.painless`, decides on what is left: it applies the core's own rules to
//!   the words of the message in their order (`tokens`), and scores the message as the core does, or
//!   drops it.
//!
//! Queries alone cannot do the second part.
//! Constant scores could tell classes apart, but the rank also counts how many words of a message match
//! any word of the query, each once, and whether they stand together, even if they match by typos or
//! parts of words: a score that is a sum over the words of the query counts some twice, and span
//! queries have bounds on what they expand to.
//! The script takes some microseconds for a message, and looks only at messages that may be hits; since
//! the analyzers only split at white space, truncate and form trigrams, all of it is the same from
//! version to version.
//!
//! A score is below 2^24, so the float that carries it is exact; the next page continues by
//! `search_after` on the score, the time of creation and the key.
//! Nothing that a user types is parsed as query syntax.
//!
//! # What is written
//!
//! Each generation is an index behind an alias of its own, through which it is written with
//! `require_alias`: a deleted index is noticed, and never created again with a guessed mapping.
//! Searches read another alias, which is moved atomically.
//! An index says in its mapping who made it; one that was not made here is neither used nor removed.
//!
//! A message's version in the repository is its external version here, so that order and repetition do
//! not matter.
//! A deletion is remembered for five minutes, longer than an indexer may hold what it has read.
//! Each line of a bulk request has an outcome of its own: a version that is there already counts as
//! done, what the server has no room for is retried a few times and then left for later, and what it
//! will never accept is refused.
//! What was applied to the serving generation can be found when the call returns.
//!
//! # When the server is away
//!
//! Every call has a deadline, transient failures are retried a few times, and after some failures in a
//! row a circuit breaker spares the server for a while: a dead Elasticsearch costs nothing but search.
//!
//! The server must allow inline Painless scripts and "expensive" queries, as all do by default, and the
//! user needs to manage and to write the indices of the prefix.

mod breaker;
mod client;
mod config;
mod document;
mod error;
mod generations;
mod mapping;
mod names;
mod query;
mod search;
mod writing;

pub use config::ElasticsearchConfig;
pub use error::OpenError;
pub use search::ElasticsearchSearchIndex;
