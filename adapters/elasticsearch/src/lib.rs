//! The search index on Elasticsearch 7.10 to 9 or OpenSearch.
//!
//! # What is found, and in which order
//!
//! Both are what the core says, exactly, and a search is one request:
//!
//! - *Narrowing down.* The index has a term for each word that the core yields (`words`), one for each
//!   beginning of up to two characters, and one for each part of three (`words.trigrams`).
//!   A word of a query asks for its beginning where it has one or two characters, and else for all its
//!   parts, or for whatever is as near as typos are forgiven, without a bound on how many words that
//!   are.
//!   Together with the chat this lets through a little too much, and never too little.
//! - *Judging.* What is left is judged by a script, `rank.painless`: the core's own rules over the words
//!   of the message in their order (`tokens`), which it scores as the core does, or drops.
//!
//! Queries alone cannot do the second part.
//! Classes can be told apart by constant scores, but the rank also counts how many words of a message
//! match any word of the query, each once, and knows whether they stand together, be it by typos or
//! parts of words: a score that is a sum over the words of the query counts some twice, and spans have
//! bounds on what they expand to.
//! The script takes some microseconds for a message, and looks at those alone that may be hits; with
//! analyzers no more than white space, all of it is the same from version to version.
//!
//! A score is below 2^24, so the float that it travels as holds it; pages go on by `search_after` on it,
//! the time of creation and the key.
//! Nothing that a user types stands where the server would read an operator.
//!
//! # What is written
//!
//! Each generation is an index behind an alias of its own, through which it is written with
//! `require_alias`: an index that was deleted is noticed, and never made anew by guessing.
//! Searches read another alias, which is moved in one step.
//! An index says in its mapping who made it; one that was not made here is neither used nor removed.
//!
//! A message's version in the repository is its version here, so that order and repetition do not
//! matter.
//! A deletion is remembered for five minutes, longer than an indexer may hold what it has read.
//! Each line of a bulk has an outcome of its own: a version that is there already is done, what the
//! server has no room for is written again a few times and then left for later, and what it will never
//! take is refused.
//! What was applied to the generation that serves is found when the call returns.
//!
//! # When the server is away
//!
//! Every call has a deadline, what may pass is tried again a few times, and after some failures in a row
//! the server is left alone for a while: a dead Elasticsearch costs nothing but search.
//!
//! The server must let inline Painless scripts run and "expensive" queries through, as all do by
//! default, and the user needs to manage and to write indices of the prefix.

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
