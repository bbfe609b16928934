//! Epochs and proofs: which servers of the counter were admitted, and which numbers may be given.

use chat_core::{
    model::{
        Admission, Epoch, EpochMark, Incarnation, Position, Sequence, Shard, ShardRecord, Sighting,
    },
    ports::{Basis, Parent},
};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::{
    parents::{HeldChat, Hold, hold_application, hold_chat},
    rows::{bad_row, json},
};

/// Proves up to which number a sequence may have given numbers.
///
/// The parents are locked first and the shard last, as in every other transaction, so that the epoch
/// that was compared stays the shard's until the proof is written.
pub(crate) async fn basis(
    connection: &mut MySqlConnection,
    sequence: Sequence,
    shard: Shard,
    epoch: Epoch,
    alive: Option<Epoch>,
) -> Result<Basis, sqlx::Error> {
    let application = match sequence {
        Sequence::Chats(_) => Hold::Exclusive,
        Sequence::Messages(_) => Hold::Shared,
    };
    let application = hold_application(connection, sequence.application(), application).await?;
    let chat = match sequence {
        Sequence::Messages(key) => hold_chat(connection, key, Hold::Exclusive).await?,
        Sequence::Chats(_) => None,
    };
    if held_epoch(connection, shard).await? != epoch {
        return Ok(Basis::StaleEpoch);
    }
    match application {
        Parent::Live => {}
        Parent::Gone => return Ok(Basis::Deleted),
        Parent::Absent => return Ok(Basis::Absent),
    }
    let (last, known) = match sequence {
        Sequence::Chats(id) => {
            let row = sqlx::query("SELECT last_number, epoch FROM applications WHERE id = ?")
                .bind(id.get())
                .fetch_one(&mut *connection)
                .await?;
            (row.try_get(0)?, Epoch::new(row.try_get(1)?))
        }
        Sequence::Messages(_) => match (HeldChat::state(chat.as_ref()), alive) {
            (Parent::Gone, _) => return Ok(Basis::Deleted),
            (Parent::Absent, None) => return Ok(Basis::Absent),
            (Parent::Live | Parent::Absent, _) => chat
                .map_or((0, alive.unwrap_or(epoch)), |chat| {
                    (chat.last_number, Epoch::new(chat.epoch))
                }),
        },
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
    let raise = match (sequence, chat) {
        (Sequence::Chats(id), _) => {
            sqlx::query("UPDATE applications SET last_number = ?, epoch = ? WHERE id = ?")
                .bind(last)
                .bind(epoch.get())
                .bind(id.get())
        }
        (Sequence::Messages(key), Some(_)) => sqlx::query(
            "UPDATE chats SET last_number = ?, epoch = ? WHERE application_id = ? AND number = ?",
        )
        .bind(last)
        .bind(epoch.get())
        .bind(key.application.get())
        .bind(key.chat.get()),
        // If a message inserts it meanwhile, this fails, and the retry leaps from what that one counted.
        (Sequence::Messages(key), None) => sqlx::query(
            "INSERT INTO chats (last_number, epoch, application_id, number) VALUES (?, ?, ?, ?)",
        )
        .bind(last)
        .bind(epoch.get())
        .bind(key.application.get())
        .bind(key.chat.get()),
    };
    raise.execute(connection).await?;
    Ok(Basis::Last(last))
}

/// Reads the shard's epoch, and locks it until the end of the transaction.
async fn held_epoch(connection: &mut MySqlConnection, shard: Shard) -> Result<Epoch, sqlx::Error> {
    let epoch: Option<u64> =
        sqlx::query_scalar("SELECT epoch FROM shards WHERE shard = ? LOCK IN SHARE MODE")
            .bind(shard.get())
            .fetch_optional(connection)
            .await?;
    Ok(epoch.map_or(Epoch::FIRST, Epoch::new))
}

macro_rules! read_record {
    ($lock:literal) => {
        concat!(
            "SELECT address, run_id, epoch, seen_epoch, seen_nonce, position_major, position_minor
               FROM shards WHERE shard = ? ",
            $lock
        )
    };
}

pub(crate) async fn admit(
    connection: &mut MySqlConnection,
    sighting: &Sighting,
    read: Option<&ShardRecord>,
) -> Result<Option<Admission>, sqlx::Error> {
    let known = sqlx::query(read_record!("FOR UPDATE"))
        .bind(sighting.shard.get())
        .fetch_optional(&mut *connection)
        .await?;
    let known = known.as_ref().map(parse).transpose()?;
    let Some(record) = ShardRecord::admit(known.as_ref(), read, sighting) else {
        return Ok(None);
    };
    let (seen_epoch, seen_nonce) = match record.mark {
        EpochMark::Installed(epoch) => (Some(epoch.get()), None),
        EpochMark::Missing { nonce } => (None, Some(nonce)),
    };
    let write = match known {
        Some(_) => sqlx::query(
            "UPDATE shards SET address = ?, run_id = ?, epoch = ?, seen_epoch = ?, seen_nonce = ?,
                               position_major = ?, position_minor = ?
              WHERE shard = ?",
        ),
        // If another process inserts it at the same time, this fails, and finds it in the retry.
        None => sqlx::query(
            "INSERT INTO shards (address, run_id, epoch, seen_epoch, seen_nonce, position_major,
                                 position_minor, shard)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ),
    };
    write
        .bind(&record.address)
        .bind(&record.incarnation.0)
        .bind(record.epoch.get())
        .bind(seen_epoch)
        .bind(seen_nonce)
        .bind(record.position.major)
        .bind(record.position.minor)
        .bind(sighting.shard.get())
        .execute(connection)
        .await?;
    Ok(Some(Admission {
        sighting: sighting.clone(),
        epoch: record.epoch,
    }))
}

