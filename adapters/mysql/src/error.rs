//! Maps the server's and the driver's errors to the ports' error.

use std::fmt;

use chat_core::{PortError, PortErrorKind};
use sqlx::mysql::MySqlDatabaseError;

/// The adapter's name in errors.
const ADAPTER: &str = "mysql";

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be parsed.
    #[error("the repository's address is not `mysql://user:password@host:port/database`")]
    Address,
    /// The address names no database.
    #[error("the repository's address names no database; add `/` and its name")]
    NoDatabase,
    /// The server cannot be reached, or refuses these credentials.
    #[error("the database server at `{server}` cannot be used")]
    Server {
        /// Its host and port.
        server: String,
        /// What a caller may do about it.
        kind: PortErrorKind,
        /// What went wrong.
        #[source]
        source: Fault,
    },
    /// The database is missing and cannot be made.
    #[error(
        "the database `{database}` does not exist and cannot be created; create it, or give this user \
         the right to"
    )]
    Database {
        /// Its name.
        database: String,
        /// What a caller may do about it.
        kind: PortErrorKind,
        /// What went wrong.
        #[source]
        source: Fault,
    },
    /// The server is not one that this program runs on.
    #[error(
        "the database server's version is `{version}`, but MySQL 8.0.19 or later, or MariaDB 10.6 \
         or later, is needed"
    )]
    Version {
        /// The server's version in its own words.
        version: String,
    },
    /// A newer program made the schema.
    #[error(
        "the database `{database}` was made by a newer version (migration {migration} is unknown \
         here); run that version, or name another database"
    )]
    NewerSchema {
        /// The database's name.
        database: String,
        /// The first unknown migration.
        migration: i64,
    },
    /// Another process has been migrating the database for too long.
    #[error("another process is still migrating the database `{database}`; try again later")]
    Busy {
        /// The database's name.
        database: String,
    },
    /// The database cannot be brought to this version's schema.
    #[error("the database `{database}` cannot be migrated")]
    Migration {
        /// The database's name.
        database: String,
        /// What went wrong.
        #[source]
        source: Fault,
    },
}

impl OpenError {
    /// Says whether opening may succeed later, with the same settings: the server cannot be reached or
    /// is starting, or another process is migrating the database.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Server { kind, .. } | Self::Database { kind, .. } => kind.is_retryable(),
            Self::Busy { .. } => true,
            Self::Address
            | Self::NoDatabase
            | Self::Version { .. }
            | Self::NewerSchema { .. }
            | Self::Migration { .. } => false,
        }
    }
}

/// What went wrong, without the server's own words: they quote statements and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(crate) fn of(error: &sqlx::Error) -> Self {
        Self(match error {
            sqlx::Error::Database(error) => {
                let number = number_of(&**error);
                let state = error.code().unwrap_or_default().into_owned();
                match explain(number) {
                    Some(words) => format!("{words} (error {number}, state {state})"),
                    None => format!("the server answered with error {number}, state {state}"),
                }
            }
            sqlx::Error::Io(error) => format!("the connection failed: {error}"),
            sqlx::Error::Tls(error) => format!("no encrypted connection could be made: {error}"),
            sqlx::Error::PoolTimedOut => "no connection became available in time".to_owned(),
            sqlx::Error::PoolClosed => "the connections are closed".to_owned(),
            sqlx::Error::Decode(error) => error.to_string(),
            sqlx::Error::ColumnDecode { index, .. } => {
                format!("column {index} of an answer cannot be read")
            }
            sqlx::Error::RowNotFound => "an answer has no row".to_owned(),
            sqlx::Error::Configuration(_) => "the address or a file it names is wrong".to_owned(),
            _ => "the driver and the server do not understand each other".to_owned(),
        })
    }
}

/// Turns an error into the ports' error.
pub(crate) fn port_error(operation: &'static str, error: &sqlx::Error) -> PortError {
    PortError::new(kind(error), ADAPTER, operation).caused_by(Fault::of(error))
}

/// A call that took too long; what it was doing may have happened.
pub(crate) fn timeout(operation: &'static str) -> PortError {
    PortError::new(PortErrorKind::Timeout, ADAPTER, operation)
}

/// A server that must not be written to at the moment.
pub(crate) fn unavailable(operation: &'static str, what: &'static str) -> PortError {
    PortError::new(PortErrorKind::Unavailable, ADAPTER, operation).caused_by(Fault::new(what))
}

/// Says whether another transaction was in the way, so that an immediate retry may succeed.
pub(crate) fn is_contention(error: &sqlx::Error) -> bool {
    matches!(server_number(error), Some(DUPLICATE | 1020 | 1205 | 1213))
}

/// Says whether a key that was to be inserted exists.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    server_number(error) == Some(DUPLICATE)
}

