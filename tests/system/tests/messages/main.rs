//! Messages over HTTP: create, read, list, change, delete.

mod changing;
mod creating;
mod deleting;
mod listing;
mod repeating;

/// The longest body, in bytes.
const LONGEST: usize = 32_768;
