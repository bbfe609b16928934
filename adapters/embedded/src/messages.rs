//! Statements about messages.

use std::collections::BTreeMap;

use chat_core::{
    model::{
        ChatKey, Creation, Message, MessageBody, MessageKey, Number, NumberRange, Order, Timestamp,
    },
    ports::{Deletion, Indexable, Lookup, OutboxChange, Parent, Slice, Tokened},
};
use sqlx::{Row as _, SqliteConnection, SqliteExecutor, SqlitePool};

use crate::{
    outbox,
    parents::{chat_owners, chat_state, parent},
    rows::{
        keys_json, message, message_columns, message_key, numbers_json, signed, token, unsigned,
    },
    storing,
};

/// Reads a message's state, its chat's, and, where it lives, the message.
pub(crate) async fn get(
    executor: impl SqliteExecutor<'_>,
    key: MessageKey,
) -> Result<Lookup<Message>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        chat_state!(),
        ", CASE WHEN m.number IS NULL THEN 0 WHEN m.deleted_at IS NULL THEN 1 ELSE 2 END, ",
        message_columns!(),
        " FROM ",
        chat_owners!(),
        " LEFT JOIN messages AS m
            ON m.application_id = ?1 AND m.chat_number = ?2 AND m.number = ?3"
    ))
    .bind(signed(key.application.get()))
    .bind(signed(key.chat.get()))
    .bind(signed(key.message.get()))
    .fetch_one(executor)
    .await?;
    if parent(row.try_get(0)?) == Parent::Gone {
        return Ok(Lookup::Gone);
    }
    Ok(match parent(row.try_get(1)?) {
        Parent::Live => Lookup::Found(message(&row, 2)?),
        Parent::Gone => Lookup::Gone,
        Parent::Absent => Lookup::Absent,
    })
}

/// One statement for both orders, which answers the chat's state, the range's rows, and the rows of
/// the numbers asked for.
macro_rules! slice {
    ($order:literal) => {
        concat!(
            "WITH owner AS (SELECT ",
            chat_state!(),
            " AS state FROM ",
            chat_owners!(),
            ")
             SELECT owner.state, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM owner
             UNION ALL
             SELECT 1, 0, 1, m.* FROM (SELECT ",
            message_columns!(),
            " FROM messages AS m
               WHERE m.application_id = ?1 AND m.chat_number = ?2
                 AND m.number BETWEEN ?3 AND ?4 AND m.deleted_at IS NULL
               ORDER BY m.number ",
            $order,
            " LIMIT ?5) AS m, owner WHERE owner.state <> 2
             UNION ALL
             SELECT 1, 1, m.deleted_at IS NULL, ",
            message_columns!(),
            " FROM owner, json_each(?6) AS asked
               JOIN messages AS m ON m.application_id = ?1 AND m.chat_number = ?2
                AND m.number = asked.value
              WHERE owner.state <> 2"
        )
    };
}

pub(crate) async fn slice(
    readers: &SqlitePool,
    chat: ChatKey,
    range: &NumberRange,
    limit: usize,
    also: &[Number],
) -> Result<Slice<Message>, sqlx::Error> {
    let query = match range.order() {
        Order::Ascending => sqlx::query(slice!("ASC")),
        Order::Descending => sqlx::query(slice!("DESC")),
    };
    let rows = query
        .bind(signed(chat.application.get()))
        .bind(signed(chat.chat.get()))
        .bind(signed(range.first()))
        .bind(signed(range.last()))
        .bind(signed(limit as u64))
        .bind(numbers_json(also))
        .fetch_all(readers)
        .await?;
    let mut slice = Slice {
        parent: Parent::Absent,
        rows: Vec::new(),
        known: BTreeMap::new(),
    };
    for row in rows {
        match row.try_get::<Option<bool>, _>(1)? {
            None => slice.parent = parent(row.try_get(0)?),
            Some(false) => slice.rows.push(message(&row, 3)?),
            Some(true) => {
                let item = message(&row, 3)?;
                let live: bool = row.try_get(2)?;
                slice
                    .known
                    .insert(item.key.message.into(), live.then_some(item));
            }
        }
    }
    Ok(slice)
}

/// Reads live messages of the whole system, in the order of their keys, after one.
pub(crate) async fn list(
    readers: &SqlitePool,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Vec<Tokened<Message>>, sqlx::Error> {
    let [application, chat, number] = after_binds(after);
    let rows = sqlx::query(concat!(
        "SELECT a.token, ",
        message_columns!(),
        " FROM messages AS m
          JOIN chats AS c ON c.application_id = m.application_id AND c.number = m.chat_number
          JOIN applications AS a ON a.id = m.application_id
         WHERE (m.application_id, m.chat_number, m.number) > (?1, ?2, ?3)
           AND m.deleted_at IS NULL AND c.deleted_at IS NULL AND c.uid IS NOT NULL
           AND a.deleted_at IS NULL
         ORDER BY m.application_id, m.chat_number, m.number LIMIT ?4"
    ))
    .bind(application)
    .bind(chat)
    .bind(number)
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    let listed = rows.iter().map(|row| {
        Ok(Tokened {
            token: token(row.try_get(0)?)?,
            item: message(row, 1)?,
        })
    });
    listed.collect()
}

/// Reads messages of the whole system after a key, the live ones with their versions.
pub(crate) async fn scan(
    readers: &SqlitePool,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Vec<Indexable>, sqlx::Error> {
    let [application, chat, number] = after_binds(after);
    let rows = sqlx::query(concat!(
        "SELECT m.deleted_at IS NULL AND c.deleted_at IS NULL
                AND a.id IS NOT NULL AND a.deleted_at IS NULL, m.version, ",
        message_columns!(),
        " FROM messages AS m
          LEFT JOIN chats AS c ON c.application_id = m.application_id AND c.number = m.chat_number
          LEFT JOIN applications AS a ON a.id = m.application_id
         WHERE (m.application_id, m.chat_number, m.number) > (?1, ?2, ?3)
         ORDER BY m.application_id, m.chat_number, m.number LIMIT ?4"
    ))
    .bind(application)
    .bind(chat)
    .bind(number)
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    let scanned = rows.iter().map(|row| {
        let (is_live, item): (bool, _) = (row.try_get(0)?, message(row, 2)?);
        let version = unsigned(row.try_get(1)?)?;
        Ok(Indexable {
            key: item.key,
            current: is_live.then_some((item, version)),
        })
    });
    scanned.collect()
}

/// The values to bind for a comparison with `after`.
fn after_binds(after: Option<MessageKey>) -> [i64; 3] {
    let key = after.map(|after| {
        [
            after.application.get(),
            after.chat.get(),
            after.message.get(),
        ]
    });
    key.unwrap_or_default().map(signed)
}

/// Reads live messages with their versions, in the order asked for.
pub(crate) async fn by_key(
    readers: &SqlitePool,
    keys: &[MessageKey],
) -> Result<Vec<Indexable>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT m.version, ",
        message_columns!(),
        " FROM json_each(?1) AS asked
          JOIN messages AS m ON m.application_id = asked.value ->> 0
           AND m.chat_number = asked.value ->> 1 AND m.number = asked.value ->> 2
          LEFT JOIN chats AS c ON c.application_id = m.application_id AND c.number = m.chat_number
          JOIN applications AS a ON a.id = m.application_id
         WHERE m.deleted_at IS NULL AND c.deleted_at IS NULL AND a.deleted_at IS NULL"
    ))
    .bind(keys_json(keys))
    .fetch_all(readers)
    .await?;
    let mut found = BTreeMap::new();
    for row in &rows {
        found.insert(
            message_key(row, 1)?,
            (message(row, 1)?, unsigned(row.try_get(0)?)?),
        );
    }
    let read = keys.iter().map(|key| Indexable {
        key: *key,
        current: found.get(key).cloned(),
    });
    Ok(read.collect())
}

