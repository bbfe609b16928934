//! Maps SQLite's errors to the ports' error.

use std::{io, path::PathBuf};

use chat_core::{PortError, PortErrorKind};
use sqlx::migrate::MigrateError;

/// The adapter's name in errors.
const ADAPTER: &str = "sqlite";

/// Why a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or its lock file cannot be made.
    #[error("the data folder `{}` cannot be used", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the folder.
    #[error(
        "the data folder `{}` is in use by another process; stop that one, or name another folder",
        folder.display()
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
    },
    /// A newer program made the database.
    #[error(
        "the database in `{}` was made by a newer version (migration {migration} is unknown here); \
         run that version, or name another folder",
        folder.display()
    )]
    NewerSchema {
        /// Which folder.
        folder: PathBuf,
        /// The first unknown migration.
        migration: i64,
    },
    /// The search index's folder cannot be used.
    #[error("the folder `{}` of the search index cannot be used", folder.display())]
    Search {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database cannot be brought to this version's schema.
    #[error("the database in `{}` cannot be migrated", folder.display())]
    Migration {
        /// Which folder.
        folder: PathBuf,
        /// What went wrong.
        #[source]
        source: MigrateError,
    },
    /// The database cannot be opened.
    #[error("the database in `{}` cannot be opened", folder.display())]
    Database {
        /// Which folder.
        folder: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

/// Turns an error of SQLite into the ports' error, which says what a caller may do about it.
pub(crate) fn port_error(operation: &'static str, error: sqlx::Error) -> PortError {
    PortError::new(kind(&error), ADAPTER, operation).caused_by(error)
}

/// Makes the error of an operation that failed along with the writer, by no fault of its own.
pub(crate) fn writer_error(
    kind: PortErrorKind,
    operation: &'static str,
    what: String,
) -> PortError {
    PortError::new(kind, ADAPTER, operation).caused_by(what)
}

pub(crate) fn kind(error: &sqlx::Error) -> PortErrorKind {
    match error {
        sqlx::Error::Database(error) => {
            // SQLite's result codes: the low byte of an extended code is its primary code.
            let code = error
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .unwrap_or(1);
            match code & 0xff {
                5 | 6 => PortErrorKind::Contention,
                13 | 7 => PortErrorKind::Full,
                18..=20 => PortErrorKind::Rejected,
                11 | 26 => PortErrorKind::Corrupt,
                3 | 8 | 23 => PortErrorKind::Misconfigured,
                _ => PortErrorKind::Unavailable,
            }
        }
        sqlx::Error::PoolTimedOut => PortErrorKind::Timeout,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            PortErrorKind::Corrupt
        }
        _ => PortErrorKind::Unavailable,
    }
}
