//! Statements about messages.

use std::collections::BTreeMap;

use chat_core::{
    model::{
        ChatKey, Creation, Message, MessageBody, MessageKey, Number, NumberRange, Order, Timestamp,
        Uid,
    },
    ports::{Deletion, Indexable, Lookup, OutboxChange, Parent, Slice, Tokened},
};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::{
    outbox,
    parents::{HeldChat, Hold, chat_state, hold_application, hold_chat, parent},
    rows::{
        asked_ids, asked_messages, json, keys_json, message, message_columns, message_key, token,
        uid,
    },
    writing::{self, note_deleted_message},
};

/// The messages of a JSON array of keys, as `m`.
macro_rules! of_asked {
    () => {
        concat!(
            asked_messages!(),
            " STRAIGHT_JOIN messages AS m FORCE INDEX (PRIMARY)
                 ON m.application_id = asked.application_id AND m.chat_number = asked.chat_number
                AND m.number = asked.number"
        )
    };
}
pub(crate) use of_asked;

/// A keyset condition: all keys after one, in the form for which servers use an index.
macro_rules! after_key {
    ($table:literal) => {
        concat!(
            "(",
            $table,
            ".application_id > ? OR (",
            $table,
            ".application_id = ? AND (",
            $table,
            ".chat_number > ? OR (",
            $table,
            ".chat_number = ? AND ",
            $table,
            ".number > ?))))"
        )
    };
}
pub(crate) use after_key;

/// The parameters of [`after_key`].
pub(crate) fn after_binds(after: Option<MessageKey>) -> [u64; 5] {
    let Some(after) = after else {
        return [0; 5];
    };
    let (application, chat) = (after.application.get(), after.chat.get());
    [application, application, chat, chat, after.message.get()]
}

/// Reads a message's state, its chat's, and, where it lives, the message.
pub(crate) async fn get(
    connection: &mut MySqlConnection,
    key: MessageKey,
) -> Result<Lookup<Message>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        chat_state!(),
        ", CASE WHEN m.number IS NULL THEN 0 WHEN m.deleted_at IS NULL THEN 1 ELSE 2 END, ",
        message_columns!(),
        " FROM applications AS a
          LEFT JOIN chats AS c ON c.application_id = a.id AND c.number = ?
          LEFT JOIN messages AS m
            ON m.application_id = a.id AND m.chat_number = ? AND m.number = ?
         WHERE a.id = ?"
    ))
    .bind(key.chat.get())
    .bind(key.chat.get())
    .bind(key.message.get())
    .bind(key.application.get())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(Lookup::Absent);
    };
    if parent(row.try_get(0)?) == Parent::Gone {
        return Ok(Lookup::Gone);
    }
    Ok(match parent(row.try_get(1)?) {
        Parent::Live => Lookup::Found(message(&row, 2)?),
        Parent::Gone => Lookup::Gone,
        Parent::Absent => Lookup::Absent,
    })
}

