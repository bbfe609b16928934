//! The folder, its lock, and the connections to the file in it.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use chat_core::PortError;
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    migrate::MigrateError,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
    },
};

use crate::{
    commits::Commits,
    config::EmbeddedConfig,
    error::OpenError,
    migrations::migrator,
    writer::{TOGETHER, Writer},
};

/// How long a reader waits for a connection.
const READ_WAIT: Duration = Duration::from_secs(5);

/// How many pages the write-ahead log may grow to before a checkpoint: about 62 MiB.
const CHECKPOINT_PAGES: &str = "16000";

/// How many bytes the write-ahead log's file may keep after a checkpoint.
const LOG_BYTES: &str = "67108864";

/// An open database, locked against other processes.
pub(crate) struct Database {
    /// Takes everything that writes.
    pub(crate) writer: Writer,
    readers: SqlitePool,
    /// Held, and so locked, for as long as the database is open.
    _lock: File,
}

impl Database {
    pub(crate) async fn open(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        let folder = config.folder.as_path();
        let lock = lock(folder)?;
        let file = folder.join("chat.db");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(READ_WAIT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", LOG_BYTES)
            .disable_statement_logging();
        let failed = |source| OpenError::Database {
            folder: folder.to_owned(),
            source,
        };
        let writing = options
            .clone()
            .pragma("cache_size", "-8192")
            .pragma("temp_store", "MEMORY");
        let mut connection = SqliteConnection::connect_with(&writing)
            .await
            .map_err(failed)?;
        migrate(folder, &mut connection).await?;
        let commits = Commits::open(folder, &mut connection, TOGETHER as u64).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.readers)
            .acquire_timeout(READ_WAIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.read_only(true).pragma("cache_size", "-2048"))
            .await
            .map_err(failed)?;
        Ok(Self {
            writer: Writer::start(connection, commits),
            readers,
            _lock: lock,
        })
    }

    /// The connections that read.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Goes through the writer, since a database that can only be read is not healthy.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        self.writer
            .write("answer a health check", |connection| {
                Box::pin(async move { sqlx::query("SELECT 1").execute(connection).await.map(drop) })
            })
            .await
    }

    pub(crate) async fn close(self: Arc<Self>) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Locks a folder, which is made if it is missing.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Folder {
        folder: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(unusable)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

async fn migrate(folder: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let folder = folder.to_owned();
    migrator()
        .run(connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(migration) => OpenError::NewerSchema { folder, migration },
            source => OpenError::Migration { folder, source },
        })
}
