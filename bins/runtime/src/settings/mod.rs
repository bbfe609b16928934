//! Settings: from flags, the environment and a file, checked before anything starts.
//!
//! A flag goes before the environment, the environment before the file, the file before the default.
//! The doc comment of each field of [`Arguments`] is its line in `--help`, in the README's table and in
//! the commented file ([`reference`](mod@reference)).

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

mod admin;
mod arguments;
mod backend;
mod error;
mod file;
pub mod reference;
mod secret;
mod source;

pub use admin::Admin;
pub use arguments::Arguments;
pub use backend::{Backend, Servers};
pub use error::SettingsError;
pub use secret::Secret;
pub use source::Given;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// Text where a person reads along on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// A JSON object a line, for programs.
    Json,
}

/// All settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where `api` listens.
    pub listen: SocketAddr,
    /// Where `worker` and `sync` serve what they count, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What keeps, numbers and carries.
    pub backend: Backend,
    /// The prefix of the names of all queues.
    pub queue_prefix: String,
    /// The API key for the search index, instead of user and password.
    pub search_api_key: Option<Secret>,
    /// The prefix of the names of all search indices.
    pub search_prefix: String,
    /// How many shards the search index has.
    pub search_shards: u32,
    /// How many shards the counter's data has.
    pub shards: u16,
    /// How many bytes of creations may wait to be stored.
    pub backlog_bytes: u64,
    /// How many idempotency keys of a day are kept at most.
    pub idempotency_keys: u32,
    /// How many connections to the database the process has at most.
    pub repository_connections: u32,
    /// How long the start waits for servers.
    pub wait_for: Duration,
    /// What the process calls itself, where that is set.
    pub name: Option<String>,
    /// Who may do what only operators may.
    pub admin: Admin,
    /// What is logged, as a filter of `tracing-subscriber`.
    pub log: String,
    /// How the log is written.
    pub log_form: LogForm,
    /// How long work that has begun may take once the program is asked to end.
    pub shutdown: Duration,
    /// How long tombstones of deleted messages are kept.
    pub retention: Duration,
    /// How many connections `api` has open at most.
    pub max_connections: usize,
    /// How many requests a second of one application `api` serves; `None` for all.
    pub rate_limit: Option<NonZeroU32>,
    /// How often counts and pending creations are audited.
    pub audit_interval: Duration,
}

impl Settings {
    /// Checks what was given.
    ///
    /// # Errors
    ///
    /// Fails with one sentence about the first setting that is wrong.
    pub fn try_from_given(given: &Given) -> Result<Self, SettingsError> {
        let listen = given.address("listen")?;
        let data = PathBuf::from(given.required("data")?);
        Ok(Self {
            listen,
            metrics_listen: given.optional_address("metrics_listen")?,
            backend: Backend::try_from_given(given, data)?,
            queue_prefix: given.text("queue_prefix")?.unwrap_or_default(),
            search_api_key: given.text("search_api_key")?.map(|key| Secret::new(&key)),
            search_prefix: given.text("search_prefix")?.unwrap_or_default(),
            search_shards: given.number("search_shards", 1..=1_024)?,
            shards: given.number("shards", 1..=256)?,
            backlog_bytes: given.number::<u64>("backlog_megabytes", 1..=1_000_000)? << 20,
            idempotency_keys: given.number("idempotency_keys", 1_024..=1_000_000_000)?,
            repository_connections: given.number("repository_connections", 2..=10_000)?,
            wait_for: Duration::from_secs(given.number("wait_for", 0..=86_400)?),
            name: given.name("name")?,
            admin: Admin::try_from_given(given, listen)?,
            log: given.log_filter("log")?,
            log_form: given.log_form("log_form")?,
            shutdown: Duration::from_secs(given.number("shutdown_seconds", 0..=3_600)?),
            retention: Duration::from_hours(24 * given.number("retention_days", 1..=36_500)?),
            max_connections: given.number("max_connections", 1..=1_000_000)?,
            rate_limit: NonZeroU32::new(given.number("rate_limit", 0..=1_000_000)?),
            audit_interval: Duration::from_secs(given.number("sync_seconds", 1..=3_600)?),
        })
    }
}
