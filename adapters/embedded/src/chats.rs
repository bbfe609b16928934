//! Statements about chats.

use std::collections::BTreeMap;

use chat_core::{
    model::{
        ApplicationId, Chat, ChatKey, ChatTitle, Creation, Number, NumberRange, Order, Timestamp,
    },
    ports::{Deletion, Lookup, OutboxChange, Parent, Slice, Tokened},
};
use sqlx::{Row as _, SqliteConnection, SqliteExecutor, SqlitePool};

use crate::{
    outbox,
    parents::{application_state, chat_owners, chat_state, parent},
    rows::{chat, chat_columns, numbers_json, signed, token},
    storing,
};

/// Reads a chat's state and, where it lives, the chat.
pub(crate) async fn get(
    executor: impl SqliteExecutor<'_>,
    key: ChatKey,
) -> Result<Lookup<Chat>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        chat_state!(),
        ", ",
        chat_columns!(),
        " FROM ",
        chat_owners!()
    ))
    .bind(signed(key.application.get()))
    .bind(signed(key.chat.get()))
    .fetch_one(executor)
    .await?;
    Ok(match parent(row.try_get(0)?) {
        Parent::Live => Lookup::Found(chat(&row, 1)?),
        Parent::Gone => Lookup::Gone,
        Parent::Absent => Lookup::Absent,
    })
}

/// One statement for both orders, which answers the parent's state, the range's rows, and the rows
/// of the numbers asked for.
macro_rules! slice {
    ($order:literal) => {
        concat!(
            "WITH owner AS (SELECT ",
            application_state!(),
            " AS state FROM (SELECT 1) LEFT JOIN applications AS a ON a.id = ?1)
             SELECT owner.state, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM owner
             UNION ALL
             SELECT 1, 0, 1, c.* FROM (SELECT ",
            chat_columns!(),
            " FROM chats AS c
               WHERE c.application_id = ?1 AND c.number BETWEEN ?2 AND ?3
                 AND c.uid IS NOT NULL AND c.deleted_at IS NULL
               ORDER BY c.number ",
            $order,
            " LIMIT ?4) AS c, owner WHERE owner.state = 1
             UNION ALL
             SELECT 1, 1, c.deleted_at IS NULL, ",
            chat_columns!(),
            " FROM owner, json_each(?5) AS asked
               JOIN chats AS c ON c.application_id = ?1 AND c.number = asked.value
              WHERE owner.state = 1 AND c.uid IS NOT NULL"
        )
    };
}

pub(crate) async fn slice(
    readers: &SqlitePool,
    application: ApplicationId,
    range: &NumberRange,
    limit: usize,
    also: &[Number],
) -> Result<Slice<Chat>, sqlx::Error> {
    let query = match range.order() {
        Order::Ascending => sqlx::query(slice!("ASC")),
        Order::Descending => sqlx::query(slice!("DESC")),
    };
    let rows = query
        .bind(signed(application.get()))
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
            Some(false) => slice.rows.push(chat(&row, 3)?),
            Some(true) => {
                let item = chat(&row, 3)?;
                let live: bool = row.try_get(2)?;
                slice
                    .known
                    .insert(item.key.chat.into(), live.then_some(item));
            }
        }
    }
    Ok(slice)
}

pub(crate) async fn list(
    readers: &SqlitePool,
    after: Option<ChatKey>,
    limit: usize,
) -> Result<Vec<Tokened<Chat>>, sqlx::Error> {
    let (application, number) =
        after.map_or((0, 0), |after| (after.application.get(), after.chat.get()));
    let rows = sqlx::query(concat!(
        "SELECT a.token, ",
        chat_columns!(),
        " FROM chats AS c JOIN applications AS a ON a.id = c.application_id
          WHERE (c.application_id, c.number) > (?1, ?2)
            AND c.uid IS NOT NULL AND c.deleted_at IS NULL AND a.deleted_at IS NULL
          ORDER BY c.application_id, c.number LIMIT ?3"
    ))
    .bind(signed(application))
    .bind(signed(number))
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    let listed = rows.iter().map(|row| {
        Ok(Tokened {
            token: token(row.try_get(0)?)?,
            item: chat(row, 1)?,
        })
    });
    listed.collect()
}

pub(crate) async fn update(
    connection: &mut SqliteConnection,
    key: ChatKey,
    title: Option<ChatTitle>,
    at: Timestamp,
    pending: Option<Creation>,
) -> Result<Lookup<Chat>, sqlx::Error> {
    let found = get(&mut *connection, key).await?;
    match (&found, pending) {
        (Lookup::Gone, _) | (Lookup::Absent, None) => return Ok(found),
        (Lookup::Absent, Some(creation)) => {
            storing::insert(connection, &creation, 2, None).await?;
        }
        (Lookup::Found(_), _) => {}
    }
    sqlx::query(
        "UPDATE chats SET title = ?3, updated_at = ?4 WHERE application_id = ?1 AND number = ?2",
    )
    .bind(signed(key.application.get()))
    .bind(signed(key.chat.get()))
    .bind(title.map(String::from))
    .bind(at.as_micros())
    .execute(&mut *connection)
    .await?;
    get(connection, key).await
}

pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    key: ChatKey,
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
                "UPDATE chats SET deleted_at = ?3 WHERE application_id = ?1 AND number = ?2",
            )
            .bind(signed(key.application.get()))
            .bind(signed(key.chat.get()))
            .bind(at.as_micros())
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "UPDATE applications SET chats_count = max(chats_count, 1) - 1 WHERE id = ?1",
            )
            .bind(signed(key.application.get()))
            .execute(&mut *connection)
            .await?;
        }
    }
    outbox::note(connection, &[OutboxChange::ChatDeleted(key)]).await?;
    Ok(Deletion::Deleted)
}
