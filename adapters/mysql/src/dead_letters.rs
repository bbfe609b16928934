//! Dead letters: what could not be stored or indexed.

use chat_core::model::{DeadLetter, DeadLetterId, DeadLetterReason, Epoch, Number, Timestamp};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::rows::{bad_row, number};

macro_rules! letter_columns {
    () => {
        "id, reason, detail, number, epoch, payload, first_failed_at, last_failed_at"
    };
}

fn letter(row: &MySqlRow) -> Result<DeadLetter, sqlx::Error> {
    let id = String::from_utf8(row.try_get(0)?).map_err(|_| bad_row("a dead letter's id"))?;
    let given: Option<u64> = row.try_get(3)?;
    Ok(DeadLetter {
        id: DeadLetterId::new(id),
        reason: DeadLetterReason::parse(row.try_get(1)?).ok_or_else(|| bad_row("a reason"))?,
        detail: row.try_get(2)?,
        number: given.map(number).transpose()?,
        epoch: Epoch::new(row.try_get(4)?),
        payload: row.try_get(5)?,
        first_failed_at: Timestamp::from_micros(row.try_get(6)?),
        last_failed_at: Timestamp::from_micros(row.try_get(7)?),
    })
}

pub(crate) async fn add(
    connection: &mut MySqlConnection,
    letter: &DeadLetter,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO dead_letters
                (id, reason, detail, number, epoch, payload, first_failed_at, last_failed_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE reason = VALUES(reason), detail = VALUES(detail),
                                 last_failed_at = GREATEST(last_failed_at + 1, VALUES(last_failed_at))",
    )
    .bind(letter.id.as_str().as_bytes())
    .bind(letter.reason.as_str())
    .bind(&letter.detail)
    .bind(letter.number.map(Number::get))
    .bind(letter.epoch.get())
    .bind(&letter.payload)
    .bind(letter.first_failed_at.as_micros())
    .bind(letter.last_failed_at.as_micros())
    .execute(connection)
    .await
    .map(drop)
}

macro_rules! read_letter {
    ($lock:literal) => {
        concat!(
            "SELECT ",
            letter_columns!(),
            " FROM dead_letters WHERE id = ? ",
            $lock
        )
    };
}

pub(crate) async fn get(
    connection: &mut MySqlConnection,
    id: &DeadLetterId,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let row = sqlx::query(read_letter!(""))
        .bind(id.as_str().as_bytes())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(letter).transpose()
}

pub(crate) async fn list(
    connection: &mut MySqlConnection,
    after: Option<&DeadLetterId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        letter_columns!(),
        " FROM dead_letters FORCE INDEX (PRIMARY) WHERE id > ? ORDER BY id LIMIT ?"
    ))
    .bind(after.map_or("", DeadLetterId::as_str).as_bytes())
    .bind(limit as u64)
    .fetch_all(connection)
    .await?;
    rows.iter().map(letter).collect()
}

pub(crate) async fn remove(
    connection: &mut MySqlConnection,
    id: &DeadLetterId,
    seen: Timestamp,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let row = sqlx::query(read_letter!("FOR UPDATE"))
        .bind(id.as_str().as_bytes())
        .fetch_optional(&mut *connection)
        .await?;
    let letter = row.as_ref().map(letter).transpose()?;
    let Some(letter) = letter.filter(|letter| letter.last_failed_at <= seen) else {
        return Ok(None);
    };
    sqlx::query("DELETE FROM dead_letters WHERE id = ?")
        .bind(id.as_str().as_bytes())
        .execute(connection)
        .await?;
    Ok(Some(letter))
}
