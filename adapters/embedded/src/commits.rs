//! Detects a database that has lost transactions after they were reported as committed.
//!
//! Each transaction that changes something raises a count in the database, and after its commit the
//! same count in a file beside it. Where the file's count is higher, the database has lost what was
//! answered: its write-ahead log was cut, or it was replaced by an older copy. The loss cannot be
//! repaired, but no number that may have been given is given again, and search follows the database.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

use chat_core::model::Number;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::{
    error::OpenError,
    rows::{signed, unsigned},
};

/// The unit by which numbers leap where some may have been given and lost.
///
/// More than anybody creates in the time by which the file may lag behind.
const LEAP: u64 = 65_536;

/// The count of transactions in the file.
pub(crate) struct Commits {
    file: File,
    /// The connection's `total_changes()` when it was last looked at.
    seen: i64,
    is_failing: bool,
}

impl Commits {
    /// Opens the file in a folder, compares it with the database, and leaps over what was lost.
    ///
    /// A transaction holds up to `together` creations; `together` must divide [`LEAP`].
    pub(crate) async fn open(
        folder: &Path,
        connection: &mut SqliteConnection,
        together: u64,
    ) -> Result<Self, OpenError> {
        let (file, noted) = read(&folder.join("commits")).map_err(|source| OpenError::Folder {
            folder: folder.to_owned(),
            source,
        })?;
        let leapt = leap_over_losses(connection, noted, together).await;
        let leapt = leapt.map_err(|source| OpenError::Database {
            folder: folder.to_owned(),
            source,
        })?;
        let mut commits = Self {
            file,
            seen: 0,
            is_failing: false,
        };
        if let Some(count) = leapt {
            commits.note(count);
        }
        Ok(commits)
    }

    /// Counts the open transaction if it has changed something, as one that creates always has.
    pub(crate) async fn count(
        &mut self,
        connection: &mut SqliteConnection,
        creates: bool,
    ) -> Result<Option<u64>, sqlx::Error> {
        if !creates {
            let changes = sqlx::query("SELECT total_changes()");
            let changes: i64 = changes.fetch_one(&mut *connection).await?.try_get(0)?;
            if changes == self.seen {
                return Ok(None);
            }
            // One more for the count itself, which is written below.
            self.seen = changes + 1;
        }
        let count = sqlx::query(
            "INSERT INTO settings (name, value) VALUES ('commits', 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        );
        let count = count.fetch_one(connection).await?.try_get(0)?;
        unsigned(count).map(Some)
    }

    /// Notes a count that was committed.
    ///
    /// The file is not synced: it reveals a database that lost what a process had committed, and after
    /// a power cut it may be behind, but never ahead.
    pub(crate) fn note(&mut self, count: u64) {
        let noted = self
            .file
            .rewind()
            .and_then(|()| self.file.write_all(format!("{count:020}\n").as_bytes()));
        match noted {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                if !self.is_failing {
                    tracing::warn!(
                        %error,
                        "the count of transactions cannot be written beside the database, so a \
                         loss may go unnoticed"
                    );
                }
                self.is_failing = true;
            }
        }
    }
}

/// Opens the file, and reads its count: 0 where it is new or was never completely written.
fn read(path: &Path) -> io::Result<(File, u64)> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((file, text.trim().parse().unwrap_or(0)))
}

/// Leaps over numbers if the database's count is behind the noted one, and returns the new count.
///
/// The new count includes the leap, so that a later leap ends above it, even from an older copy.
async fn leap_over_losses(
    connection: &mut SqliteConnection,
    noted: u64,
    together: u64,
) -> Result<Option<u64>, sqlx::Error> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = 'commits'");
    let row = row.fetch_optional(&mut *connection).await?;
    let counted = row.map_or(Ok(0), |row| unsigned(row.try_get(0)?))?;
    let lost = noted.saturating_sub(counted);
    if lost == 0 {
        return Ok(None);
    }
    let by = lost.min(u64::from(u32::MAX)) * together;
    let by = by.next_multiple_of(LEAP);
    let count = noted + by / together;
    let mut transaction = connection.begin().await?;
    for statement in [
        "UPDATE applications SET last_number = MIN(last_number, ?2 - ?1) + ?1",
        "UPDATE chats SET last_number = MIN(last_number, ?2 - ?1) + ?1",
    ] {
        sqlx::query(statement)
            .bind(signed(by))
            .bind(signed(Number::MAX))
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ('commits', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(signed(count))
    .execute(&mut *transaction)
    .await?;
    // The search index knows versions that will be given again, and would not accept them, so another
    // generation is filled, under a number that none had.
    sqlx::query("INSERT INTO generations (number) VALUES (?1)")
        .bind(signed(count))
        .execute(&mut *transaction)
        .await?;
    for forgotten in ["DELETE FROM generations", "DELETE FROM outbox"] {
        sqlx::query(forgotten).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    tracing::error!(
        lost,
        leap = by,
        "the database has lost its last transactions, which were reported as stored: its log was \
         cut, or it was replaced by an older copy; numbers leap, so that none is given twice, and \
         the search index is rebuilt"
    );
    Ok(Some(count))
}
