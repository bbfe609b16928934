//! What creations add to the tables, gathered first and then written in few statements of many rows.

use std::collections::BTreeMap;

use chat_core::model::{
    ApplicationId, ChatKey, ChatTitle, Content, Creation, Epoch, MessageBody, MessageKey, Sender,
    Timestamp,
};
use sqlx::{MySql, MySqlConnection, QueryBuilder};

use crate::rows::json;

/// The most rows of one statement; a power of two.
const MOST_ROWS: usize = 512;

/// Rows to insert and to count; the caller has the locks that [`parents`](crate::parents) asks for.
#[derive(Default)]
pub(crate) struct Writing<'a> {
    messages: BTreeMap<MessageKey, NewMessage<'a>>,
    chats: BTreeMap<ChatKey, ChatChange<'a>>,
    applications: BTreeMap<ApplicationId, Counted>,
}

/// What a create, update or deletion makes of a message that has no row.
struct NewMessage<'a> {
    creation: &'a Creation,
    sender: Option<&'a Sender>,
    body: &'a MessageBody,
    version: u64,
    deleted_at: Option<Timestamp>,
}

/// What changes in a chat's row, which is inserted where it is missing.
#[derive(Default)]
struct ChatChange<'a> {
    created: Option<NewChat<'a>>,
    counted: Counted,
}

/// The contents of a chat's row.
struct NewChat<'a> {
    creation: &'a Creation,
    title: Option<&'a ChatTitle>,
    deleted_at: Option<Timestamp>,
}

/// What is added to a parent's count, and the least that its last number and epoch become.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    live: u64,
    last_number: u64,
    epoch: Epoch,
}

impl Counted {
    fn add(&mut self, creation: &Creation, is_live: bool) {
        self.live += u64::from(is_live);
        self.last_number = self.last_number.max(creation.number.get());
        self.epoch = self.epoch.max(creation.epoch);
    }
}

impl<'a> Writing<'a> {
    /// Adds the row of a creation that has none: live, or as a tombstone.
    pub(crate) fn add(
        &mut self,
        creation: &'a Creation,
        version: u64,
        deleted_at: Option<Timestamp>,
    ) {
        let is_live = deleted_at.is_none();
        match &creation.draft.content {
            Content::Chat { application, title } => {
                let key = ChatKey {
                    application: *application,
                    chat: creation.number.into(),
                };
                let chat = self.chats.entry(key).or_default();
                chat.created = Some(NewChat {
                    creation,
                    title: title.as_ref(),
                    deleted_at,
                });
                chat.counted.epoch = chat.counted.epoch.max(creation.epoch);
                let parent = self.applications.entry(*application).or_default();
                parent.add(creation, is_live);
            }
            Content::Message { chat, sender, body } => {
                let key = MessageKey {
                    application: chat.application,
                    chat: chat.chat,
                    message: creation.number.into(),
                };
                let message = NewMessage {
                    creation,
                    sender: sender.as_ref(),
                    body,
                    version,
                    deleted_at,
                };
                self.messages.insert(key, message);
                let parent = self.chats.entry(*chat).or_default();
                parent.counted.add(creation, is_live);
            }
        }
    }

    /// The messages that are added, in the order of keys.
    pub(crate) fn message_keys(&self) -> impl Iterator<Item = MessageKey> {
        self.messages.keys().copied()
    }

    /// Writes it all, in the order of locks; no statement has more than `most_bytes` of texts.
    pub(crate) async fn write(
        &self,
        connection: &mut MySqlConnection,
        most_bytes: usize,
    ) -> Result<(), sqlx::Error> {
        self.count_chats(connection).await?;
        self.write_chats(connection).await?;
        self.write_messages(connection, most_bytes).await?;
        self.write_tombstones(connection).await
    }

