//! Notes for the search index, and the index's generations.

use chat_core::{
    model::{Generation, GenerationState},
    ports::{Claim, OutboxBacklog, OutboxChange, OutboxRow},
};
use sqlx::{MySqlConnection, Row as _};

use crate::rows::{asked_ids, changes, changes_json, json};

/// Locks the generations until the end of the transaction, and tells whether there is one.
///
/// The lock is shared and keeps generations from being added; every transaction that changes what is
/// indexed takes it first.
/// Their number is in the very row that is locked: read elsewhere, it could be older than the lock.
pub(crate) async fn hold_generations(
    connection: &mut MySqlConnection,
) -> Result<bool, sqlx::Error> {
    let count: u64 = sqlx::query_scalar(
        "SELECT value FROM settings WHERE name = 'generations' LOCK IN SHARE MODE",
    )
    .fetch_one(connection)
    .await?;
    Ok(count > 0)
}

/// Notes what changed for the search index; to be called only if there is one.
pub(crate) async fn note(
    connection: &mut MySqlConnection,
    changes: &[OutboxChange],
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT INTO outbox (changes) VALUES (?)")
        .bind(changes_json(changes))
        .execute(connection)
        .await
        .map(drop)
}

/// Notes something that did not change, so that it is indexed once more.
pub(crate) async fn note_again(
    connection: &mut MySqlConnection,
    changes: &[OutboxChange],
) -> Result<(), sqlx::Error> {
    if hold_generations(connection).await? {
        note(connection, changes).await?;
    }
    Ok(())
}

/// The rows of a JSON array of ids, as `o`.
macro_rules! asked_rows {
    () => {
        concat!(
            asked_ids!(),
            " STRAIGHT_JOIN outbox AS o FORCE INDEX (PRIMARY) ON o.id = asked.id"
        )
    };
}

pub(crate) async fn claim(
    connection: &mut MySqlConnection,
    claim: &Claim,
    limit: usize,
) -> Result<Vec<OutboxRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, changes FROM outbox FORCE INDEX (PRIMARY)
          WHERE id > 0 AND claimed_until <= ? ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED",
    )
    .bind(claim.now.as_micros())
    .bind(limit as u64)
    .fetch_all(&mut *connection)
    .await?;
    let claimed = rows.iter().map(|row| {
        Ok(OutboxRow {
            id: row.try_get(0)?,
            changes: changes(row.try_get(1)?)?,
        })
    });
    let claimed = claimed.collect::<Result<Vec<_>, sqlx::Error>>()?;
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let ids: Vec<u64> = claimed.iter().map(|row| row.id).collect();
    sqlx::query(concat!(
        "UPDATE ",
        asked_rows!(),
        " SET o.holder = ?, o.claimed_until = ?"
    ))
    .bind(json(&ids))
    .bind(&claim.holder)
    .bind(claim.until.as_micros())
    .execute(connection)
    .await?;
    Ok(claimed)
}

pub(crate) async fn complete(
    connection: &mut MySqlConnection,
    claim: &Claim,
    rows: &[u64],
) -> Result<(), sqlx::Error> {
    sqlx::query(concat!(
        "DELETE o FROM ",
        asked_rows!(),
        " WHERE o.holder = ?"
    ))
    .bind(json(rows))
    .bind(&claim.holder)
    .execute(connection)
    .await
    .map(drop)
}

/// Releases claimed rows, so that they can be claimed at once.
pub(crate) async fn release(
    connection: &mut MySqlConnection,
    claim: &Claim,
    rows: &[u64],
) -> Result<(), sqlx::Error> {
    sqlx::query(concat!(
        "UPDATE ",
        asked_rows!(),
        " SET o.holder = NULL, o.claimed_until = 0 WHERE o.holder = ?"
    ))
    .bind(json(rows))
    .bind(&claim.holder)
    .execute(connection)
    .await
    .map(drop)
}

pub(crate) async fn backlog(
    connection: &mut MySqlConnection,
) -> Result<OutboxBacklog, sqlx::Error> {
    let row = sqlx::query(
        "SELECT CAST((SELECT count(*) FROM (SELECT id FROM outbox LIMIT ?) AS counted) AS UNSIGNED),
                (SELECT min(id) FROM outbox)",
    )
    .bind(OutboxBacklog::MOST_ROWS)
    .fetch_one(connection)
    .await?;
    Ok(OutboxBacklog {
        rows: row.try_get(0)?,
        lowest: row.try_get(1)?,
    })
}

pub(crate) async fn generations(
    connection: &mut MySqlConnection,
) -> Result<Vec<Generation>, sqlx::Error> {
    let rows = sqlx::query("SELECT number, serving FROM generations ORDER BY number")
        .fetch_all(connection)
        .await?;
    let listed = rows.iter().map(|row| {
        let state = if row.try_get::<bool, _>(1)? {
            GenerationState::Serving
        } else {
            GenerationState::Building
        };
        Ok(Generation {
            number: row.try_get(0)?,
            state,
        })
    });
    listed.collect()
}

/// Waits for the end of every transaction that holds the generations, and keeps new ones waiting.
async fn lock_generations(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT value FROM settings WHERE name = 'generations' FOR UPDATE")
        .fetch_one(connection)
        .await
        .map(drop)
}

/// Notes how many generations there are by now.
async fn count_generations(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE settings SET value = (SELECT count(*) FROM generations) WHERE name = 'generations'",
    )
    .execute(connection)
    .await
    .map(drop)
}

pub(crate) async fn add_generation(
    connection: &mut MySqlConnection,
) -> Result<Generation, sqlx::Error> {
    lock_generations(connection).await?;
    let added = sqlx::query("INSERT INTO generations (serving) VALUES (FALSE)")
        .execute(&mut *connection)
        .await?;
    count_generations(connection).await?;
    Ok(Generation {
        number: added.last_insert_id(),
        state: GenerationState::Building,
    })
}

pub(crate) async fn serve_generation(
    connection: &mut MySqlConnection,
    number: u64,
) -> Result<bool, sqlx::Error> {
    lock_generations(connection).await?;
    let listed: Option<u64> = sqlx::query_scalar("SELECT number FROM generations WHERE number = ?")
        .bind(number)
        .fetch_optional(&mut *connection)
        .await?;
    if listed.is_none() {
        return Ok(false);
    }
    sqlx::query("DELETE FROM generations WHERE number <> ?")
        .bind(number)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE generations SET serving = TRUE WHERE number = ?")
        .bind(number)
        .execute(&mut *connection)
        .await?;
    count_generations(connection).await?;
    Ok(true)
}

pub(crate) async fn remove_generation(
    connection: &mut MySqlConnection,
    number: u64,
) -> Result<(), sqlx::Error> {
    lock_generations(connection).await?;
    sqlx::query("DELETE FROM generations WHERE number = ?")
        .bind(number)
        .execute(&mut *connection)
        .await?;
    count_generations(connection).await
}
