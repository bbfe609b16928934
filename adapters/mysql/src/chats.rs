//! Statements about chats.

use std::collections::BTreeMap;

use chat_core::{
    model::{
        ApplicationId, Chat, ChatKey, ChatTitle, Creation, Number, NumberRange, Order, Timestamp,
    },
    ports::{Deletion, Lookup, OutboxChange, Parent, Slice, Tokened},
};
use sqlx::{MySqlConnection, Row as _};

use crate::{
    outbox,
    parents::{HeldChat, Hold, application_state, chat_state, hold_application, hold_chat, parent},
    rows::{asked_ids, chat, chat_columns, json, token},
    writing::{self, note_deleted_parent},
};

/// Reads a chat's state and, where it lives, the chat.
pub(crate) async fn get(
    connection: &mut MySqlConnection,
    key: ChatKey,
) -> Result<Lookup<Chat>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        chat_state!(),
        ", ",
        chat_columns!(),
        " FROM applications AS a
          LEFT JOIN chats AS c ON c.application_id = a.id AND c.number = ?
         WHERE a.id = ?"
    ))
    .bind(key.chat.get())
    .bind(key.application.get())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(Lookup::Absent);
    };
    Ok(match parent(row.try_get(0)?) {
        Parent::Live => Lookup::Found(chat(&row, 1)?),
        Parent::Gone => Lookup::Gone,
        Parent::Absent => Lookup::Absent,
    })
}

/// One statement, and so one snapshot: the application's state, the range's rows, and the rows of the
/// numbers that are asked for.
macro_rules! slice {
    ($order:literal, $asked:expr) => {
        concat!(
            "SELECT 0, ",
            application_state!(),
            // A bare NULL would turn unsigned columns of the union into decimals.
            ", CAST(NULL AS UNSIGNED), CAST(NULL AS UNSIGNED), NULL, CAST(NULL AS UNSIGNED), NULL, NULL
               FROM applications AS a WHERE a.id = ?
             UNION ALL
             (SELECT 1, 1, ",
            chat_columns!(),
            " FROM chats AS c
               WHERE c.application_id = ? AND c.number BETWEEN ? AND ?
                 AND c.uid IS NOT NULL AND c.deleted_at IS NULL
               ORDER BY c.number ",
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
             SELECT STRAIGHT_JOIN 2, c.deleted_at IS NULL, ",
            chat_columns!(),
            " FROM ",
            asked_ids!(),
            " JOIN chats AS c FORCE INDEX (PRIMARY) ON c.application_id = ? AND c.number = asked.id
             WHERE c.uid IS NOT NULL"
        )
    };
}

pub(crate) async fn slice(
    connection: &mut MySqlConnection,
    application: ApplicationId,
    range: &NumberRange,
    limit: usize,
    also: &[Number],
) -> Result<Slice<Chat>, sqlx::Error> {
    let query = match (range.order(), also.is_empty()) {
        (Order::Ascending, true) => sqlx::query(slice!("ASC", "")),
        (Order::Descending, true) => sqlx::query(slice!("DESC", "")),
        (Order::Ascending, false) => sqlx::query(slice!("ASC", asked!())),
        (Order::Descending, false) => sqlx::query(slice!("DESC", asked!())),
    };
    let mut query = query
        .bind(application.get())
        .bind(application.get())
        .bind(range.first())
        .bind(range.last())
        .bind(limit as u64);
    if !also.is_empty() {
        query = query.bind(json(also)).bind(application.get());
    }
    let mut slice = Slice {
        parent: Parent::Absent,
        rows: Vec::new(),
        known: BTreeMap::new(),
    };
    for row in query.fetch_all(connection).await? {
        match row.try_get::<i64, _>(0)? {
            0 => slice.parent = parent(row.try_get(1)?),
            1 => slice.rows.push(chat(&row, 2)?),
            _ => {
                let item = chat(&row, 2)?;
                let is_live = row.try_get::<i64, _>(1)? != 0;
                slice
                    .known
                    .insert(item.key.chat.into(), is_live.then_some(item));
            }
        }
    }
    if slice.parent != Parent::Live {
        slice.rows.clear();
        slice.known.clear();
    }
    Ok(slice)
}

pub(crate) async fn list(
    connection: &mut MySqlConnection,
    after: Option<ChatKey>,
    limit: usize,
) -> Result<Vec<Tokened<Chat>>, sqlx::Error> {
    let [application, same_application, number] = after_binds(after);
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN a.token, ",
        chat_columns!(),
        " FROM chats AS c FORCE INDEX (PRIMARY)
          JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = c.application_id
         WHERE (c.application_id > ? OR (c.application_id = ? AND c.number > ?))
           AND c.uid IS NOT NULL AND c.deleted_at IS NULL AND a.deleted_at IS NULL
         ORDER BY c.application_id, c.number LIMIT ?"
    ))
    .bind(application)
    .bind(same_application)
    .bind(number)
    .bind(limit as u64)
    .fetch_all(connection)
    .await?;
    let listed = rows.iter().map(|row| {
        Ok(Tokened {
            token: token(row.try_get(0)?)?,
            item: chat(row, 1)?,
        })
    });
    listed.collect()
}

