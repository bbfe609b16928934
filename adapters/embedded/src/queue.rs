//! Durable work in a table, and dead letters in another.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    PortError,
    model::{
        Creation, DeadLetter, DeadLetterId, DeadLetterReason, DecodeError, Draft, Epoch, Timestamp,
    },
    ports::{Backlog, Clock, Consumer, Delivery, Entry, Queue, Receipt},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::{
    database::Database,
    error::port_error,
    rows::{bad_row, number, signed, unsigned},
};

/// How long a consumer may hold an entry before another one takes it over.
const TAKEOVER: Duration = Duration::from_secs(30);

/// How long an idle `receive` waits between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Carries work in the database's own table.
///
/// The embedded counter stores at once and publishes nothing; the queue serves a counter of another
/// kind, replayed dead letters, and whoever embeds it.
pub struct EmbeddedQueue {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedQueue {
    pub(crate) fn new(database: &Arc<Database>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            database: Arc::clone(database),
            clock: Arc::clone(clock),
        }
    }

    async fn has_work(&self, consumer: &Consumer, now: Timestamp) -> Result<bool, PortError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM queue_entries
                             WHERE holder IS NULL OR holder = ?1 OR held_since <= ?2)",
        )
        .bind(&consumer.0)
        .bind(now.minus(TAKEOVER).as_micros())
        .fetch_one(self.database.readers())
        .await
        .map_err(|error| port_error("look for work", error))
    }

    async fn take(
        &self,
        consumer: &Consumer,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, PortError> {
        let holder = consumer.0.clone();
        let most = signed(most as u64);
        self.database
            .writer
            .write("receive work", move |connection| {
                Box::pin(async move {
                    // The consumer's own come first.
                    let rows = sqlx::query(
                        "UPDATE queue_entries
                            SET holder = ?1, held_since = ?2, attempts = attempts + 1
                          WHERE id IN (
                                SELECT id FROM queue_entries
                                 WHERE holder IS NULL OR holder = ?1 OR held_since <= ?3
                                 ORDER BY holder IS NOT ?1, id LIMIT ?4)
                         RETURNING id, number, epoch, payload, forced, attempts",
                    )
                    .bind(holder)
                    .bind(now.as_micros())
                    .bind(now.minus(TAKEOVER).as_micros())
                    .bind(most)
                    .fetch_all(connection)
                    .await?;
                    let mut deliveries: Vec<(i64, Delivery)> =
                        rows.iter().map(delivery).collect::<Result<_, _>>()?;
                    deliveries.sort_by_key(|(id, _)| *id);
                    Ok(deliveries
                        .into_iter()
                        .map(|(_, delivery)| delivery)
                        .collect())
                })
            })
            .await
    }
}

fn delivery(row: &SqliteRow) -> Result<(i64, Delivery), sqlx::Error> {
    let id: i64 = row.try_get(0)?;
    let payload: Vec<u8> = row.try_get(3)?;
    let entry = match Draft::decode(&payload) {
        Ok(draft) => Entry::Creation(Creation {
            number: number(row.try_get(1)?)?,
            epoch: Epoch::new(unsigned(row.try_get(2)?)?),
            draft,
        }),
        Err(error) => Entry::Unreadable {
            detail: error.to_string(),
            newer: matches!(error, DecodeError::Newer(_)),
            payload,
        },
    };
    let delivery = Delivery {
        receipt: Receipt(id.to_string()),
        attempt: u32::try_from(row.try_get::<i64, _>(5)?).unwrap_or(u32::MAX),
        forced: row.try_get(4)?,
        position: None,
        entry,
    };
    Ok((id, delivery))
}

/// Receipts as a JSON array of row ids; what is no id of ours names no row.
fn ids(receipts: &[Receipt]) -> String {
    let ids: Vec<&str> = receipts
        .iter()
        .map(|receipt| receipt.0.as_str())
        .filter(|id| id.parse::<i64>().is_ok())
        .collect();
    format!("[{}]", ids.join(","))
}

