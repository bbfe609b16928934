//! Chats over HTTP: create, read, list, change, delete.

mod changing;
mod creating;
mod deleting;
mod listing;
mod repeating;