    /// Counts chats into their applications, which are locked exclusively.
    async fn count_chats(&self, connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        if self.applications.is_empty() {
            return Ok(());
        }
        let counts: Vec<_> = self
            .applications
            .iter()
            .map(|(id, it)| (id, it.live, it.last_number, it.epoch))
            .collect();
        sqlx::query(
            "UPDATE (SELECT j.id, j.live, j.last_number, j.epoch
                       FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$[0]',
                                                          live BIGINT UNSIGNED PATH '$[1]',
                                                          last_number BIGINT UNSIGNED PATH '$[2]',
                                                          epoch BIGINT UNSIGNED PATH '$[3]')) AS j)
                    AS counted
             STRAIGHT_JOIN applications AS a FORCE INDEX (PRIMARY) ON a.id = counted.id
                SET a.chats_count = a.chats_count + counted.live,
                    a.last_number = GREATEST(a.last_number, counted.last_number),
                    a.epoch = GREATEST(a.epoch, counted.epoch)",
        )
        .bind(json(&counts))
        .execute(connection)
        .await
        .map(drop)
    }

    /// Counts messages into their chats, fills in chats that were created, and makes missing rows.
    ///
    /// While its application is locked, a chat's row that was missing can only have become a
    /// place-holder; then the counts add up.
    async fn write_chats(&self, connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = self.chats.iter().collect();
        for rows in rows.chunks(MOST_ROWS) {
            let mut insert = QueryBuilder::<MySql>::new(
                "INSERT INTO chats (application_id, number, uid, title, messages_count, last_number, \
                                    epoch, created_at, updated_at, deleted_at) ",
            );
            // Pad to a power of two by repeating the last key without any change, so that few different
            // statements are prepared.
            let last = rows.last().map(|(key, _)| (*key, &NOTHING));
            let padding = rows.len().next_power_of_two() - rows.len();
            let padded = rows
                .iter()
                .copied()
                .chain(last.into_iter().cycle().take(padding));
            insert.push_values(padded, |mut row, (key, change)| {
                let new = change.created.as_ref();
                let created_at = new.map_or(0, |new| new.creation.draft.created_at.as_micros());
                row.push_bind(key.application.get())
                    .push_bind(key.chat.get())
                    .push_bind(new.map(|new| new.creation.draft.uid.to_bytes().to_vec()))
                    .push_bind(new.and_then(|new| new.title).map(ChatTitle::as_str))
                    .push_bind(change.counted.live)
                    .push_bind(change.counted.last_number)
                    .push_bind(change.counted.epoch.get())
                    .push_bind(created_at)
                    .push_bind(created_at)
                    .push_bind(new.and_then(|new| new.deleted_at).map(Timestamp::as_micros));
            });
            insert.push(
                " ON DUPLICATE KEY UPDATE \
                 title = IF(VALUES(uid) IS NULL, title, VALUES(title)), \
                 created_at = IF(VALUES(uid) IS NULL, created_at, VALUES(created_at)), \
                 updated_at = IF(VALUES(uid) IS NULL, updated_at, VALUES(updated_at)), \
                 deleted_at = IF(VALUES(uid) IS NULL, deleted_at, VALUES(deleted_at)), \
                 uid = COALESCE(VALUES(uid), uid), \
                 messages_count = messages_count + VALUES(messages_count), \
                 last_number = GREATEST(last_number, VALUES(last_number)), \
                 epoch = GREATEST(epoch, VALUES(epoch))",
            );
            insert.build().execute(&mut *connection).await?;
        }
        Ok(())
    }

    async fn write_messages(
        &self,
        connection: &mut MySqlConnection,
        most_bytes: usize,
    ) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = self.messages.iter().collect();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let sizes = rest.iter().map(|(_, message)| message.bytes());
            let (rows, later) = rest.split_at(run(sizes, most_bytes));
            rest = later;
            let mut insert = QueryBuilder::<MySql>::new(
                "INSERT INTO messages (application_id, chat_number, number, uid, version, sender, body, \
                                       created_at, updated_at, deleted_at) ",
            );
            insert.push_values(rows, |mut row, (key, message)| {
                let draft = &message.creation.draft;
                row.push_bind(key.application.get())
                    .push_bind(key.chat.get())
                    .push_bind(key.message.get())
                    .push_bind(draft.uid.to_bytes().to_vec())
                    .push_bind(message.version)
                    .push_bind(message.sender.map(Sender::as_str))
                    .push_bind(message.body.as_str())
                    .push_bind(draft.created_at.as_micros())
                    .push_bind(draft.created_at.as_micros())
                    .push_bind(message.deleted_at.map(Timestamp::as_micros));
            });
            insert.build().execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Notes tombstones and deleted chats for the purge.
    async fn write_tombstones(&self, connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        for (key, message) in &self.messages {
            if let Some(deleted_at) = message.deleted_at {
                note_deleted_message(connection, *key, deleted_at).await?;
            }
        }
        for (key, chat) in &self.chats {
            if chat
                .created
                .as_ref()
                .is_some_and(|new| new.deleted_at.is_some())
            {
                note_deleted_parent(connection, key.application, key.chat.get()).await?;
            }
        }
        Ok(())
    }
}

/// A change that changes nothing.
const NOTHING: ChatChange<'static> = ChatChange {
    created: None,
    counted: Counted {
        live: 0,
        last_number: 0,
        epoch: Epoch::NONE,
    },
};

impl NewMessage<'_> {
    fn bytes(&self) -> usize {
        // The rest of a row is numbers.
        self.body.as_str().len() + self.sender.map_or(0, |sender| sender.as_str().len()) + 128
    }
}

/// How many of the next rows go into one statement: a power of two, so that few different statements
/// are prepared, and no more than fit.
fn run(sizes: impl Iterator<Item = usize>, most_bytes: usize) -> usize {
    let mut sum = 0;
    let fitting = sizes
        .take(MOST_ROWS)
        .take_while(|size| {
            sum += size;
            sum <= most_bytes
        })
        .count()
        .max(1);
    1 << fitting.ilog2()
}

/// Notes a tombstone for the purge.
pub(crate) async fn note_deleted_message(
    connection: &mut MySqlConnection,
    key: MessageKey,
    deleted_at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO deleted_messages (application_id, chat_number, number, deleted_at)
         VALUES (?, ?, ?, ?)",
    )
    .bind(key.application.get())
    .bind(key.chat.get())
    .bind(key.message.get())
    .bind(deleted_at.as_micros())
    .execute(connection)
    .await
    .map(drop)
}

/// Notes a deleted chat for the purge, or, with 0 for its number, a deleted application.
pub(crate) async fn note_deleted_parent(
    connection: &mut MySqlConnection,
    application: ApplicationId,
    chat: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO deleted_parents (application_id, chat_number) VALUES (?, ?)")
        .bind(application.get())
        .bind(chat)
        .execute(connection)
        .await
        .map(drop)
}

/// Inserts the row of one creation that has none, live or as a tombstone, and counts it.
pub(crate) async fn insert(
    connection: &mut MySqlConnection,
    creation: &Creation,
    version: u64,
    deleted_at: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    let mut writing = Writing::default();
    writing.add(creation, version, deleted_at);
    writing.write(connection, usize::MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_powers_of_two_that_fit() {
        let of = |rows: usize, size: usize| run(std::iter::repeat_n(size, rows), 1_000);
        assert_eq!(of(1, 10), 1);
        assert_eq!(of(7, 10), 4);
        assert_eq!(of(100, 10), 64);
        assert_eq!(of(100_000, 0), MOST_ROWS);
        assert_eq!(of(100, 400), 2);
        // A row that is too large by itself is left to the server to refuse.
        assert_eq!(of(3, 5_000), 1);
    }
}
