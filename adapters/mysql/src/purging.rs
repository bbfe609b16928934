//! The removal of what was deleted long ago.
//!
//! Deletions leave notes: a row of `deleted_parents` for each chat or application below which there
//! may be rows, a row of `deleted_messages` for each tombstone.
//! A parent's note is removed once nothing is left below it, so that each round looks only at what is
//! new.
//! Nothing is added below it later: whoever inserts there locks the parent, and finds it deleted.

use chat_core::model::{MessageKey, Timestamp};
use sqlx::{MySqlConnection, Row as _};

use crate::{
    messages::{after_binds, after_key, of_asked},
    rows::{asked_chats, asked_messages, json, keys_json, message_key},
};

/// How many notes one transaction looks at.
const NOTES: u64 = 200;

/// What one transaction of a purge did.
pub(crate) struct Purged {
    /// Rows of messages and chats that are gone.
    pub(crate) rows: u64,
    /// Whether no note is left.
    pub(crate) is_end: bool,
}

/// A note of something deleted, below which there may be rows.
#[derive(Clone, Copy)]
struct Note {
    application: u64,
    /// 0 for the whole application.
    chat: u64,
}

/// Removes up to `limit` rows below deleted chats and applications; the marked rows themselves stay.
pub(crate) async fn purge_below_deleted(
    connection: &mut MySqlConnection,
    limit: u64,
) -> Result<Purged, sqlx::Error> {
    // An application's note, with 0 for the chat, sorts before its chats' notes, so that all go together.
    let rows = sqlx::query(
        "SELECT d.application_id, d.chat_number,
                EXISTS (SELECT 1 FROM messages AS m
                         WHERE m.application_id = d.application_id
                           AND m.chat_number = d.chat_number)
                OR (d.chat_number = 0
                    AND EXISTS (SELECT 1 FROM chats AS c WHERE c.application_id = d.application_id))
           FROM deleted_parents AS d FORCE INDEX (PRIMARY)
          WHERE d.application_id > 0 ORDER BY d.application_id, d.chat_number LIMIT ?
            FOR UPDATE SKIP LOCKED",
    )
    .bind(NOTES)
    .fetch_all(&mut *connection)
    .await?;
    let mut purged = Purged {
        rows: 0,
        is_end: (rows.len() as u64) < NOTES,
    };
    let mut done = Vec::new();
    for row in &rows {
        let note = Note {
            application: row.try_get(0)?,
            chat: row.try_get(1)?,
        };
        let is_occupied = row.try_get::<i64, _>(2)? != 0;
        let room = limit - purged.rows;
        if is_occupied && room == 0 {
            purged.is_end = false;
            break;
        }
        let gone = match (is_occupied, note.chat) {
            (false, _) => 0,
            (true, 0) => purge_application(connection, note.application, room).await?,
            (true, _) => purge_chat(connection, note, room).await?,
        };
        purged.rows += gone;
        if gone < room || !is_occupied {
            done.push((note.application, note.chat));
        } else {
            purged.is_end = false;
        }
    }
    if done.is_empty() {
        // A round without any progress would not make any if it were repeated.
        purged.is_end |= purged.rows == 0;
    } else {
        sqlx::query(concat!(
            "DELETE d FROM ",
            asked_chats!(),
            " STRAIGHT_JOIN deleted_parents AS d FORCE INDEX (PRIMARY)
                     ON d.application_id = asked.application_id AND d.chat_number = asked.number"
        ))
        .bind(json(&done))
        .execute(connection)
        .await?;
    }
    Ok(purged)
}

/// Removes the first messages of a chat, with their tombstones' notes.
async fn purge_chat(
    connection: &mut MySqlConnection,
    note: Note,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let Some((count, last)) = first_messages(connection, note, limit).await? else {
        return Ok(0);
    };
    for delete in [
        "DELETE FROM messages WHERE application_id = ? AND chat_number = ? AND number <= ?",
        "DELETE FROM deleted_messages WHERE application_id = ? AND chat_number = ? AND number <= ?",
    ] {
        sqlx::query(delete)
            .bind(note.application)
            .bind(note.chat)
            .bind(last)
            .execute(&mut *connection)
            .await?;
    }
    Ok(count)
}

/// How many of the first `limit` messages of a chat there are, and the last one's number.
async fn first_messages(
    connection: &mut MySqlConnection,
    note: Note,
    limit: u64,
) -> Result<Option<(u64, u64)>, sqlx::Error> {
    let numbers: Vec<u64> = sqlx::query_scalar(
        "SELECT number FROM messages WHERE application_id = ? AND chat_number = ?
          ORDER BY number LIMIT ?",
    )
    .bind(note.application)
    .bind(note.chat)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let count = numbers.len() as u64;
    Ok(numbers.last().map(|last| (count, *last)))
}

/// Removes the first messages of a deleted application, chat by chat, and chats that are empty.
async fn purge_application(
    connection: &mut MySqlConnection,
    application: u64,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let mut purged = 0;
    let chats: Vec<u64> = sqlx::query_scalar(
        "SELECT number FROM chats WHERE application_id = ? ORDER BY number LIMIT ?",
    )
    .bind(application)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    for chat in chats {
        let note = Note { application, chat };
        let room = limit - purged;
        let gone = purge_chat(connection, note, room).await?;
        purged += gone;
        if purged == limit {
            break;
        }
        sqlx::query("DELETE FROM chats WHERE application_id = ? AND number = ?")
            .bind(application)
            .bind(chat)
            .execute(&mut *connection)
            .await?;
        purged += 1;
        if purged == limit {
            break;
        }
    }
    Ok(purged)
}

pub(crate) async fn tombstones(
    connection: &mut MySqlConnection,
    before: Timestamp,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Vec<MessageKey>, sqlx::Error> {
    let [application, same_application, chat, same_chat, number] = after_binds(after);
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN d.application_id, d.chat_number, d.number
           FROM deleted_messages AS d FORCE INDEX (PRIMARY)
           JOIN chats AS c FORCE INDEX (PRIMARY)
             ON c.application_id = d.application_id AND c.number = d.chat_number
           JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = d.application_id
          WHERE ",
        after_key!("d"),
        " AND d.deleted_at < ? AND c.uid IS NOT NULL AND c.deleted_at IS NULL
          AND a.deleted_at IS NULL
          ORDER BY d.application_id, d.chat_number, d.number LIMIT ?"
    ))
    .bind(application)
    .bind(same_application)
    .bind(chat)
    .bind(same_chat)
    .bind(number)
    .bind(before.as_micros())
    .bind(limit as u64)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| message_key(row, 0)).collect()
}

/// Removes the tombstones among the messages, and their notes.
pub(crate) async fn purge_tombstones(
    connection: &mut MySqlConnection,
    keys: &[MessageKey],
) -> Result<u64, sqlx::Error> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let keys = keys_json(&keys);
    let purged = sqlx::query(concat!(
        "DELETE m FROM ",
        of_asked!(),
        " WHERE m.deleted_at IS NOT NULL"
    ))
    .bind(&keys)
    .execute(&mut *connection)
    .await?;
    sqlx::query(concat!(
        "DELETE d FROM ",
        asked_messages!(),
        " STRAIGHT_JOIN deleted_messages AS d FORCE INDEX (PRIMARY)
                 ON d.application_id = asked.application_id AND d.chat_number = asked.chat_number
                AND d.number = asked.number"
    ))
    .bind(&keys)
    .execute(connection)
    .await?;
    Ok(purged.rows_affected())
}
