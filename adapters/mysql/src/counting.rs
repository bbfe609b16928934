//! What an audit compares: the counts that parents have, and the rows that there are.
//!
//! No statement goes through more than [`PIECE`] rows, however large a parent is and however far apart
//! its numbers are.

use chat_core::{
    model::{ApplicationId, ChatKey},
    ports::Parent,
};
use sqlx::{Executor as _, MySqlConnection, Row as _, mysql::MySqlRow};

use crate::{
    chats::after_binds,
    parents::{HeldChat, Hold, hold_application, hold_chat},
    rows::{asked_chats, asked_ids, chat_key, chats_json, ids_json},
};

/// How many rows one statement goes through.
pub(crate) const PIECE: u64 = 50_000;

/// Parents whose rows are compared together.
pub(crate) struct Page<Key> {
    /// The live ones.
    pub(crate) keys: Vec<Key>,
    /// Where the next page starts.
    pub(crate) next: Option<Key>,
    /// Whether it is one parent with more rows than one statement goes through.
    pub(crate) is_large: bool,
}

impl<Key: Copy + Ord> Page<Key> {
    /// Makes a page of the parents that were read, each with whether it is live.
    fn new(read: &[(Key, bool)], limit: usize) -> Self {
        let last = read.last().map(|(key, _)| *key);
        Self {
            keys: read
                .iter()
                .filter(|(_, is_live)| *is_live)
                .map(|(key, _)| *key)
                .collect(),
            next: last.filter(|_| read.len() == limit),
            is_large: false,
        }
    }

    /// Cuts the page off before `too_far`, the parent of the first row that is too many.
    fn cut(&mut self, too_far: Key) {
        let fitting = self.keys.iter().take_while(|key| **key < too_far).count();
        self.is_large = fitting == 0;
        if fitting.max(1) < self.keys.len() {
            self.keys.truncate(fitting.max(1));
            self.next = self.keys.last().copied();
        }
    }
}

/// A parent's counts: as its row has them, and as they should be.
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

    /// The last number may lie above all rows: numbers stay given when rows are purged.
    fn are_sound(&self) -> bool {
        self.has.0 == self.should.0 && self.has.1 >= self.should.1
    }
}

/// Reads a page of applications, with no more chats than one statement goes through.
pub(crate) async fn page_applications(
    connection: &mut MySqlConnection,
    after: Option<ApplicationId>,
    limit: usize,
) -> Result<Page<ApplicationId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, deleted_at IS NULL FROM applications FORCE INDEX (PRIMARY)
          WHERE id > ? ORDER BY id LIMIT ?",
    )
    .bind(after.map_or(0, ApplicationId::get))
    .bind(limit as u64)
    .fetch_all(&mut *connection)
    .await?;
    let read = rows.iter().map(|row| {
        let is_live = row.try_get::<i64, _>(1)? != 0;
        Ok((ApplicationId::new(row.try_get(0)?), is_live))
    });
    let mut page = Page::new(&read.collect::<Result<Vec<_>, sqlx::Error>>()?, limit);
    let (Some(first), Some(last)) = (page.keys.first(), page.keys.last()) else {
        return Ok(page);
    };
    let too_far: Option<u64> = sqlx::query_scalar(
        "SELECT application_id FROM chats FORCE INDEX (PRIMARY)
          WHERE application_id >= ? AND application_id <= ?
          ORDER BY application_id, number LIMIT 1 OFFSET ?",
    )
    .bind(first.get())
    .bind(last.get())
    .bind(PIECE)
    .fetch_optional(connection)
    .await?;
    if let Some(too_far) = too_far {
        page.cut(ApplicationId::new(too_far));
    }
    Ok(page)
}

