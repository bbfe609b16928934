//! Audits of counts, and the removal of tombstones.

use chat_core::{
    model::{ApplicationId, ChatKey, MessageKey, Timestamp},
    ports::Audit,
};
use sqlx::{Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::rows::{chat_key, keys_json, message_key, signed, unsigned};

/// What the counts of the applications `?1` should be.
macro_rules! sound_applications {
    () => {
        "WITH sound AS (
             SELECT asked.value AS id,
                    (SELECT count(*) FROM chats AS c WHERE c.application_id = asked.value
                        AND c.uid IS NOT NULL AND c.deleted_at IS NULL) AS count,
                    (SELECT coalesce(max(c.number), 0) FROM chats AS c
                      WHERE c.application_id = asked.value AND c.uid IS NOT NULL) AS last
               FROM json_each(?1) AS asked) "
    };
}

/// What the counts of the chats `?1` should be.
macro_rules! sound_chats {
    () => {
        "WITH sound AS (
             SELECT asked.value ->> 0 AS application_id, asked.value ->> 1 AS number,
                    (SELECT count(*) FROM messages AS m
                      WHERE m.application_id = asked.value ->> 0
                        AND m.chat_number = asked.value ->> 1 AND m.deleted_at IS NULL) AS count,
                    (SELECT coalesce(max(m.number), 0) FROM messages AS m
                      WHERE m.application_id = asked.value ->> 0
                        AND m.chat_number = asked.value ->> 1) AS last
               FROM json_each(?1) AS asked) "
    };
}

/// Compares some applications without holding the writer up, and names those that differ.
pub(crate) async fn compare_applications(
    readers: &SqlitePool,
    after: Option<ApplicationId>,
    limit: usize,
) -> Result<(Audit<ApplicationId>, Vec<ApplicationId>), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id FROM applications WHERE id > ?1 AND deleted_at IS NULL ORDER BY id LIMIT ?2",
    )
    .bind(after.map_or(0, |after| signed(after.get())))
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    let ids = application_ids(&rows)?;
    let rows = sqlx::query(concat!(
        sound_applications!(),
        "SELECT a.id FROM sound JOIN applications AS a ON a.id = sound.id
          WHERE a.chats_count <> sound.count OR a.last_number < sound.last"
    ))
    .bind(ids_json(&ids))
    .fetch_all(readers)
    .await?;
    let next = ids.last().copied().filter(|_| ids.len() == limit);
    let audit = Audit {
        next,
        checked: ids.len() as u64,
        repaired: Vec::new(),
        failed: Vec::new(),
    };
    Ok((audit, application_ids(&rows)?))
}

/// Compares again, and repairs what still differs.
pub(crate) async fn repair_applications(
    connection: &mut SqliteConnection,
    ids: &[ApplicationId],
) -> Result<Vec<ApplicationId>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        sound_applications!(),
        "UPDATE applications
            SET chats_count = sound.count, last_number = max(last_number, sound.last)
           FROM sound
          WHERE applications.id = sound.id
            AND (chats_count <> sound.count OR last_number < sound.last)
         RETURNING applications.id"
    ))
    .bind(ids_json(ids))
    .fetch_all(connection)
    .await?;
    application_ids(&rows)
}

fn application_ids(rows: &[SqliteRow]) -> Result<Vec<ApplicationId>, sqlx::Error> {
    rows.iter()
        .map(|row| unsigned(row.try_get(0)?).map(ApplicationId::new))
        .collect()
}

fn ids_json(ids: &[ApplicationId]) -> String {
    serde_json::to_string(ids).expect("numbers can always be written as JSON")
}

/// Compares some chats without holding the writer up, and names those that differ.
pub(crate) async fn compare_chats(
    readers: &SqlitePool,
    after: Option<ChatKey>,
    limit: usize,
) -> Result<(Audit<ChatKey>, Vec<ChatKey>), sqlx::Error> {
    let (application, number) =
        after.map_or((0, 0), |after| (after.application.get(), after.chat.get()));
    let rows = sqlx::query(
        "SELECT c.application_id, c.number FROM chats AS c
           JOIN applications AS a ON a.id = c.application_id AND a.deleted_at IS NULL
          WHERE (c.application_id, c.number) > (?1, ?2) AND c.deleted_at IS NULL
          ORDER BY c.application_id, c.number LIMIT ?3",
    )
    .bind(signed(application))
    .bind(signed(number))
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    let keys = chat_keys(&rows)?;
    let rows = sqlx::query(concat!(
        sound_chats!(),
        "SELECT c.application_id, c.number FROM sound JOIN chats AS c
             ON c.application_id = sound.application_id AND c.number = sound.number
          WHERE c.messages_count <> sound.count OR c.last_number < sound.last"
    ))
    .bind(chats_json(&keys))
    .fetch_all(readers)
    .await?;
    let next = keys.last().copied().filter(|_| keys.len() == limit);
    let audit = Audit {
        next,
        checked: keys.len() as u64,
        repaired: Vec::new(),
        failed: Vec::new(),
    };
    Ok((audit, chat_keys(&rows)?))
}

/// Compares again, and repairs what still differs.
pub(crate) async fn repair_chats(
    connection: &mut SqliteConnection,
    keys: &[ChatKey],
) -> Result<Vec<ChatKey>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        sound_chats!(),
        "UPDATE chats
            SET messages_count = sound.count, last_number = max(last_number, sound.last)
           FROM sound
          WHERE chats.application_id = sound.application_id AND chats.number = sound.number
            AND (messages_count <> sound.count OR last_number < sound.last)
         RETURNING chats.application_id, chats.number"
    ))
    .bind(chats_json(keys))
    .fetch_all(connection)
    .await?;
    chat_keys(&rows)
}

fn chat_keys(rows: &[SqliteRow]) -> Result<Vec<ChatKey>, sqlx::Error> {
    rows.iter().map(|row| chat_key(row, 0)).collect()
}

fn chats_json(keys: &[ChatKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| (key.application, key.chat)).collect();
    serde_json::to_string(&keys).expect("numbers can always be written as JSON")
}

pub(crate) async fn tombstones(
    readers: &SqlitePool,
    before: Timestamp,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Vec<MessageKey>, sqlx::Error> {
    let (application, chat, number) = after.map_or((0, 0, 0), |after| {
        (
            after.application.get(),
            after.chat.get(),
            after.message.get(),
        )
    });
    let rows = sqlx::query(
        "SELECT m.application_id, m.chat_number, m.number FROM messages AS m INDEXED BY messages_deleted
           JOIN chats AS c ON c.application_id = m.application_id AND c.number = m.chat_number
                          AND c.uid IS NOT NULL AND c.deleted_at IS NULL
           JOIN applications AS a ON a.id = m.application_id AND a.deleted_at IS NULL
          WHERE m.deleted_at IS NOT NULL AND m.deleted_at < ?1
            AND (m.application_id, m.chat_number, m.number) > (?2, ?3, ?4)
          ORDER BY m.application_id, m.chat_number, m.number LIMIT ?5",
    )
    .bind(before.as_micros())
    .bind(signed(application))
    .bind(signed(chat))
    .bind(signed(number))
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    rows.iter().map(|row| message_key(row, 0)).collect()
}

pub(crate) async fn purge_tombstones(
    connection: &mut SqliteConnection,
    keys: &[MessageKey],
) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query(
        "DELETE FROM messages
          WHERE deleted_at IS NOT NULL AND (application_id, chat_number, number) IN (
                SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))",
    )
    .bind(keys_json(keys))
    .execute(connection)
    .await?;
    Ok(purged.rows_affected())
}