/// Adds up the counts of all live chats.
pub(crate) async fn count(readers: &SqlitePool) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(c.messages_count), 0) FROM chats AS c
           JOIN applications AS a ON a.id = c.application_id AND a.deleted_at IS NULL
          WHERE c.uid IS NOT NULL AND c.deleted_at IS NULL",
    )
    .fetch_one(readers)
    .await?;
    unsigned(count)
}

pub(crate) async fn update(
    connection: &mut SqliteConnection,
    key: MessageKey,
    body: &MessageBody,
    at: Timestamp,
    pending: Option<Creation>,
) -> Result<Lookup<Message>, sqlx::Error> {
    let found = get(&mut *connection, key).await?;
    // A row that is inserted here gets version 2 at once, with its new body.
    let rise = match (&found, pending) {
        (Lookup::Gone, _) | (Lookup::Absent, None) => return Ok(found),
        (Lookup::Absent, Some(creation)) => {
            storing::insert(connection, &creation, 2, None).await?;
            0
        }
        (Lookup::Found(_), _) => 1,
    };
    sqlx::query(
        "UPDATE messages SET body = ?4, updated_at = ?5, version = version + ?6
          WHERE application_id = ?1 AND chat_number = ?2 AND number = ?3",
    )
    .bind(signed(key.application.get()))
    .bind(signed(key.chat.get()))
    .bind(signed(key.message.get()))
    .bind(body.as_str())
    .bind(at.as_micros())
    .bind(rise)
    .execute(&mut *connection)
    .await?;
    outbox::note(connection, &[OutboxChange::Message(key)]).await?;
    get(connection, key).await
}

pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    key: MessageKey,
    at: Timestamp,
    pending: Option<Creation>,
) -> Result<Deletion, sqlx::Error> {
    match (get(&mut *connection, key).await?, pending) {
        (Lookup::Gone, _) => return Ok(Deletion::Gone),
        (Lookup::Absent, None) => return Ok(Deletion::Absent),
        (Lookup::Absent, Some(creation)) => {
            storing::insert(connection, &creation, 2, Some(at)).await?;
        }
        (Lookup::Found(_), _) => {
            sqlx::query(
                "UPDATE messages SET deleted_at = ?4, version = version + 1
                  WHERE application_id = ?1 AND chat_number = ?2 AND number = ?3",
            )
            .bind(signed(key.application.get()))
            .bind(signed(key.chat.get()))
            .bind(signed(key.message.get()))
            .bind(at.as_micros())
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "UPDATE chats SET messages_count = max(messages_count, 1) - 1
                  WHERE application_id = ?1 AND number = ?2",
            )
            .bind(signed(key.application.get()))
            .bind(signed(key.chat.get()))
            .execute(&mut *connection)
            .await?;
        }
    }
    outbox::note(connection, &[OutboxChange::Message(key)]).await?;
    Ok(Deletion::Deleted)
}