/// One statement, and so one snapshot: the chat's state, the range's rows, and the rows of the numbers
/// that are asked for.
macro_rules! slice {
    ($order:literal, $asked:expr) => {
        concat!(
            "SELECT 0, ",
            chat_state!(),
            // A bare NULL would turn unsigned columns of the union into decimals.
            ", CAST(NULL AS UNSIGNED), CAST(NULL AS UNSIGNED), CAST(NULL AS UNSIGNED), NULL, NULL,
                  NULL, NULL
               FROM applications AS a
               LEFT JOIN chats AS c ON c.application_id = a.id AND c.number = ?
              WHERE a.id = ?
             UNION ALL
             (SELECT 1, 1, ",
            message_columns!(),
            " FROM messages AS m
               WHERE m.application_id = ? AND m.chat_number = ? AND m.number BETWEEN ? AND ?
                 AND m.deleted_at IS NULL
               ORDER BY m.number ",
            $order,
            " LIMIT ?)",
            $asked
        )
    };
}

macro_rules! asked {
    () => {
        concat!(
            " UNION ALL
             SELECT STRAIGHT_JOIN 2, m.deleted_at IS NULL, ",
            message_columns!(),
            " FROM ",
            asked_ids!(),
            " JOIN messages AS m FORCE INDEX (PRIMARY)
                ON m.application_id = ? AND m.chat_number = ? AND m.number = asked.id"
        )
    };
}

pub(crate) async fn slice(
    connection: &mut MySqlConnection,
    chat: ChatKey,
    range: &NumberRange,
    limit: usize,
    also: &[Number],
) -> Result<Slice<Message>, sqlx::Error> {
    let query = match (range.order(), also.is_empty()) {
        (Order::Ascending, true) => sqlx::query(slice!("ASC", "")),
        (Order::Descending, true) => sqlx::query(slice!("DESC", "")),
        (Order::Ascending, false) => sqlx::query(slice!("ASC", asked!())),
        (Order::Descending, false) => sqlx::query(slice!("DESC", asked!())),
    };
    let mut query = query
        .bind(chat.chat.get())
        .bind(chat.application.get())
        .bind(chat.application.get())
        .bind(chat.chat.get())
        .bind(range.first())
        .bind(range.last())
        .bind(limit as u64);
    if !also.is_empty() {
        query = query
            .bind(json(also))
            .bind(chat.application.get())
            .bind(chat.chat.get());
    }
    let mut slice = Slice {
        parent: Parent::Absent,
        rows: Vec::new(),
        known: BTreeMap::new(),
    };
    for row in query.fetch_all(connection).await? {
        match row.try_get::<i64, _>(0)? {
            0 => slice.parent = parent(row.try_get(1)?),
            1 => slice.rows.push(message(&row, 2)?),
            _ => {
                let item = message(&row, 2)?;
                let is_live = row.try_get::<i64, _>(1)? != 0;
                slice
                    .known
                    .insert(item.key.message.into(), is_live.then_some(item));
            }
        }
    }
    if slice.parent == Parent::Gone {
        slice.rows.clear();
        slice.known.clear();
    }
    Ok(slice)
}

/// Reads live messages of the whole system after a key, in live chats that are stored.
pub(crate) async fn list(
    connection: &mut MySqlConnection,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Vec<Tokened<Message>>, sqlx::Error> {
    let [application, same_application, chat, same_chat, number] = after_binds(after);
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN a.token, ",
        message_columns!(),
        " FROM messages AS m FORCE INDEX (PRIMARY)
          JOIN chats AS c FORCE INDEX (PRIMARY)
            ON c.application_id = m.application_id AND c.number = m.chat_number
          JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = m.application_id
         WHERE ",
        after_key!("m"),
        " AND m.deleted_at IS NULL AND c.uid IS NOT NULL AND c.deleted_at IS NULL
          AND a.deleted_at IS NULL
          ORDER BY m.application_id, m.chat_number, m.number LIMIT ?"
    ))
    .bind(application)
    .bind(same_application)
    .bind(chat)
    .bind(same_chat)
    .bind(number)
    .bind(limit as u64)
    .fetch_all(connection)
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
///
/// A message whose chat is not stored yet counts as live, or the rebuild would miss it.
pub(crate) async fn scan(
    connection: &mut MySqlConnection,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Vec<Indexable>, sqlx::Error> {
    let [application, same_application, chat, same_chat, number] = after_binds(after);
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN m.version, ",
        message_columns!(),
        ", m.deleted_at IS NULL AND c.deleted_at IS NULL
           AND a.id IS NOT NULL AND a.deleted_at IS NULL AS is_live
          FROM messages AS m FORCE INDEX (PRIMARY)
          LEFT JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = m.application_id
          LEFT JOIN chats AS c FORCE INDEX (PRIMARY)
            ON c.application_id = m.application_id AND c.number = m.chat_number
         WHERE ",
        after_key!("m"),
        " ORDER BY m.application_id, m.chat_number, m.number LIMIT ?"
    ))
    .bind(application)
    .bind(same_application)
    .bind(chat)
    .bind(same_chat)
    .bind(number)
    .bind(limit as u64)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let (key, current) = versioned(row)?;
            let is_live = row.try_get::<i64, _>("is_live")? != 0;
            Ok(Indexable {
                key,
                current: is_live.then_some(current),
            })
        })
        .collect()
}

/// Reads live messages with their versions, in the order asked for.
pub(crate) async fn by_key(
    connection: &mut MySqlConnection,
    keys: &[MessageKey],
) -> Result<Vec<Indexable>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN m.version, ",
        message_columns!(),
        " FROM ",
        of_asked!(),
        " JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = m.application_id
          LEFT JOIN chats AS c FORCE INDEX (PRIMARY)
            ON c.application_id = m.application_id AND c.number = m.chat_number
         WHERE m.deleted_at IS NULL AND c.deleted_at IS NULL AND a.deleted_at IS NULL"
    ))
    .bind(keys_json(keys))
    .fetch_all(connection)
    .await?;
    let found = rows.iter().map(versioned);
    let mut found = found.collect::<Result<BTreeMap<_, _>, sqlx::Error>>()?;
    let read = keys.iter().map(|key| Indexable {
        key: *key,
        current: found.remove(key),
    });
    Ok(read.collect())
}

/// Reads a version, and the message whose columns follow it.
fn versioned(row: &MySqlRow) -> Result<(MessageKey, (Message, u64)), sqlx::Error> {
    let item = message(row, 1)?;
    Ok((item.key, (item, row.try_get(0)?)))
}

