//! Notes for the search index, and the index's generations.

use chat_core::{
    model::{Generation, GenerationState},
    ports::{Claim, OutboxBacklog, OutboxChange, OutboxRow},
};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::rows::{changes, changes_json, signed, unsigned};

/// Notes what changed for the search index, if there is one.
pub(crate) async fn note(
    connection: &mut SqliteConnection,
    changes: &[OutboxChange],
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT INTO outbox (changes) SELECT ?1 WHERE EXISTS (SELECT 1 FROM generations)")
        .bind(changes_json(changes))
        .execute(connection)
        .await
        .map(drop)
}

pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    claim: &Claim,
    limit: usize,
) -> Result<Vec<OutboxRow>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE outbox SET holder = ?1, claimed_until = ?2
          WHERE id IN (SELECT id FROM outbox WHERE claimed_until <= ?3 ORDER BY id LIMIT ?4)
         RETURNING id, changes",
    )
    .bind(&claim.holder)
    .bind(claim.until.as_micros())
    .bind(claim.now.as_micros())
    .bind(signed(limit as u64))
    .fetch_all(connection)
    .await?;
    let claimed = rows.iter().map(|row| {
        Ok(OutboxRow {
            id: unsigned(row.try_get(0)?)?,
            changes: changes(row.try_get(1)?)?,
        })
    });
    let mut claimed = claimed.collect::<Result<Vec<_>, sqlx::Error>>()?;
    claimed.sort_by_key(|row| row.id);
    Ok(claimed)
}

pub(crate) async fn release(
    connection: &mut SqliteConnection,
    claim: &Claim,
    rows: &[u64],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE outbox SET claimed_until = 0
          WHERE holder = ?1 AND id IN (SELECT value FROM json_each(?2))",
    )
    .bind(&claim.holder)
    .bind(ids_json(rows))
    .execute(connection)
    .await
    .map(drop)
}

pub(crate) async fn complete(
    connection: &mut SqliteConnection,
    claim: &Claim,
    rows: &[u64],
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM outbox WHERE holder = ?1 AND id IN (SELECT value FROM json_each(?2))")
        .bind(&claim.holder)
        .bind(ids_json(rows))
        .execute(connection)
        .await
        .map(drop)
}

fn ids_json(rows: &[u64]) -> String {
    serde_json::to_string(rows).expect("numbers can always be written as JSON")
}

pub(crate) async fn backlog(readers: &SqlitePool) -> Result<OutboxBacklog, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM (SELECT id FROM outbox LIMIT ?1)),
            (SELECT min(id) FROM outbox)",
    )
    .bind(signed(OutboxBacklog::MOST_ROWS))
    .fetch_one(readers)
    .await?;
    let lowest: Option<i64> = row.try_get(1)?;
    Ok(OutboxBacklog {
        rows: unsigned(row.try_get(0)?)?,
        lowest: lowest.map(unsigned).transpose()?,
    })
}

pub(crate) async fn generations(readers: &SqlitePool) -> Result<Vec<Generation>, sqlx::Error> {
    let rows = sqlx::query("SELECT number, serving FROM generations ORDER BY number")
        .fetch_all(readers)
        .await?;
    let listed = rows.iter().map(|row| {
        let state = if row.try_get::<bool, _>(1)? {
            GenerationState::Serving
        } else {
            GenerationState::Building
        };
        Ok(Generation {
            number: unsigned(row.try_get(0)?)?,
            state,
        })
    });
    listed.collect()
}

pub(crate) async fn add_generation(
    connection: &mut SqliteConnection,
) -> Result<Generation, sqlx::Error> {
    let number: i64 = sqlx::query_scalar("INSERT INTO generations DEFAULT VALUES RETURNING number")
        .fetch_one(connection)
        .await?;
    Ok(Generation {
        number: unsigned(number)?,
        state: GenerationState::Building,
    })
}

pub(crate) async fn serve_generation(
    connection: &mut SqliteConnection,
    number: u64,
) -> Result<bool, sqlx::Error> {
    let served = sqlx::query("UPDATE generations SET serving = 1 WHERE number = ?1")
        .bind(signed(number))
        .execute(&mut *connection)
        .await?;
    // SQLite counts each matching row as affected, changed or not.
    if served.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("DELETE FROM generations WHERE number <> ?1")
        .bind(signed(number))
        .execute(connection)
        .await?;
    Ok(true)
}

pub(crate) async fn remove_generation(
    connection: &mut SqliteConnection,
    number: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM generations WHERE number = ?1")
        .bind(signed(number))
        .execute(connection)
        .await
        .map(drop)
}