pub(crate) async fn record(
    connection: &mut MySqlConnection,
    shard: Shard,
) -> Result<Option<ShardRecord>, sqlx::Error> {
    let row = sqlx::query(read_record!(""))
        .bind(shard.get())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(parse).transpose()
}

fn parse(row: &MySqlRow) -> Result<ShardRecord, sqlx::Error> {
    let mark = match (row.try_get(3)?, row.try_get(4)?) {
        (Some(epoch), None) => EpochMark::Installed(Epoch::new(epoch)),
        (None, Some(nonce)) => EpochMark::Missing { nonce },
        _ => return Err(bad_row("the mark of a shard")),
    };
    Ok(ShardRecord {
        address: row.try_get(0)?,
        incarnation: Incarnation(row.try_get(1)?),
        epoch: Epoch::new(row.try_get(2)?),
        mark,
        position: Position {
            major: row.try_get(5)?,
            minor: row.try_get(6)?,
        },
    })
}

/// Stores how far the shards' work has come; a position never goes back.
pub(crate) async fn advance(
    connection: &mut MySqlConnection,
    positions: &[(Shard, Position)],
) -> Result<(), sqlx::Error> {
    if positions.is_empty() {
        return Ok(());
    }
    let mut positions: Vec<_> = positions
        .iter()
        .map(|(shard, position)| (shard.get(), position.major, position.minor))
        .collect();
    positions.sort_unstable();
    sqlx::query(
        "UPDATE (SELECT j.shard, j.major, j.minor
                   FROM JSON_TABLE(?, '$[*]' COLUMNS (shard SMALLINT UNSIGNED PATH '$[0]',
                                                      major BIGINT UNSIGNED PATH '$[1]',
                                                      minor BIGINT UNSIGNED PATH '$[2]')) AS j)
                AS reached
         STRAIGHT_JOIN shards AS s FORCE INDEX (PRIMARY) ON s.shard = reached.shard
            SET s.position_major = reached.major, s.position_minor = reached.minor
          WHERE s.position_major < reached.major
             OR (s.position_major = reached.major AND s.position_minor < reached.minor)",
    )
    .bind(json(&positions))
    .execute(connection)
    .await
    .map(drop)
}

pub(crate) async fn epochs(
    connection: &mut MySqlConnection,
) -> Result<Vec<(Shard, Epoch)>, sqlx::Error> {
    let rows = sqlx::query("SELECT shard, epoch FROM shards")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((Shard::new(row.try_get(0)?), Epoch::new(row.try_get(1)?))))
        .collect()
}

pub(crate) async fn fix_count(
    connection: &mut MySqlConnection,
    count: u16,
) -> Result<u16, sqlx::Error> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ('shards', ?)
         ON DUPLICATE KEY UPDATE value = value",
    )
    .bind(u64::from(count))
    .execute(&mut *connection)
    .await?;
    let fixed: u64 = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'shards'")
        .fetch_one(connection)
        .await?;
    u16::try_from(fixed).map_err(|_| bad_row("the number of shards"))
}
