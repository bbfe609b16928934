//! Whether the parents of a row are live: read by the statement that reads the row, or locked until the
//! end of the transaction that writes it.
//!
//! Locks are taken in one order everywhere, so that transactions wait for each other and seldom
//! deadlock:
//! the row of the generations, applications, chats, messages, shards, each in the order of keys.
//! A lock on an application, even a shared one, keeps the chats below it from being created and
//! deleted; an exclusive lock on a chat keeps its messages from being created and deleted.

use std::collections::BTreeMap;

use chat_core::{
    model::{ApplicationId, ChatKey, Uid},
    ports::Parent,
};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::rows::{asked_chats, asked_ids, chat_key, chats_json, ids_json, optional_uid};

/// Decodes a parent's state, as the macros below select it.
pub(crate) fn parent(state: i64) -> Parent {
    match state {
        1 => Parent::Live,
        2 => Parent::Gone,
        _ => Parent::Absent,
    }
}

/// Selects an application's state for [`parent`]: `a` is the application.
macro_rules! application_state {
    () => {
        "CASE WHEN a.deleted_at IS NOT NULL THEN 2 ELSE 1 END"
    };
}
pub(crate) use application_state;

/// Selects a chat's state for [`parent`]: `a` is its application, `c` itself, if it exists.
macro_rules! chat_state {
    () => {
        "CASE WHEN a.deleted_at IS NOT NULL OR c.deleted_at IS NOT NULL THEN 2
              WHEN c.uid IS NULL THEN 0
              ELSE 1 END"
    };
}
pub(crate) use chat_state;

/// How a row is locked until the end of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Others may share the lock; nobody changes the row.
    Shared,
    /// Nobody else has a lock on it.
    Exclusive,
}

/// Locks applications, and returns their states; those that do not exist are missing.
pub(crate) async fn hold_applications(
    connection: &mut MySqlConnection,
    ids: &[ApplicationId],
    hold: Hold,
) -> Result<BTreeMap<ApplicationId, Parent>, sqlx::Error> {
    macro_rules! held {
        ($mode:literal) => {
            concat!(
                "SELECT STRAIGHT_JOIN a.id, ",
                application_state!(),
                " FROM ",
                asked_ids!(),
                " JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = asked.id ",
                $mode
            )
        };
    }
    let query = match hold {
        Hold::Shared => sqlx::query(held!("LOCK IN SHARE MODE")),
        Hold::Exclusive => sqlx::query(held!("FOR UPDATE")),
    };
    let rows = query.bind(ids_json(ids)).fetch_all(connection).await?;
    let states = rows
        .iter()
        .map(|row| Ok((ApplicationId::new(row.try_get(0)?), parent(row.try_get(1)?))));
    states.collect()
}

/// Locks one application, and returns its state.
pub(crate) async fn hold_application(
    connection: &mut MySqlConnection,
    id: ApplicationId,
    hold: Hold,
) -> Result<Parent, sqlx::Error> {
    let states = hold_applications(connection, &[id], hold).await?;
    Ok(states.get(&id).copied().unwrap_or(Parent::Absent))
}

/// A chat's row that is locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldChat {
    /// Its creation, unless it is a place-holder.
    pub(crate) uid: Option<Uid>,
    /// Whether it is deleted.
    pub(crate) is_deleted: bool,
    /// The highest number that a message of it ever had, or may have had.
    pub(crate) last_number: u64,
    /// The epoch of its numbers.
    pub(crate) epoch: u64,
}

impl HeldChat {
    /// The state of a chat below a live application, if it has a row.
    pub(crate) fn state(chat: Option<&Self>) -> Parent {
        match chat {
            Some(chat) if chat.is_deleted => Parent::Gone,
            Some(chat) if chat.uid.is_some() => Parent::Live,
            Some(_) | None => Parent::Absent,
        }
    }

    fn read(row: &MySqlRow) -> Result<(ChatKey, Self), sqlx::Error> {
        let chat = Self {
            uid: optional_uid(row.try_get(2)?)?,
            is_deleted: row.try_get::<i64, _>(3)? != 0,
            last_number: row.try_get(4)?,
            epoch: row.try_get(5)?,
        };
        Ok((chat_key(row, 0)?, chat))
    }
}

/// Locks the chats that have rows.
pub(crate) async fn hold_chats(
    connection: &mut MySqlConnection,
    keys: &[ChatKey],
    hold: Hold,
) -> Result<BTreeMap<ChatKey, HeldChat>, sqlx::Error> {
    macro_rules! held {
        ($mode:literal) => {
            concat!(
                "SELECT STRAIGHT_JOIN c.application_id, c.number, c.uid, c.deleted_at IS NOT NULL,
                        c.last_number, c.epoch
                   FROM ",
                asked_chats!(),
                " JOIN chats AS c FORCE INDEX (PRIMARY)
                    ON c.application_id = asked.application_id AND c.number = asked.number ",
                $mode
            )
        };
    }
    let query = match hold {
        Hold::Shared => sqlx::query(held!("LOCK IN SHARE MODE")),
        Hold::Exclusive => sqlx::query(held!("FOR UPDATE")),
    };
    let rows = query.bind(chats_json(keys)).fetch_all(connection).await?;
    rows.iter().map(HeldChat::read).collect()
}

/// Locks one chat, if it has a row.
pub(crate) async fn hold_chat(
    connection: &mut MySqlConnection,
    key: ChatKey,
    hold: Hold,
) -> Result<Option<HeldChat>, sqlx::Error> {
    let chats = hold_chats(connection, &[key], hold).await?;
    Ok(chats.get(&key).copied())
}
