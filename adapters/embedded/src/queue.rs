//! A durable queue in a table.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    PortError,
    model::{Creation, DecodeError, Draft, Epoch, Timestamp},
    ports::{Backlog, Clock, Consumer, Delivery, Entry, Queue, Receipt},
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    database::Database,
    error::port_error,
    rows::{number, signed, unsigned},
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
                    // The consumer's own entries come first.
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
            number: number(row.try_get(1)?).ok(),
            epoch: Epoch::new(unsigned(row.try_get(2)?)?),
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

/// Turns receipts into a JSON array of row ids, leaving out any that is no id of ours.
fn ids(receipts: &[Receipt]) -> String {
    let ids: Vec<&str> = receipts
        .iter()
        .map(|receipt| receipt.0.as_str())
        .filter(|id| id.parse::<i64>().is_ok())
        .collect();
    format!("[{}]", ids.join(","))
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn publish(&self, creation: &Creation, forced: bool) -> Result<(), PortError> {
        let payload = creation.draft.encode();
        let (number, epoch) = (signed(creation.number.get()), signed(creation.epoch.get()));
        let now = self.clock.now().as_micros();
        self.database
            .writer
            .write("publish a creation", move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO queue_entries (number, epoch, payload, forced, added_at)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )
                    .bind(number)
                    .bind(epoch)
                    .bind(payload)
                    .bind(forced)
                    .bind(now)
                    .execute(connection)
                    .await
                    .map(drop)
                })
            })
            .await
    }

    async fn leave(&self, consumer: &Consumer) -> Result<(), PortError> {
        let holder = consumer.0.clone();
        self.database
            .writer
            .write("release what a consumer holds", move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE queue_entries SET holder = NULL WHERE holder = ?1")
                        .bind(holder)
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
            // Only a reader looks, so an idle queue does not disturb the writer.
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
                oldest: Some(
                    oldest.map_or(Duration::ZERO, |at| now.since(Timestamp::from_micros(at))),
                ),
            })
        };
        read.await
            .map_err(|error| port_error("measure the backlog", error))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.database.check().await
    }
}
