//! Epochs of shards, for counters that may lose what they gave.
//!
//! The embedded counter cannot; this completes the repository for counters of other kinds.

use chat_core::{
    model::{
        Admission, Epoch, EpochMark, Incarnation, Position, Sequence, Shard, ShardRecord, Sighting,
    },
    ports::{Basis, Parent},
};
use sqlx::{Row as _, SqliteConnection, SqliteExecutor};

use crate::{
    parents::{application_state, chat_owners, chat_state, parent},
    rows::{bad_row, signed, unsigned},
};

pub(crate) async fn basis(
    connection: &mut SqliteConnection,
    sequence: Sequence,
    shard: Shard,
    epoch: Epoch,
    alive: Option<Epoch>,
) -> Result<Basis, sqlx::Error> {
    let current = record(&mut *connection, shard)
        .await?
        .map_or(Epoch::FIRST, |record| record.epoch);
    if current != epoch {
        return Ok(Basis::StaleEpoch);
    }
    let application = signed(sequence.application().get());
    let chat = match sequence {
        Sequence::Chats(_) => None,
        Sequence::Messages(key) => Some(signed(key.chat.get())),
    };
    let row = sqlx::query(concat!(
        "SELECT ",
        application_state!(),
        ", ",
        chat_state!(),
        ", iif(?2 IS NULL, a.last_number, c.last_number), iif(?2 IS NULL, a.epoch, c.epoch) FROM ",
        chat_owners!()
    ))
    .bind(application)
    .bind(chat)
    .fetch_one(&mut *connection)
    .await?;
    match parent(row.try_get(0)?) {
        Parent::Live => {}
        Parent::Gone => return Ok(Basis::Deleted),
        Parent::Absent => return Ok(Basis::Absent),
    }
    if chat.is_some() {
        match (parent(row.try_get(1)?), alive) {
            (Parent::Gone, _) => return Ok(Basis::Deleted),
            (Parent::Absent, None) => return Ok(Basis::Absent),
            (Parent::Live | Parent::Absent, _) => {}
        }
    }
    let last = unsigned(row.try_get::<Option<i64>, _>(2)?.unwrap_or(0))?;
    let known = match row.try_get::<Option<i64>, _>(3)? {
        Some(epoch) => Epoch::new(unsigned(epoch)?),
        None => alive.unwrap_or(epoch),
    };
    if known >= epoch {
        return Ok(Basis::Last(last));
    }
    // A sequence of no epoch was never seeded, so nothing can have been given and lost.
    let last = if known == Epoch::NONE {
        last
    } else {
        Basis::leap(last)
    };
    let raise = match chat {
        None => sqlx::query("UPDATE applications SET last_number = ?3, epoch = ?4 WHERE id = ?1"),
        Some(_) => sqlx::query(
            "INSERT INTO chats (application_id, number, last_number, epoch)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (application_id, number) DO UPDATE
                SET last_number = excluded.last_number, epoch = excluded.epoch",
        ),
    };
    raise
        .bind(application)
        .bind(chat)
        .bind(signed(last))
        .bind(signed(epoch.get()))
        .execute(connection)
        .await?;
    Ok(Basis::Last(last))
}

pub(crate) async fn admit(
    connection: &mut SqliteConnection,
    sighting: Sighting,
    read: Option<ShardRecord>,
) -> Result<Option<Admission>, sqlx::Error> {
    let known = record(&mut *connection, sighting.shard).await?;
    let Some(record) = ShardRecord::admit(known.as_ref(), read.as_ref(), &sighting) else {
        return Ok(None);
    };
    let (seen_epoch, seen_nonce) = match record.mark {
        EpochMark::Installed(epoch) => (Some(signed(epoch.get())), None),
        EpochMark::Missing { nonce } => (None, Some(nonce.cast_signed())),
    };
    sqlx::query(
        "INSERT OR REPLACE INTO shards
                (shard, address, run_id, epoch, seen_epoch, seen_nonce, position_major,
                 position_minor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(i64::from(sighting.shard.get()))
    .bind(&record.address)
    .bind(&record.incarnation.0)
    .bind(signed(record.epoch.get()))
    .bind(seen_epoch)
    .bind(seen_nonce)
    .bind(signed(record.position.major))
    .bind(signed(record.position.minor))
    .execute(connection)
    .await?;
    Ok(Some(Admission {
        sighting,
        epoch: record.epoch,
    }))
}

pub(crate) async fn record(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
) -> Result<Option<ShardRecord>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT address, run_id, epoch, seen_epoch, seen_nonce, position_major, position_minor
           FROM shards WHERE shard = ?1",
    )
    .bind(i64::from(shard.get()))
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let mark = match (
        row.try_get::<Option<i64>, _>(3)?,
        row.try_get::<Option<i64>, _>(4)?,
    ) {
        (Some(epoch), None) => EpochMark::Installed(Epoch::new(unsigned(epoch)?)),
        (None, Some(nonce)) => EpochMark::Missing {
            nonce: nonce.cast_unsigned(),
        },
        _ => return Err(bad_row("the mark of a shard")),
    };
    Ok(Some(ShardRecord {
        address: row.try_get(0)?,
        incarnation: Incarnation(row.try_get(1)?),
        epoch: Epoch::new(unsigned(row.try_get(2)?)?),
        mark,
        position: Position {
            major: unsigned(row.try_get(5)?)?,
            minor: unsigned(row.try_get(6)?)?,
        },
    }))
}

pub(crate) async fn fix_count(
    connection: &mut SqliteConnection,
    count: u16,
) -> Result<u16, sqlx::Error> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ('shards', ?1) ON CONFLICT DO NOTHING")
        .bind(i64::from(count))
        .execute(&mut *connection)
        .await?;
    let fixed: i64 = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'shards'")
        .fetch_one(connection)
        .await?;
    u16::try_from(fixed).map_err(|_| bad_row("the number of shards"))
}
