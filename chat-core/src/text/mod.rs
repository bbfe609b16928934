//! What search means: how texts are cut into words, when a word matches, and how matches rank.
//!
//! This is the one place that decides it.
//! A search index stores the [`tokens`] of bodies and has to find the same bodies in the same order as
//! [`Terms::rank`], so that every engine gives the same answers.
//! A text is cut into [`tokens`], each [folded](fold) so that spelling does not matter; a
//! [`Class`] says how well a word of a query matches one of a body; [`Terms`] are the words of a query
//! and [rank](Terms::rank) a body by them; [`highlight`] shows where they stand.

mod classes;
mod folding;
mod highlight;
mod rank;
mod scripts;
mod words;

pub use classes::Class;
pub use folding::fold;
pub use highlight::highlight;
pub use rank::{Matched, Rank, Ranking, Term, Terms};
pub use words::{Token, Word, tokens, words};
