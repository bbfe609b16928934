//! Audits of counts.

use chat_core::{
    model::{ApplicationId, ChatKey},
    ports::{Audit, Parent},
};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::{
    chats::after_binds,
    parents::{HeldChat, Hold, hold_application, hold_chat},
    rows::{asked_chats, asked_ids, chat_key, chats_json, ids_json},
};

/// How many rows one comparison counts, one parent's aside: an audit must not take longer the larger
/// its chats are.
const MOST_COUNTED: u64 = 200_000;

/// What an application's counts should be, and whether they are, for an `a`.
macro_rules! sound_application {
    () => {
        "(SELECT count(*) FROM chats AS c
           WHERE c.application_id = a.id AND c.uid IS NOT NULL AND c.deleted_at IS NULL) AS live,
         (SELECT c.number FROM chats AS c WHERE c.application_id = a.id AND c.uid IS NOT NULL
           ORDER BY c.application_id DESC, c.number DESC LIMIT 1) AS last"
    };
}

/// What a chat's counts should be, for a `c`.
macro_rules! sound_chat {
    () => {
        "(SELECT count(*) FROM messages AS m
           WHERE m.application_id = c.application_id AND m.chat_number = c.number
             AND m.deleted_at IS NULL) AS live,
         (SELECT m.number FROM messages AS m
           WHERE m.application_id = c.application_id AND m.chat_number = c.number
           ORDER BY m.application_id DESC, m.chat_number DESC, m.number DESC LIMIT 1) AS last"
    };
}

/// A parent's counts: as its row has them at `at`, and after them as they should be.
struct Counts {
    has: (u64, u64),
    should: (u64, u64),
}

impl Counts {
    fn read(row: &MySqlRow, at: usize) -> Result<Self, sqlx::Error> {
        let live: i64 = row.try_get(at + 2)?;
        let last: Option<u64> = row.try_get(at + 3)?;
        Ok(Self {
            has: (row.try_get(at)?, row.try_get(at + 1)?),
            should: (live.unsigned_abs(), last.unwrap_or(0)),
        })
    }

    /// Numbers that were given stay given, whatever rows are left.
    fn are_sound(&self) -> bool {
        self.has.0 == self.should.0 && self.has.1 >= self.should.1
    }
}

/// Cuts a page of parents off where counting their rows would take too long.
fn cut<Key: Copy>(page: &[(Key, u64)], limit: usize) -> (Vec<Key>, Option<Key>) {
    let mut sum = 0_u64;
    let fitting = page.iter().take_while(|(_, rows)| {
        let fits = sum == 0 || sum.saturating_add(*rows) <= MOST_COUNTED;
        sum = sum.saturating_add((*rows).max(1));
        fits
    });
    let keys: Vec<Key> = fitting.map(|(key, _)| *key).collect();
    let is_end = page.len() < limit && keys.len() == page.len();
    let next = keys.last().copied().filter(|_| !is_end);
    (keys, next)
}

/// Compares some applications without a lock, and names those that differ.
pub(crate) async fn compare_applications(
    connection: &mut MySqlConnection,
    after: Option<ApplicationId>,
    limit: usize,
) -> Result<(Audit<ApplicationId>, Vec<ApplicationId>), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, last_number FROM applications FORCE INDEX (PRIMARY)
          WHERE id > ? AND deleted_at IS NULL ORDER BY id LIMIT ?",
    )
    .bind(after.map_or(0, ApplicationId::get))
    .bind(limit as u64)
    .fetch_all(&mut *connection)
    .await?;
    let page = rows
        .iter()
        .map(|row| Ok((ApplicationId::new(row.try_get(0)?), row.try_get(1)?)));
    let (ids, next) = cut(&page.collect::<Result<Vec<_>, sqlx::Error>>()?, limit);
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN a.id, a.chats_count, a.last_number, ",
        sound_application!(),
        " FROM ",
        asked_ids!(),
        " JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = asked.id"
    ))
    .bind(ids_json(&ids))
    .fetch_all(connection)
    .await?;
    let mut wrong = Vec::new();
    for row in &rows {
        if !Counts::read(row, 1)?.are_sound() {
            wrong.push(ApplicationId::new(row.try_get(0)?));
        }
    }
    let audit = Audit {
        next,
        checked: ids.len() as u64,
        repaired: Vec::new(),
    };
    Ok((audit, wrong))
}