/// The parameters of a keyset condition, in the form for which servers use an index.
pub(crate) fn after_binds(after: Option<ChatKey>) -> [u64; 3] {
    after.map_or([0; 3], |after| {
        let application = after.application.get();
        [application, application, after.chat.get()]
    })
}

/// Locks a chat and its application, and tells whether the chat is live.
async fn hold(
    connection: &mut MySqlConnection,
    key: ChatKey,
    application: Hold,
) -> Result<Parent, sqlx::Error> {
    let application = hold_application(connection, key.application, application).await?;
    if application != Parent::Live {
        return Ok(application);
    }
    let chat = hold_chat(connection, key, Hold::Exclusive).await?;
    Ok(HeldChat::state(chat.as_ref()))
}

pub(crate) async fn update(
    connection: &mut MySqlConnection,
    key: ChatKey,
    title: Option<&ChatTitle>,
    at: Timestamp,
    pending: Option<&Creation>,
) -> Result<Lookup<Chat>, sqlx::Error> {
    // Counting a creation changes the application; a new title does not.
    let application = if pending.is_some() {
        Hold::Exclusive
    } else {
        Hold::Shared
    };
    match (hold(connection, key, application).await?, pending) {
        (Parent::Gone, _) => return Ok(Lookup::Gone),
        (Parent::Absent, None) => return Ok(Lookup::Absent),
        (Parent::Absent, Some(creation)) => writing::insert(connection, creation, 2, None).await?,
        (Parent::Live, _) => {}
    }
    sqlx::query(
        "UPDATE chats SET title = ?, updated_at = ? WHERE application_id = ? AND number = ?",
    )
    .bind(title.map(ChatTitle::as_str))
    .bind(at.as_micros())
    .bind(key.application.get())
    .bind(key.chat.get())
    .execute(&mut *connection)
    .await?;
    get(connection, key).await
}

pub(crate) async fn delete(
    connection: &mut MySqlConnection,
    key: ChatKey,
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
                "UPDATE applications SET chats_count = GREATEST(chats_count, 1) - 1 WHERE id = ?",
            )
            .bind(key.application.get())
            .execute(&mut *connection)
            .await?;
            sqlx::query("UPDATE chats SET deleted_at = ? WHERE application_id = ? AND number = ?")
                .bind(at.as_micros())
                .bind(key.application.get())
                .bind(key.chat.get())
                .execute(&mut *connection)
                .await?;
            note_deleted_parent(connection, key.application, key.chat.get()).await?;
        }
    }
    if is_noted {
        outbox::note(connection, &[OutboxChange::ChatDeleted(key)]).await?;
    }
    Ok(Deletion::Deleted)
}
