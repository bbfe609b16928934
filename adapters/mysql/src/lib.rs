//! The repository on MySQL 8 or MariaDB 10.6 and later.
//!
//! `database` gives every call a connection, a timeout and, under contention, retries; the statements
//! are in the module of what they are about.
//! The files on the way of a message, in order: `storing` takes a batch and judges it under the locks
//! of `parents`, `writing` inserts and counts its rows, `outbox` notes them for the search index, and
//! one commit keeps it all.

mod applications;
mod auditing;
mod chats;
mod config;
mod counting;
mod database;
mod dead_letters;
mod error;
mod jobs;
mod messages;
mod migrations;
mod outbox;
mod parents;
mod purging;
mod repository;
mod rows;
mod server;
mod shards;
mod storing;

mod writing;

pub use config::MySqlConfig;
pub use error::{Fault, OpenError};
pub use repository::MySqlRepository;
