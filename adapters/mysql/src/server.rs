//! The server at the other end: what it must be, and how the database is made and brought up to date.

use std::{io, time::Duration};

use chat_core::PortErrorKind;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, Row as _,
    SqlSafeStr as _, SqlStr, migrate::MigrateError, mysql::MySqlConnectOptions,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    config::MySqlConfig,
    error::{Fault, OpenError, kind, server_number},
    migrations::migrator,
};

/// When the server closes an idle connection: a process that vanished holds its locks no longer.
const IDLE: Duration = Duration::from_mins(1);

/// How long a statement waits for a lock before its transaction begins again.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// The divisor of the packet size that bounds one statement, so that there is room for the rest.
const PACKET_SHARE: u64 = 2;

/// The most bytes that one statement carries, however much the server takes.
const MOST_BYTES: u64 = 4 << 20;

/// What a server told about itself.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    is_mariadb: bool,
    /// How many bytes one statement may carry.
    pub(crate) statement_bytes: usize,
}

impl Server {
    /// The settings of each connection, as one packet of statements.
    ///
    /// Wrong values are refused instead of adjusted, and each statement sees all that is committed when
    /// it begins.
    pub(crate) fn session(&self, longest: Duration) -> SqlStr {
        let longest = self.statement_limit(longest);
        let settings = format!(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,\
             NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = {}, wait_timeout = {}, {longest};\
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            LOCK_WAIT.as_secs(),
            IDLE.as_secs(),
        );
        AssertSqlSafe(settings).into_sql_str()
    }

    /// Makes the server end statements that take longer, on MySQL only reads.
    ///
    /// It does not notice by itself that nobody waits for them any more.
    pub(crate) fn limiting(&self, longest: Duration) -> SqlStr {
        AssertSqlSafe(format!("SET SESSION {}", self.statement_limit(longest))).into_sql_str()
    }

    fn statement_limit(&self, longest: Duration) -> String {
        if self.is_mariadb {
            format!("max_statement_time = {:.3}", longest.as_secs_f64())
        } else {
            format!("max_execution_time = {}", longest.as_millis())
        }
    }
}

/// Connects, refuses what cannot be used, makes the database where it is missing, and migrates it.
pub(crate) async fn prepare(
    options: &MySqlConnectOptions,
    config: &MySqlConfig,
) -> Result<Server, OpenError> {
    let opening = Opening::begin(options, config)?;
    let mut connection = match opening.connect(options).await {
        Err(error) if server_number(&error) == Some(UNKNOWN_DATABASE) => {
            opening.create().await?;
            opening.connect(options).await
        }
        outcome => outcome,
    }
    .map_err(|error| opening.unusable(&error))?;
    let server = opening.examine(&mut connection).await?;
    migrate(&mut connection, opening.database, config.upkeep_timeout).await?;
    // This releases the lock, too; even if closing fails, the migration is done.
    let _ = timeout(config.timeout, connection.close()).await;
    Ok(server)
}

/// Connects, refuses what cannot be used, and leaves everything as it is.
pub(crate) async fn look(
    options: &MySqlConnectOptions,
    config: &MySqlConfig,
) -> Result<Server, OpenError> {
    let opening = Opening::begin(options, config)?;
    let connected = opening.connect(options).await;
    let mut connection = connected.map_err(|error| opening.unusable(&error))?;
    let server = opening.examine(&mut connection).await?;
    let _ = timeout(config.timeout, connection.close()).await;
    Ok(server)
}

/// The server's error for a database that is not there.
const UNKNOWN_DATABASE: u16 = 1049;

/// The steps of opening a database, up to the migration; together they have a deadline.
struct Opening<'a> {
    options: &'a MySqlConnectOptions,
    database: &'a str,
    give_up: Instant,
}

impl<'a> Opening<'a> {
    fn begin(options: &'a MySqlConnectOptions, config: &MySqlConfig) -> Result<Self, OpenError> {
        Ok(Self {
            options,
            database: options.get_database().ok_or(OpenError::NoDatabase)?,
            give_up: Instant::now() + config.timeout,
        })
    }

    /// Runs a step; if it times out, the error names it.
    async fn step<T>(
        &self,
        what: &'static str,
        step: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match timeout_at(self.give_up, step).await {
            Ok(outcome) => outcome,
            Err(_) => Err(sqlx::Error::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the server did not {what} in time"),
            ))),
        }
    }

    async fn connect(&self, options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
        self.step("accept the connection", options.connect()).await
    }

    fn unusable(&self, error: &sqlx::Error) -> OpenError {
        OpenError::Server {
            server: format!("{}:{}", self.options.get_host(), self.options.get_port()),
            kind: kind_at_start(error),
            source: Fault::of(error),
        }
    }

    /// Makes the database, for which the connection must not name it.
    async fn create(&self) -> Result<(), OpenError> {
        let failed = |error: sqlx::Error| OpenError::Database {
            database: self.database.to_owned(),
            kind: kind_at_start(&error),
            source: Fault::of(&error),
        };
        let options = self.options.clone().database("");
        let mut connection = self.connect(&options).await.map_err(failed)?;
        // A name cannot be a parameter; with its backticks doubled it can hold any character.
        let name = self.database.replace('`', "``");
        let statement = format!(
            "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        );
        let creating = connection.execute(AssertSqlSafe(statement));
        let created = self.step("create the database", creating).await;
        created.map_err(failed)?;
        let closing = self.step("close the connection", connection.close());
        closing.await.map_err(failed)
    }

    /// Asks what the server is, and refuses one that lacks what the statements need.
    async fn examine(&self, connection: &mut MySqlConnection) -> Result<Server, OpenError> {
        let examined = self.step("tell its version", examine(connection)).await;
        examined.map_err(|error| self.unusable(&error))?
    }
}