/// Compares an application again while it is held, and sets right what differs.
pub(crate) async fn repair_application(
    connection: &mut MySqlConnection,
    id: ApplicationId,
) -> Result<bool, sqlx::Error> {
    if hold_application(connection, id, Hold::Exclusive).await? != Parent::Live {
        return Ok(false);
    }
    let row = sqlx::query(concat!(
        "SELECT a.chats_count, a.last_number, ",
        sound_application!(),
        " FROM applications AS a WHERE a.id = ?"
    ))
    .bind(id.get())
    .fetch_one(&mut *connection)
    .await?;
    let counts = Counts::read(&row, 0)?;
    if counts.are_sound() {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE applications SET chats_count = ?, last_number = GREATEST(last_number, ?)
          WHERE id = ?",
    )
    .bind(counts.should.0)
    .bind(counts.should.1)
    .bind(id.get())
    .execute(connection)
    .await?;
    Ok(true)
}

/// Compares some chats without a lock, and names those that differ.
pub(crate) async fn compare_chats(
    connection: &mut MySqlConnection,
    after: Option<ChatKey>,
    limit: usize,
) -> Result<(Audit<ChatKey>, Vec<ChatKey>), sqlx::Error> {
    let [application, same_application, number] = after_binds(after);
    let rows = sqlx::query(
        "SELECT STRAIGHT_JOIN c.application_id, c.number, c.last_number
           FROM chats AS c FORCE INDEX (PRIMARY)
           JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = c.application_id
          WHERE (c.application_id > ? OR (c.application_id = ? AND c.number > ?))
            AND c.deleted_at IS NULL AND a.deleted_at IS NULL
          ORDER BY c.application_id, c.number LIMIT ?",
    )
    .bind(application)
    .bind(same_application)
    .bind(number)
    .bind(limit as u64)
    .fetch_all(&mut *connection)
    .await?;
    let page = rows
        .iter()
        .map(|row| Ok((chat_key(row, 0)?, row.try_get(2)?)));
    let (keys, next) = cut(&page.collect::<Result<Vec<_>, sqlx::Error>>()?, limit);
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN c.application_id, c.number, c.messages_count, c.last_number, ",
        sound_chat!(),
        " FROM ",
        asked_chats!(),
        " JOIN chats AS c FORCE INDEX (PRIMARY)
            ON c.application_id = asked.application_id AND c.number = asked.number"
    ))
    .bind(chats_json(&keys))
    .fetch_all(connection)
    .await?;
    let mut wrong = Vec::new();
    for row in &rows {
        if !Counts::read(row, 2)?.are_sound() {
            wrong.push(chat_key(row, 0)?);
        }
    }
    let audit = Audit {
        next,
        checked: keys.len() as u64,
        repaired: Vec::new(),
    };
    Ok((audit, wrong))
}

/// Compares a chat again while it is held, and sets right what differs.
pub(crate) async fn repair_chat(
    connection: &mut MySqlConnection,
    key: ChatKey,
) -> Result<bool, sqlx::Error> {
    if hold_application(connection, key.application, Hold::Shared).await? != Parent::Live {
        return Ok(false);
    }
    let chat = hold_chat(connection, key, Hold::Exclusive).await?;
    if chat.is_none() || HeldChat::state(chat.as_ref()) == Parent::Gone {
        return Ok(false);
    }
    let row = sqlx::query(concat!(
        "SELECT c.messages_count, c.last_number, ",
        sound_chat!(),
        " FROM chats AS c WHERE c.application_id = ? AND c.number = ?"
    ))
    .bind(key.application.get())
    .bind(key.chat.get())
    .fetch_one(&mut *connection)
    .await?;
    let counts = Counts::read(&row, 0)?;
    if counts.are_sound() {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE chats SET messages_count = ?, last_number = GREATEST(last_number, ?)
          WHERE application_id = ? AND number = ?",
    )
    .bind(counts.should.0)
    .bind(counts.should.1)
    .bind(key.application.get())
    .bind(key.chat.get())
    .execute(connection)
    .await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_counting_it_would_take_too_long() {
        let page = [(1, 10), (2, MOST_COUNTED), (3, 10)];
        assert_eq!(cut(&page, 3), (vec![1], Some(1)));
        assert_eq!(cut(&page[1..], 3), (vec![2], Some(2)));
        assert_eq!(cut(&page[2..], 3), (vec![3], None));
        assert_eq!(cut(&page[2..], 1), (vec![3], Some(3)));
        let empty: [(i32, u64); 3] = [(1, 0), (2, 0), (3, 0)];
        assert_eq!(cut(&empty, 9), (vec![1, 2, 3], None));
        assert_eq!(cut::<i32>(&[], 9), (vec![], None));
    }
}