/// Reads a page of chats, with no more messages than one statement goes through.
pub(crate) async fn page_chats(
    connection: &mut MySqlConnection,
    after: Option<ChatKey>,
    limit: usize,
) -> Result<Page<ChatKey>, sqlx::Error> {
    let [application, same_application, number] = after_binds(after);
    let rows = sqlx::query(
        "SELECT STRAIGHT_JOIN c.application_id, c.number,
                c.deleted_at IS NULL AND a.deleted_at IS NULL
           FROM chats AS c FORCE INDEX (PRIMARY)
           JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = c.application_id
          WHERE (c.application_id > ? OR (c.application_id = ? AND c.number > ?))
          ORDER BY c.application_id, c.number LIMIT ?",
    )
    .bind(application)
    .bind(same_application)
    .bind(number)
    .bind(limit as u64)
    .fetch_all(&mut *connection)
    .await?;
    let read = rows
        .iter()
        .map(|row| Ok((chat_key(row, 0)?, row.try_get::<i64, _>(2)? != 0)));
    let mut page = Page::new(&read.collect::<Result<Vec<_>, sqlx::Error>>()?, limit);
    let (Some(first), Some(last)) = (page.keys.first(), page.keys.last()) else {
        return Ok(page);
    };
    let too_far = sqlx::query(
        "SELECT application_id, chat_number FROM messages FORCE INDEX (PRIMARY)
          WHERE (application_id > ? OR (application_id = ? AND chat_number >= ?))
            AND (application_id < ? OR (application_id = ? AND chat_number <= ?))
          ORDER BY application_id, chat_number, number LIMIT 1 OFFSET ?",
    )
    .bind(first.application.get())
    .bind(first.application.get())
    .bind(first.chat.get())
    .bind(last.application.get())
    .bind(last.application.get())
    .bind(last.chat.get())
    .bind(PIECE)
    .fetch_optional(connection)
    .await?;
    if let Some(too_far) = too_far {
        page.cut(chat_key(&too_far, 0)?);
    }
    Ok(page)
}

/// Compares applications in one statement, without a lock, and names those that differ.
pub(crate) async fn compare_applications(
    connection: &mut MySqlConnection,
    ids: &[ApplicationId],
) -> Result<Vec<ApplicationId>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN a.id, a.chats_count, a.last_number,
                (SELECT count(*) FROM chats AS c
                  WHERE c.application_id = a.id AND c.uid IS NOT NULL AND c.deleted_at IS NULL),
                (SELECT c.number FROM chats AS c WHERE c.application_id = a.id AND c.uid IS NOT NULL
                  ORDER BY c.application_id DESC, c.number DESC LIMIT 1)
           FROM ",
        asked_ids!(),
        " JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = asked.id"
    ))
    .bind(ids_json(ids))
    .fetch_all(connection)
    .await?;
    let mut wrong = Vec::new();
    for row in &rows {
        if !Counts::read(row, 1)?.are_sound() {
            wrong.push(ApplicationId::new(row.try_get(0)?));
        }
    }
    Ok(wrong)
}

/// Compares chats in one statement, without a lock, and names those that differ.
pub(crate) async fn compare_chats(
    connection: &mut MySqlConnection,
    keys: &[ChatKey],
) -> Result<Vec<ChatKey>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT STRAIGHT_JOIN c.application_id, c.number, c.messages_count, c.last_number,
                (SELECT count(*) FROM messages AS m
                  WHERE m.application_id = c.application_id AND m.chat_number = c.number
                    AND m.deleted_at IS NULL),
                (SELECT m.number FROM messages AS m
                  WHERE m.application_id = c.application_id AND m.chat_number = c.number
                  ORDER BY m.application_id DESC, m.chat_number DESC, m.number DESC LIMIT 1)
           FROM ",
        asked_chats!(),
        " JOIN chats AS c FORCE INDEX (PRIMARY)
            ON c.application_id = asked.application_id AND c.number = asked.number"
    ))
    .bind(chats_json(keys))
    .fetch_all(connection)
    .await?;
    let mut wrong = Vec::new();
    for row in &rows {
        if !Counts::read(row, 2)?.are_sound() {
            wrong.push(chat_key(row, 0)?);
        }
    }
    Ok(wrong)
}

/// Compares an application piece by piece, in one snapshot, and says whether its counts are right.
pub(crate) async fn is_application_sound(
    connection: &mut MySqlConnection,
    id: ApplicationId,
) -> Result<bool, sqlx::Error> {
    look_at_one_moment(connection).await?;
    Ok(application_counts(connection, id).await?.are_sound())
}

/// Compares a chat piece by piece, in one snapshot, and says whether its counts are right.
pub(crate) async fn is_chat_sound(
    connection: &mut MySqlConnection,
    key: ChatKey,
) -> Result<bool, sqlx::Error> {
    look_at_one_moment(connection).await?;
    Ok(chat_counts(connection, key).await?.are_sound())
}

/// Gives all statements up to the end of the transaction one snapshot, without locking anything.
async fn look_at_one_moment(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    // The isolation level cannot change within a transaction, so the one that has begun is ended.
    for statement in [
        "COMMIT",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ] {
        connection.execute(statement).await?;
    }
    Ok(())
}