/// Says what a caller may do about an error of the opening.
fn kind_at_start(error: &sqlx::Error) -> PortErrorKind {
    match error {
        // TLS reports a bad certificate of the server as this kind of error.
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            PortErrorKind::Misconfigured
        }
        error => kind(error),
    }
}

/// Reads what the server is, and refuses one that lacks what the statements need.
async fn examine(
    connection: &mut MySqlConnection,
) -> Result<Result<Server, OpenError>, sqlx::Error> {
    let row = connection
        .fetch_one(
            "SELECT version(), CAST(@@max_allowed_packet AS UNSIGNED),
                    CAST(@@innodb_flush_log_at_trx_commit AS UNSIGNED)",
        )
        .await?;
    let version: String = row.try_get(0)?;
    let is_mariadb = version.contains("MariaDB");
    let least = if is_mariadb { [10, 6, 0] } else { [8, 0, 19] };
    if parse_version(&version).is_none_or(|version| version < least) {
        return Ok(Err(OpenError::Version { version }));
    }
    let flush: u64 = row.try_get(2)?;
    if flush != 1 {
        tracing::warn!(
            "the database server's `innodb_flush_log_at_trx_commit` is {flush}, not 1: a power cut \
             or crash of its host can lose what was reported as stored"
        );
    }
    let packet: u64 = row.try_get(1)?;
    let statement_bytes = MOST_BYTES.min(packet / PACKET_SHARE);
    Ok(Ok(Server {
        is_mariadb,
        statement_bytes: usize::try_from(statement_bytes).unwrap_or(usize::MAX),
    }))
}

/// The leading numbers of a version, such as `10.11.6-MariaDB-log`.
fn parse_version(version: &str) -> Option<[u32; 3]> {
    let leading = version
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .next()?;
    let mut numbers = leading.split('.').map(|part| part.parse().ok());
    Some([
        numbers.next()??,
        numbers.next()??,
        numbers.next().flatten().unwrap_or(0),
    ])
}

/// Runs the missing migrations, one process at a time.
///
/// The migrator's own lock is not used: it waits for `-1` seconds, to which MariaDB answers NULL at
/// once, so that it would lock nobody out.
///
/// A migration that a crash cut short is marked as dirty by the migrator. Each of ours can be run again
/// from its start, so it is; the lock proves that nobody else is running it.
async fn migrate(
    connection: &mut MySqlConnection,
    database: &str,
    longest: Duration,
) -> Result<(), OpenError> {
    let failed = |source: Fault| OpenError::Migration {
        database: database.to_owned(),
        source,
    };
    let migrating = async {
        let locked: Option<i64> = sqlx::query_scalar(
            "SELECT GET_LOCK(CONCAT('chat-migrations-', LEFT(SHA2(DATABASE(), 256), 32)), ?)",
        )
        // Less than the whole, so that the server reports a held lock before the timeout here.
        .bind(longest.as_secs() / 2)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failed(Fault::of(&error)))?;
        if locked != Some(1) {
            return Err(busy(database));
        }
        let mut migrator = migrator();
        migrator.set_locking(false);
        let mut outcome = migrator.run_direct(None, connection, false).await;
        while let Err(MigrateError::Dirty(version)) = outcome
            && migrator.version_exists(version)
        {
            tracing::warn!(
                version,
                "an earlier run of a migration was interrupted; it is run again from its start"
            );
            sqlx::query("DELETE FROM _sqlx_migrations WHERE version = ? AND success = FALSE")
                .bind(version)
                .execute(&mut *connection)
                .await
                .map_err(|error| failed(Fault::of(&error)))?;
            outcome = migrator.run_direct(None, connection, false).await;
        }
        outcome.map_err(|error| match error {
            MigrateError::VersionMissing(migration) | MigrateError::Dirty(migration) => {
                OpenError::NewerSchema {
                    database: database.to_owned(),
                    migration,
                }
            }
            MigrateError::Execute(error) => failed(Fault::of(&error)),
            MigrateError::ExecuteMigration(error, version) => failed(Fault::new(format!(
                "migration {version}: {}",
                Fault::of(&error)
            ))),
            error => failed(Fault::new(error.to_string())),
        })
    };
    // The connection is closed after this, and its lock goes with it.
    match timeout(longest, migrating).await {
        Ok(outcome) => outcome,
        Err(_) => Err(failed(Fault::new(format!(
            "the server did not finish it in {} s",
            longest.as_secs()
        )))),
    }
}

fn busy(database: &str) -> OpenError {
    OpenError::Busy {
        database: database.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions_are_read_up_to_the_first_word() {
        assert_eq!(
            parse_version("10.11.6-MariaDB-0+deb12u1-log"),
            Some([10, 11, 6])
        );
        assert_eq!(parse_version("8.0.19"), Some([8, 0, 19]));
        assert_eq!(parse_version("9.7.0-er2"), Some([9, 7, 0]));
        assert_eq!(parse_version("8.0.11-TiDB-v7.5.0"), Some([8, 0, 11]));
        assert_eq!(parse_version("8.4"), Some([8, 4, 0]));
        assert_eq!(parse_version("MariaDB"), None);
    }
}