/// Counts the messages of live chats by the chats' counts.
pub(crate) async fn count(connection: &mut MySqlConnection) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(c.messages_count), 0) AS UNSIGNED) FROM chats AS c
           JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = c.application_id
          WHERE c.uid IS NOT NULL AND c.deleted_at IS NULL AND a.deleted_at IS NULL",
    )
    .fetch_one(connection)
    .await
}

/// Locks the messages that have rows, and returns the uids of their creations.
pub(crate) async fn hold_uids(
    connection: &mut MySqlConnection,
    keys: &[MessageKey],
) -> Result<BTreeMap<MessageKey, Uid>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN m.application_id, m.chat_number, m.number, m.uid FROM ",
        of_asked!(),
        " FOR UPDATE"
    ))
    .bind(keys_json(keys))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((message_key(row, 0)?, uid(row.try_get(3)?)?)))
        .collect()
}

/// Locks a message and its parents, and tells whether the message is live.
async fn hold(
    connection: &mut MySqlConnection,
    key: MessageKey,
    hold: Hold,
) -> Result<Parent, sqlx::Error> {
    let application = hold_application(connection, key.application, Hold::Shared).await?;
    if application != Parent::Live {
        return Ok(application);
    }
    let chat = hold_chat(connection, key.chat_key(), hold).await?;
    if HeldChat::state(chat.as_ref()) == Parent::Gone {
        return Ok(Parent::Gone);
    }
    let deleted: Option<i64> = sqlx::query_scalar(
        "SELECT m.deleted_at IS NOT NULL FROM messages AS m
          WHERE m.application_id = ? AND m.chat_number = ? AND m.number = ? FOR UPDATE",
    )
    .bind(key.application.get())
    .bind(key.chat.get())
    .bind(key.message.get())
    .fetch_optional(connection)
    .await?;
    Ok(match deleted {
        None => Parent::Absent,
        Some(0) => Parent::Live,
        Some(_) => Parent::Gone,
    })
}

pub(crate) async fn update(
    connection: &mut MySqlConnection,
    key: MessageKey,
    body: &MessageBody,
    at: Timestamp,
    pending: Option<&Creation>,
) -> Result<Lookup<Message>, sqlx::Error> {
    let is_noted = outbox::hold_generations(connection).await?;
    // Counting an insertion changes the chat; a new body does not.
    let chat = if pending.is_some() {
        Hold::Exclusive
    } else {
        Hold::Shared
    };
    // A row that is inserted here gets version 2 at once, with its new body.
    let rise: u64 = match (hold(connection, key, chat).await?, pending) {
        (Parent::Gone, _) => return Ok(Lookup::Gone),
        (Parent::Absent, None) => return Ok(Lookup::Absent),
        (Parent::Absent, Some(creation)) => {
            writing::insert(connection, creation, 2, None).await?;
            0
        }
        (Parent::Live, _) => 1,
    };
    sqlx::query(
        "UPDATE messages SET body = ?, updated_at = ?, version = version + ?
          WHERE application_id = ? AND chat_number = ? AND number = ?",
    )
    .bind(body.as_str())
    .bind(at.as_micros())
    .bind(rise)
    .bind(key.application.get())
    .bind(key.chat.get())
    .bind(key.message.get())
    .execute(&mut *connection)
    .await?;
    if is_noted {
        outbox::note(connection, &[OutboxChange::Message(key)]).await?;
    }
    get(connection, key).await
}

pub(crate) async fn delete(
    connection: &mut MySqlConnection,
    key: MessageKey,
    at: Timestamp,
    pending: Option<&Creation>,
) -> Result<Deletion, sqlx::Error> {
    let is_noted = outbox::hold_generations(connection).await?;
    match (hold(connection, key, Hold::Exclusive).await?, pending) {
        (Parent::Gone, _) => return Ok(Deletion::Gone),
        (Parent::Absent, None) => return Ok(Deletion::Absent),
        (Parent::Absent, Some(creation)) => {
            writing::insert(connection, creation, 2, Some(at)).await?;
        }
        (Parent::Live, _) => {
            // A wrong count is left to the audit, but must not go below 0.
            sqlx::query(
                "UPDATE chats SET messages_count = GREATEST(messages_count, 1) - 1
                  WHERE application_id = ? AND number = ?",
            )
            .bind(key.application.get())
            .bind(key.chat.get())
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "UPDATE messages SET deleted_at = ?, version = version + 1
                  WHERE application_id = ? AND chat_number = ? AND number = ?",
            )
            .bind(at.as_micros())
            .bind(key.application.get())
            .bind(key.chat.get())
            .bind(key.message.get())
            .execute(&mut *connection)
            .await?;
            note_deleted_message(connection, key, at).await?;
        }
    }
    if is_noted {
        outbox::note(connection, &[OutboxChange::Message(key)]).await?;
    }
    Ok(Deletion::Deleted)
}
