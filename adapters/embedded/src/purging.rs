//! The removal of what lies below deleted chats and applications; the marked rows themselves stay.
//!
//! A purge goes once through everything that is deleted, oldest deletion first, some at a time: a
//! reader looks for what is left below, and the writer removes it.

use chat_core::model::ChatKey;
use sqlx::{Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::rows::{chat_key, signed};

/// How many deleted things are looked at in one step.
const STEP: i64 = 500;

/// A keyset position: everything up to this time of deletion and this key has been purged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Whether all chats are done, so that only applications are left.
    are_applications: bool,
    deleted_at: i64,
    application: i64,
    /// 0 among applications.
    chat: i64,
}

/// What one step found.
pub(crate) struct Found {
    /// Chats to empty, and whether their own rows go, too, as below a deleted application.
    pub(crate) chats: Vec<(ChatKey, bool)>,
    /// Where the next step begins; `None` at the end.
    pub(crate) next: Option<Place>,
}

impl Place {
    const FIRST: Self = Self {
        are_applications: false,
        deleted_at: i64::MIN,
        application: 0,
        chat: 0,
    };

    const FIRST_APPLICATION: Self = Self {
        are_applications: true,
        ..Self::FIRST
    };
}

/// Looks for deleted things with something below them, from a place on; `None` is the beginning.
pub(crate) async fn look(readers: &SqlitePool, place: Option<Place>) -> Result<Found, sqlx::Error> {
    let place = place.unwrap_or(Place::FIRST);
    if place.are_applications {
        look_below_applications(readers, place).await
    } else {
        look_below_chats(readers, place).await
    }
}

async fn look_below_chats(readers: &SqlitePool, place: Place) -> Result<Found, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.application_id, c.number, c.deleted_at,
                EXISTS (SELECT 1 FROM messages AS m
                         WHERE m.application_id = c.application_id AND m.chat_number = c.number)
           FROM chats AS c INDEXED BY chats_deleted
          WHERE c.deleted_at IS NOT NULL
            AND (c.deleted_at, c.application_id, c.number) > (?1, ?2, ?3)
          ORDER BY c.deleted_at, c.application_id, c.number LIMIT ?4",
    )
    .bind(place.deleted_at)
    .bind(place.application)
    .bind(place.chat)
    .bind(STEP)
    .fetch_all(readers)
    .await?;
    let mut chats = Vec::new();
    for row in &rows {
        if row.try_get(3)? {
            chats.push((chat_key(row, 0)?, false));
        }
    }
    let next = match rows.last().filter(|_| is_full(&rows)) {
        Some(last) => Place {
            are_applications: false,
            deleted_at: last.try_get(2)?,
            application: last.try_get(0)?,
            chat: last.try_get(1)?,
        },
        None => Place::FIRST_APPLICATION,
    };
    let next = Some(next);
    Ok(Found { chats, next })
}

async fn look_below_applications(readers: &SqlitePool, place: Place) -> Result<Found, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT a.id, a.deleted_at, EXISTS (SELECT 1 FROM chats AS c WHERE c.application_id = a.id)
           FROM applications AS a INDEXED BY applications_deleted
          WHERE a.deleted_at IS NOT NULL AND (a.deleted_at, a.id) > (?1, ?2)
          ORDER BY a.deleted_at, a.id LIMIT ?3",
    )
    .bind(place.deleted_at)
    .bind(place.application)
    .bind(STEP)
    .fetch_all(readers)
    .await?;
    let mut place = place;
    for row in &rows {
        if row.try_get(2)? {
            return first_chats(readers, row.try_get(0)?, place).await;
        }
        place = Place {
            deleted_at: row.try_get(1)?,
            application: row.try_get(0)?,
            ..place
        };
    }
    let next = Some(place).filter(|_| is_full(&rows));
    Ok(Found {
        chats: Vec::new(),
        next,
    })
}

/// Returns the first chats of a deleted application; the next step finds the rest at the same place.
async fn first_chats(
    readers: &SqlitePool,
    application: i64,
    place: Place,
) -> Result<Found, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT application_id, number FROM chats WHERE application_id = ?1
          ORDER BY number LIMIT ?2",
    )
    .bind(application)
    .bind(STEP)
    .fetch_all(readers)
    .await?;
    let chats = rows.iter().map(|row| Ok((chat_key(row, 0)?, true)));
    Ok(Found {
        chats: chats.collect::<Result<_, sqlx::Error>>()?,
        next: Some(place),
    })
}

fn is_full(rows: &[SqliteRow]) -> bool {
    rows.len() as u64 == STEP.unsigned_abs()
}

/// Empties chats, up to `limit` rows; returns how many were removed, and whether that was all.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    chats: &[(ChatKey, bool)],
    limit: u64,
) -> Result<(u64, bool), sqlx::Error> {
    let mut removed = 0;
    for (key, goes_itself) in chats {
        let (application, chat) = (signed(key.application.get()), signed(key.chat.get()));
        removed += sqlx::query(
            "DELETE FROM messages WHERE (application_id, chat_number, number) IN (
                 SELECT application_id, chat_number, number FROM messages
                  WHERE application_id = ?1 AND chat_number = ?2 ORDER BY number LIMIT ?3)",
        )
        .bind(application)
        .bind(chat)
        .bind(signed(limit - removed))
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if removed == limit {
            return Ok((removed, false));
        }
        if *goes_itself {
            removed += sqlx::query("DELETE FROM chats WHERE application_id = ?1 AND number = ?2")
                .bind(application)
                .bind(chat)
                .execute(&mut *connection)
                .await?
                .rows_affected();
        }
        if removed == limit {
            return Ok((removed, false));
        }
    }
    Ok((removed, true))
}