/// Says whether the connection cannot be used any more: it is cut, or leads to a server that is
/// shutting down or was made a replica.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        _ => matches!(
            server_number(error),
            Some(1053 | 1077 | 1079 | 1152 | 1153 | 1184 | 1243 | 1290 | 1792 | 1836 | 1927 | 4031)
        ),
    }
}

/// A key exists that was to be inserted.
const DUPLICATE: u16 = 1062;

/// The server's own number of an error.
pub(crate) fn server_number(error: &sqlx::Error) -> Option<u16> {
    match error {
        sqlx::Error::Database(error) => Some(number_of(&**error)),
        _ => None,
    }
}

fn number_of(error: &dyn sqlx::error::DatabaseError) -> u16 {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map_or(0, MySqlDatabaseError::number)
}

/// Says what a caller may do about an error.
pub(crate) fn kind(error: &sqlx::Error) -> PortErrorKind {
    match error {
        sqlx::Error::Database(error) => {
            let state = error.code().unwrap_or_default();
            server_kind(number_of(&**error), &state)
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            PortErrorKind::Corrupt
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => PortErrorKind::Misconfigured,
        sqlx::Error::Encode(_) => PortErrorKind::Rejected,
        _ => PortErrorKind::Unavailable,
    }
}

/// Classifies the servers' error numbers; MySQL and MariaDB share those up to 1,900.
fn server_kind(number: u16, state: &str) -> PortErrorKind {
    match number {
        DUPLICATE | 1020 | 1205 | 1213 | 3572 => PortErrorKind::Contention,
        1969 | 3024 => PortErrorKind::Timeout,
        1021 | 1037 | 1038 | 1041 | 1114 | 1135 => PortErrorKind::Full,
        1044 | 1045 | 1046 | 1049 | 1054 | 1064 | 1130 | 1665 | 1142 | 1143 | 1146 | 1227
        | 1251 | 1295 | 1305 | 1698 | 3159 => PortErrorKind::Misconfigured,
        1034 | 1035 | 1194 | 1195 | 1712 | 1877 => PortErrorKind::Corrupt,
        // A packet that is too large gets smaller when its batch is split.
        1153 | 1118 | 3819 | 4025 => PortErrorKind::Rejected,
        // An account that is not let in, for whatever reason: locked, or its password is too old.
        _ if state == "28000" => PortErrorKind::Misconfigured,
        // Classes of SQLSTATE: a value that is not allowed, a constraint that does not hold.
        _ if state.starts_with("22") || state.starts_with("23") => PortErrorKind::Rejected,
        _ => PortErrorKind::Unavailable,
    }
}

fn explain(number: u16) -> Option<&'static str> {
    Some(match number {
        1040 | 1203 | 1226 => "the server has too many connections",
        1044 | 1142 | 1143 | 1227 => "this user lacks a privilege",
        1045 | 1698 => "the user or the password is wrong",
        1049 => "the database does not exist",
        1130 => "the server accepts no connections from this host",
        1053 | 1077 | 1079 => "the server is shutting down",
        1054 | 1146 => "the database does not have the schema of this version",
        DUPLICATE => "another transaction inserted the same key",
        1153 => "the server's `max_allowed_packet` is too small",
        3159 => "the server requires an encrypted connection",
        1205 => "a lock could not be obtained in time",
        1213 => "the transaction was rolled back to end a deadlock",
        1290 | 1792 | 1836 => "the server is read-only",
        1317 | 1927 => "the server ended the statement",
        1665 => "the server's `binlog_format` is STATEMENT; set it to ROW or MIXED",
        1969 | 3024 => "a statement took too long",
        1021 | 1114 => "the server's disk is full",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_a_caller_may_do() {
        for (number, state, kind) in [
            (1062, "23000", PortErrorKind::Contention),
            (1213, "40001", PortErrorKind::Contention),
            (1205, "HY000", PortErrorKind::Contention),
            (1406, "22001", PortErrorKind::Rejected),
            (1366, "22007", PortErrorKind::Rejected),
            (1048, "23000", PortErrorKind::Rejected),
            (1690, "22003", PortErrorKind::Rejected),
            (1114, "HY000", PortErrorKind::Full),
            (1045, "28000", PortErrorKind::Misconfigured),
            (1130, "HY000", PortErrorKind::Misconfigured),
            (4151, "28000", PortErrorKind::Misconfigured),
            (1146, "42S02", PortErrorKind::Misconfigured),
            (1290, "HY000", PortErrorKind::Unavailable),
            (1053, "08S01", PortErrorKind::Unavailable),
            (1040, "08004", PortErrorKind::Unavailable),
        ] {
            assert_eq!(server_kind(number, state), kind, "{number}");
        }
    }

    #[test]
    fn what_the_driver_quotes_is_left_out() {
        let error = sqlx::Error::Protocol("unexpected 'secret'".to_owned());
        assert!(!Fault::of(&error).to_string().contains("secret"));
        let error = sqlx::Error::Configuration("mysql://user:secret@host".into());
        assert!(!Fault::of(&error).to_string().contains("secret"));
    }
}