macro_rules! letter_columns {
    () => {
        "id, reason, detail, number, epoch, payload, first_failed_at, last_failed_at"
    };
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, sqlx::Error> {
    let payload: Vec<u8> = row.try_get(5)?;
    let given: Option<i64> = row.try_get(3)?;
    let creation = match (given, Draft::decode(&payload)) {
        (Some(given), Ok(draft)) => Some(Creation {
            number: number(given)?,
            epoch: Epoch::new(unsigned(row.try_get(4)?)?),
            draft,
        }),
        _ => None,
    };
    Ok(DeadLetter {
        id: DeadLetterId::new(row.try_get::<String, _>(0)?),
        reason: DeadLetterReason::parse(row.try_get(1)?).ok_or_else(|| bad_row("a reason"))?,
        detail: row.try_get(2)?,
        creation,
        payload,
        first_failed_at: Timestamp::from_micros(row.try_get(6)?),
        last_failed_at: Timestamp::from_micros(row.try_get(7)?),
    })
}

async fn remove_letter(
    connection: &mut SqliteConnection,
    id: &DeadLetterId,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "DELETE FROM dead_letters WHERE id = ?1 RETURNING ",
        letter_columns!()
    ))
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(letter).transpose()
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn publish(&self, creation: &Creation) -> Result<(), PortError> {
        let payload = creation.draft.encode();
        let (number, epoch) = (signed(creation.number.get()), signed(creation.epoch.get()));
        let now = self.clock.now().as_micros();
        self.database
            .writer
            .write("publish a creation", move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO queue_entries (number, epoch, payload, added_at)
                         VALUES (?1, ?2, ?3, ?4)",
                    )
                    .bind(number)
                    .bind(epoch)
                    .bind(payload)
                    .bind(now)
                    .execute(connection)
                    .await
                    .map(drop)
                })
            })
            .await
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let mut left = wait;
        loop {
            let now = self.clock.now();
            // Looking costs the writer nothing, so an idle queue disturbs nobody.
            if self.has_work(consumer, now).await? {
                return self.take(consumer, most, now).await;
            }
            if left.is_zero() {
                return Ok(Vec::new());
            }
            let pause = left.min(PAUSE);
            tokio::time::sleep(pause).await;
            left -= pause;
        }
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let ids = ids(receipts);
        self.database
            .writer
            .write("acknowledge work", move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "DELETE FROM queue_entries WHERE id IN (SELECT value FROM json_each(?1))",
                    )
                    .bind(ids)
                    .execute(connection)
                    .await
                    .map(drop)
                })
            })
            .await
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let ids = ids(receipts);
        self.database
            .writer
            .write("give work back", move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE queue_entries SET holder = NULL
                          WHERE id IN (SELECT value FROM json_each(?1))",
                    )
                    .bind(ids)
                    .execute(connection)
                    .await
                    .map(drop)
                })
            })
            .await
    }

    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        let letter = letter.clone();
        self.database
            .writer
            .write("keep a dead letter", move |connection| {
                Box::pin(async move {
                    let creation = letter.creation.as_ref();
                    sqlx::query(
                        "INSERT INTO dead_letters
                                (id, reason, detail, number, epoch, payload,
                                 first_failed_at, last_failed_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                         ON CONFLICT (id) DO UPDATE
                            SET reason = excluded.reason, detail = excluded.detail,
                                last_failed_at = excluded.last_failed_at",
                    )
                    .bind(letter.id.as_str())
                    .bind(letter.reason.as_str())
                    .bind(&letter.detail)
                    .bind(creation.map(|creation| signed(creation.number.get())))
                    .bind(creation.map_or(0, |creation| signed(creation.epoch.get())))
                    .bind(&letter.payload)
                    .bind(letter.first_failed_at.as_micros())
                    .bind(letter.last_failed_at.as_micros())
                    .execute(connection)
                    .await
                    .map(drop)
                })
            })
            .await
    }

    async fn dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            letter_columns!(),
            " FROM dead_letters WHERE id = ?1"
        ))
        .bind(id.as_str())
        .fetch_optional(self.database.readers())
        .await;
        row.and_then(|row| row.as_ref().map(letter).transpose())
            .map_err(|error| port_error("read a dead letter", error))
    }

    async fn dead_letters(
        &self,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            letter_columns!(),
            " FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2"
        ))
        .bind(after.map_or_else(String::new, |after| after.as_str().to_owned()))
        .bind(signed(limit as u64))
        .fetch_all(self.database.readers())
        .await;
        rows.and_then(|rows| rows.iter().map(letter).collect())
            .map_err(|error| port_error("list dead letters", error))
    }

    async fn replay(&self, id: &DeadLetterId, force: bool) -> Result<bool, PortError> {
        let id = id.clone();
        let now = self.clock.now().as_micros();
        self.database
            .writer
            .write("replay a dead letter", move |connection| {
                Box::pin(async move {
                    let Some(letter) = remove_letter(connection, &id).await? else {
                        return Ok(false);
                    };
                    let creation = letter.creation.as_ref();
                    sqlx::query(
                        "INSERT INTO queue_entries (number, epoch, payload, forced, added_at)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )
                    .bind(creation.map_or(1, |creation| signed(creation.number.get())))
                    .bind(creation.map_or(0, |creation| signed(creation.epoch.get())))
                    .bind(&letter.payload)
                    .bind(force)
                    .bind(now)
                    .execute(connection)
                    .await?;
                    Ok(true)
                })
            })
            .await
    }

    async fn drop_dead_letter(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        let id = id.clone();
        self.database
            .writer
            .write("drop a dead letter", move |connection| {
                Box::pin(async move { remove_letter(connection, &id).await })
            })
            .await
    }

    async fn backlog(&self) -> Result<Backlog, PortError> {
        let read = async {
            let row = sqlx::query(
                "SELECT count(*), coalesce(sum(length(payload)), 0), min(added_at)
                   FROM queue_entries",
            )
            .fetch_one(self.database.readers())
            .await?;
            let oldest: Option<i64> = row.try_get(2)?;
            let now = self.clock.now();
            Ok(Backlog {
                entries: unsigned(row.try_get(0)?)?,
                bytes: unsigned(row.try_get(1)?)?,
                oldest: oldest.map_or(Duration::ZERO, |at| now.since(Timestamp::from_micros(at))),
            })
        };
        read.await
            .map_err(|error| port_error("measure the backlog", error))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.database.check().await
    }
}
