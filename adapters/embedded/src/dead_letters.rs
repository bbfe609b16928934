//! Dead letters: what could not be stored or indexed.

use chat_core::model::{DeadLetter, DeadLetterId, DeadLetterReason, Epoch, Timestamp};
use sqlx::{Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::rows::{bad_row, number, signed, unsigned};

macro_rules! letter_columns {
    () => {
        "id, reason, detail, number, epoch, payload, first_failed_at, last_failed_at"
    };
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, sqlx::Error> {
    let given: Option<i64> = row.try_get(3)?;
    Ok(DeadLetter {
        id: DeadLetterId::new(row.try_get::<String, _>(0)?),
        reason: DeadLetterReason::parse(row.try_get(1)?).ok_or_else(|| bad_row("a reason"))?,
        detail: row.try_get(2)?,
        number: given.map(number).transpose()?,
        epoch: Epoch::new(unsigned(row.try_get(4)?)?),
        payload: row.try_get(5)?,
        first_failed_at: Timestamp::from_micros(row.try_get(6)?),
        last_failed_at: Timestamp::from_micros(row.try_get(7)?),
    })
}

pub(crate) async fn add(
    connection: &mut SqliteConnection,
    letter: &DeadLetter,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO dead_letters
                (id, reason, detail, number, epoch, payload, first_failed_at, last_failed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE
            SET reason = excluded.reason, detail = excluded.detail,
                last_failed_at = max(last_failed_at + 1, excluded.last_failed_at)",
    )
    .bind(letter.id.as_str())
    .bind(letter.reason.as_str())
    .bind(&letter.detail)
    .bind(letter.number.map(|number| signed(number.get())))
    .bind(signed(letter.epoch.get()))
    .bind(&letter.payload)
    .bind(letter.first_failed_at.as_micros())
    .bind(letter.last_failed_at.as_micros())
    .execute(connection)
    .await
    .map(drop)
}

pub(crate) async fn get(
    readers: &SqlitePool,
    id: &DeadLetterId,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        letter_columns!(),
        " FROM dead_letters WHERE id = ?1"
    ))
    .bind(id.as_str())
    .fetch_optional(readers)
    .await?;
    row.as_ref().map(letter).transpose()
}

pub(crate) async fn list(
    readers: &SqlitePool,
    after: Option<DeadLetterId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        letter_columns!(),
        " FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))
    .bind(after.map_or_else(String::new, |after| after.as_str().to_owned()))
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    rows.iter().map(letter).collect()
}

pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    id: &DeadLetterId,
    seen: Timestamp,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "DELETE FROM dead_letters WHERE id = ?1 AND last_failed_at <= ?2 RETURNING ",
        letter_columns!()
    ))
    .bind(id.as_str())
    .bind(seen.as_micros())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(letter).transpose()
}
