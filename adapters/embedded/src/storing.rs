//! Storing creations that come from a queue, one by one within the common transaction.
//!
//! The embedded counter stores at once by `creating`; this serves replayed dead letters, changes of
//! what is pending elsewhere, and whoever pairs this repository with a counter of another kind.

use chat_core::{
    model::{ChatKey, Content, Creation, Epoch, MessageKey, Sequence, Shard, Timestamp},
    ports::{OutboxChange, Parent, StoreBatch, StoreOutcome, StoreReport},
};
use sqlx::{Row as _, SqliteConnection};

use crate::{
    outbox,
    parents::{application_state, chat_owners, chat_state, parent},
    rows::{signed, uid, unsigned},
};

pub(crate) async fn store(
    connection: &mut SqliteConnection,
    batch: &StoreBatch,
) -> Result<StoreReport, sqlx::Error> {
    let mut outcomes = Vec::with_capacity(batch.creations.len());
    let mut changes = Vec::new();
    for (creation, forced) in &batch.creations {
        let outcome = store_one(connection, creation, *forced, batch.not_before).await?;
        if outcome == StoreOutcome::Stored
            && let Some(message) = creation.as_message()
        {
            changes.push(OutboxChange::Message(message.key));
        }
        outcomes.push(outcome);
    }
    outbox::note(connection, &changes).await?;
    for (shard, position) in &batch.positions {
        sqlx::query(
            "UPDATE shards SET position_major = ?2, position_minor = ?3
              WHERE shard = ?1 AND (position_major, position_minor) < (?2, ?3)",
        )
        .bind(i64::from(shard.get()))
        .bind(signed(position.major))
        .bind(signed(position.minor))
        .execute(&mut *connection)
        .await?;
    }
    let rows = sqlx::query("SELECT shard, epoch FROM shards")
        .fetch_all(connection)
        .await?;
    let epochs = rows.iter().map(|row| {
        let shard = u16::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u16::MAX);
        Ok((Shard::new(shard), Epoch::new(unsigned(row.try_get(1)?)?)))
    });
    Ok(StoreReport {
        outcomes,
        epochs: epochs.collect::<Result<_, sqlx::Error>>()?,
    })
}

async fn store_one(
    connection: &mut SqliteConnection,
    creation: &Creation,
    forced: bool,
    not_before: Timestamp,
) -> Result<StoreOutcome, sqlx::Error> {
    let application = creation.sequence().application();
    let number = creation.number.into();
    let (chat, message) = match &creation.draft.content {
        Content::Chat { .. } => (
            ChatKey {
                application,
                chat: number,
            },
            None,
        ),
        Content::Message { chat, .. } => {
            let message = creation.number.into();
            (
                *chat,
                Some(MessageKey {
                    application,
                    chat: chat.chat,
                    message,
                }),
            )
        }
    };
    let row = sqlx::query(concat!(
        "SELECT ",
        application_state!(),
        ", ",
        chat_state!(),
        ", c.uid, (SELECT m.uid FROM messages AS m WHERE m.application_id = ?1
                      AND m.chat_number = ?2 AND m.number = ?3) FROM ",
        chat_owners!()
    ))
    .bind(signed(application.get()))
    .bind(signed(chat.chat.get()))
    .bind(message.map(|key| signed(key.message.get())))
    .fetch_one(&mut *connection)
    .await?;
    match parent(row.try_get(0)?) {
        Parent::Live => {}
        Parent::Gone => return Ok(StoreOutcome::ParentDeleted(Sequence::Chats(application))),
        Parent::Absent => return Ok(StoreOutcome::ApplicationAbsent),
    }
    if message.is_some() && parent(row.try_get(1)?) == Parent::Gone {
        return Ok(StoreOutcome::ParentDeleted(Sequence::Messages(chat)));
    }
    let own: Option<Vec<u8>> = row.try_get(if message.is_some() { 3 } else { 2 })?;
    match own {
        Some(own) if uid(&own)? == creation.draft.uid => Ok(StoreOutcome::Present),
        Some(_) => Ok(StoreOutcome::NumberTaken),
        None if creation.draft.created_at < not_before && !forced => Ok(StoreOutcome::TooOld),
        None => {
            insert(connection, creation, 1, None).await?;
            Ok(StoreOutcome::Stored)
        }
    }
}

/// Inserts the row of a creation that has none, live or as a tombstone, and counts it.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    creation: &Creation,
    version: i64,
    deleted_at: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    let number = signed(creation.number.get());
    let uid = creation.draft.uid.to_bytes();
    let epoch = signed(creation.epoch.get());
    let created_at = creation.draft.created_at.as_micros();
    let deleted_at = deleted_at.map(Timestamp::as_micros);
    let live = i64::from(deleted_at.is_none());
    match &creation.draft.content {
        Content::Chat { application, title } => {
            sqlx::query(
                "INSERT INTO chats (application_id, number, uid, title, epoch, created_at,
                                    updated_at, deleted_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
                 ON CONFLICT (application_id, number) DO UPDATE
                    SET uid = excluded.uid, title = excluded.title,
                        epoch = max(epoch, excluded.epoch), created_at = excluded.created_at,
                        updated_at = excluded.updated_at, deleted_at = excluded.deleted_at",
            )
            .bind(signed(application.get()))
            .bind(number)
            .bind(&uid[..])
            .bind(title.as_ref().map(chat_core::model::ChatTitle::as_str))
            .bind(epoch)
            .bind(created_at)
            .bind(deleted_at)
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "UPDATE applications
                    SET chats_count = chats_count + ?2, last_number = max(last_number, ?3),
                        epoch = max(epoch, ?4)
                  WHERE id = ?1",
            )
            .bind(signed(application.get()))
            .bind(live)
            .bind(number)
            .bind(epoch)
            .execute(connection)
            .await?;
        }
        Content::Message { chat, sender, body } => {
            sqlx::query(
                "INSERT INTO messages (application_id, chat_number, number, uid, version, sender,
                                       body, created_at, updated_at, deleted_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
            )
            .bind(signed(chat.application.get()))
            .bind(signed(chat.chat.get()))
            .bind(number)
            .bind(&uid[..])
            .bind(version)
            .bind(sender.as_ref().map(chat_core::model::Sender::as_str))
            .bind(body.as_str())
            .bind(created_at)
            .bind(deleted_at)
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "INSERT INTO chats (application_id, number, messages_count, last_number, epoch)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (application_id, number) DO UPDATE
                    SET messages_count = messages_count + excluded.messages_count,
                        last_number = max(last_number, excluded.last_number),
                        epoch = max(epoch, excluded.epoch)",
            )
            .bind(signed(chat.application.get()))
            .bind(signed(chat.chat.get()))
            .bind(live)
            .bind(number)
            .bind(epoch)
            .execute(connection)
            .await?;
        }
    }
    Ok(())
}
