//! What a body says, as search sees it: words.

mod words;

pub use words::{Word, words};