async fn application_counts(
    connection: &mut MySqlConnection,
    id: ApplicationId,
) -> Result<Counts, sqlx::Error> {
    let row = sqlx::query("SELECT chats_count, last_number FROM applications WHERE id = ?")
        .bind(id.get())
        .fetch_one(&mut *connection)
        .await?;
    let (mut live, mut last, mut after) = (0, 0, 0);
    loop {
        let piece = sqlx::query(
            "SELECT COUNT(*), COUNT(piece.live), MAX(piece.created), MAX(piece.number)
               FROM (SELECT c.number, IF(c.uid IS NULL, NULL, c.number) AS created,
                            IF(c.uid IS NULL OR c.deleted_at IS NOT NULL, NULL, 1) AS live
                       FROM chats AS c FORCE INDEX (PRIMARY)
                      WHERE c.application_id = ? AND c.number > ? ORDER BY c.number LIMIT ?) AS piece",
        )
        .bind(id.get())
        .bind(after)
        .bind(PIECE)
        .fetch_one(&mut *connection)
        .await?;
        let piece = Piece::read(&piece)?;
        live += piece.live;
        last = last.max(piece.last);
        after = piece.end;
        if piece.rows < PIECE {
            break;
        }
    }
    Ok(Counts {
        has: (row.try_get(0)?, row.try_get(1)?),
        should: (live, last),
    })
}

async fn chat_counts(
    connection: &mut MySqlConnection,
    key: ChatKey,
) -> Result<Counts, sqlx::Error> {
    let (application, chat) = (key.application.get(), key.chat.get());
    let row = sqlx::query(
        "SELECT messages_count, last_number FROM chats WHERE application_id = ? AND number = ?",
    )
    .bind(application)
    .bind(chat)
    .fetch_one(&mut *connection)
    .await?;
    let (mut live, mut last, mut after) = (0, 0, 0);
    loop {
        let piece = sqlx::query(
            "SELECT COUNT(*), COUNT(piece.live), MAX(piece.number), MAX(piece.number)
               FROM (SELECT m.number, IF(m.deleted_at IS NULL, 1, NULL) AS live
                       FROM messages AS m FORCE INDEX (PRIMARY)
                      WHERE m.application_id = ? AND m.chat_number = ? AND m.number > ?
                      ORDER BY m.number LIMIT ?) AS piece",
        )
        .bind(application)
        .bind(chat)
        .bind(after)
        .bind(PIECE)
        .fetch_one(&mut *connection)
        .await?;
        let piece = Piece::read(&piece)?;
        live += piece.live;
        last = last.max(piece.last);
        after = piece.end;
        if piece.rows < PIECE {
            break;
        }
    }
    Ok(Counts {
        has: (row.try_get(0)?, row.try_get(1)?),
        should: (live, last),
    })
}

/// The counts of a piece of a parent's rows.
struct Piece {
    rows: u64,
    live: u64,
    /// The highest number that was given, 0 for none.
    last: u64,
    /// The number of its last row, 0 for none.
    end: u64,
}

impl Piece {
    fn read(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            rows: row.try_get::<i64, _>(0)?.unsigned_abs(),
            live: row.try_get::<i64, _>(1)?.unsigned_abs(),
            last: row.try_get::<Option<u64>, _>(2)?.unwrap_or(0),
            end: row.try_get::<Option<u64>, _>(3)?.unwrap_or(0),
        })
    }
}

/// Compares an application again while it is locked, and repairs what differs.
pub(crate) async fn repair_application(
    connection: &mut MySqlConnection,
    id: ApplicationId,
) -> Result<bool, sqlx::Error> {
    if hold_application(connection, id, Hold::Exclusive).await? != Parent::Live {
        return Ok(false);
    }
    let counts = application_counts(connection, id).await?;
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

/// Compares a chat again while it is locked, and repairs what differs.
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
    let counts = chat_counts(connection, key).await?;
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

    fn cut(too_far: i32) -> (Vec<i32>, Option<i32>, bool) {
        let mut page = Page::new(&[(1, true), (2, false), (4, true), (5, true)], 4);
        page.cut(too_far);
        (page.keys, page.next, page.is_large)
    }

    #[test]
    fn a_page_ends_before_the_row_that_is_too_many() {
        let page = Page::new(&[(1, true), (2, true), (3, false)], 3);
        assert_eq!((page.keys, page.next), (vec![1, 2], Some(3)));
        let page = Page::new(&[(1, true), (2, true), (3, false)], 4);
        assert_eq!((page.keys, page.next), (vec![1, 2], None));
        assert_eq!(cut(5), (vec![1, 4], Some(4), false));
        assert_eq!(cut(3), (vec![1], Some(1), false));
        assert_eq!(cut(1), (vec![1], Some(1), true));
        let mut alone = Page::new(&[(1, true), (2, false)], 9);
        alone.cut(1);
        assert_eq!(
            (alone.keys, alone.next, alone.is_large),
            (vec![1], None, true)
        );
    }
}
