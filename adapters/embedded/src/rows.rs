//! Conversions between SQLite's rows and the core's values.

use chat_core::{
    model::{
        Application, ApplicationId, ApplicationName, ApplicationToken, Chat, ChatKey, ChatNumber,
        ChatTitle, Message, MessageBody, MessageKey, MessageNumber, Number, Sender, Timestamp, Uid,
    },
    ports::OutboxChange,
};
use sqlx::{Row as _, sqlite::SqliteRow};

/// The error of a row that no version of this program writes.
pub(crate) fn bad_row(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} in the database is not valid").into())
}

pub(crate) fn unsigned(value: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(value).map_err(|_| bad_row("a number below 0"))
}

/// Converts a number for a column; all of the core's numbers fit.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn number(value: i64) -> Result<Number, sqlx::Error> {
    Number::try_new(unsigned(value)?).map_err(|_| bad_row("a number"))
}

pub(crate) fn uid(bytes: &[u8]) -> Result<Uid, sqlx::Error> {
    Uid::from_bytes(bytes).ok_or_else(|| bad_row("a uid"))
}

pub(crate) fn token(text: &str) -> Result<ApplicationToken, sqlx::Error> {
    ApplicationToken::parse(text).ok_or_else(|| bad_row("a token"))
}

/// The columns of [`application`], in its order.
macro_rules! application_columns {
    () => {
        "a.id, a.token, a.name, a.chats_count, a.created_at, a.updated_at"
    };
}
pub(crate) use application_columns;

pub(crate) fn application(row: &SqliteRow) -> Result<Application, sqlx::Error> {
    Ok(Application {
        id: ApplicationId::new(unsigned(row.try_get(0)?)?),
        token: token(row.try_get(1)?)?,
        name: ApplicationName::parse(row.try_get::<String, _>(2)?)
            .map_err(|_| bad_row("an application's name"))?,
        chats_count: unsigned(row.try_get(3)?)?,
        created_at: Timestamp::from_micros(row.try_get(4)?),
        updated_at: Timestamp::from_micros(row.try_get(5)?),
    })
}

/// The columns of [`chat`], in its order.
macro_rules! chat_columns {
    () => {
        "c.application_id, c.number, c.title, c.messages_count, c.created_at, c.updated_at"
    };
}
pub(crate) use chat_columns;

/// Reads a chat whose columns start at `at`.
pub(crate) fn chat(row: &SqliteRow, at: usize) -> Result<Chat, sqlx::Error> {
    let title: Option<String> = row.try_get(at + 2)?;
    Ok(Chat {
        key: chat_key(row, at)?,
        title: title
            .map(ChatTitle::parse)
            .transpose()
            .map_err(|_| bad_row("a title"))?,
        messages_count: unsigned(row.try_get(at + 3)?)?,
        created_at: Timestamp::from_micros(row.try_get(at + 4)?),
        updated_at: Timestamp::from_micros(row.try_get(at + 5)?),
    })
}

/// Reads a chat's key whose columns start at `at`.
pub(crate) fn chat_key(row: &SqliteRow, at: usize) -> Result<ChatKey, sqlx::Error> {
    Ok(ChatKey {
        application: ApplicationId::new(unsigned(row.try_get(at)?)?),
        chat: ChatNumber::from(number(row.try_get(at + 1)?)?),
    })
}

/// The columns of [`message`], in its order.
macro_rules! message_columns {
    () => {
        "m.application_id, m.chat_number, m.number, m.sender, m.body, m.created_at, m.updated_at"
    };
}
pub(crate) use message_columns;

/// Reads a message whose columns start at `at`.
pub(crate) fn message(row: &SqliteRow, at: usize) -> Result<Message, sqlx::Error> {
    let sender: Option<String> = row.try_get(at + 3)?;
    Ok(Message {
        key: message_key(row, at)?,
        sender: sender
            .map(Sender::parse)
            .transpose()
            .map_err(|_| bad_row("a sender"))?,
        body: MessageBody::parse(row.try_get::<String, _>(at + 4)?)
            .map_err(|_| bad_row("a body"))?,
        created_at: Timestamp::from_micros(row.try_get(at + 5)?),
        updated_at: Timestamp::from_micros(row.try_get(at + 6)?),
    })
}

/// Reads a message's key whose columns start at `at`.
pub(crate) fn message_key(row: &SqliteRow, at: usize) -> Result<MessageKey, sqlx::Error> {
    let ChatKey { application, chat } = chat_key(row, at)?;
    let message = MessageNumber::from(number(row.try_get(at + 2)?)?);
    Ok(MessageKey {
        application,
        chat,
        message,
    })
}

/// Outbox changes as the column keeps them: `[application]`, `[application, chat]` or
/// `[application, chat, message]`, by what changed.
pub(crate) fn changes_json(changes: &[OutboxChange]) -> String {
    let keys: Vec<Vec<u64>> = changes
        .iter()
        .map(|change| match change {
            OutboxChange::ApplicationDeleted(id) => vec![id.get()],
            OutboxChange::ChatDeleted(key) => vec![key.application.get(), key.chat.get()],
            OutboxChange::Message(key) => {
                vec![key.application.get(), key.chat.get(), key.message.get()]
            }
        })
        .collect();
    serde_json::to_string(&keys).expect("numbers can always be written as JSON")
}

/// Reads what [`changes_json`] wrote.
pub(crate) fn changes(json: &str) -> Result<Vec<OutboxChange>, sqlx::Error> {
    let keys: Vec<Vec<u64>> = serde_json::from_str(json).map_err(|_| bad_row("an outbox row"))?;
    keys.iter()
        .map(|key| change(key).ok_or_else(|| bad_row("an outbox row")))
        .collect()
}

fn change(key: &[u64]) -> Option<OutboxChange> {
    let application = ApplicationId::new(*key.first()?);
    let chat = |number| {
        Some(ChatKey {
            application,
            chat: ChatNumber::try_new(number).ok()?,
        })
    };
    Some(match key {
        [_] => OutboxChange::ApplicationDeleted(application),
        [_, number] => OutboxChange::ChatDeleted(chat(*number)?),
        [_, number, message] => OutboxChange::Message(MessageKey {
            application,
            chat: chat(*number)?.chat,
            message: MessageNumber::try_new(*message).ok()?,
        }),
        _ => return None,
    })
}

/// Numbers as a JSON array, for `json_each`.
pub(crate) fn numbers_json(numbers: &[Number]) -> String {
    serde_json::to_string(numbers).expect("numbers can always be written as JSON")
}

/// Keys as a JSON array of arrays, for `json_each`.
pub(crate) fn keys_json(keys: &[MessageKey]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| (key.application, key.chat, key.message))
        .collect();
    serde_json::to_string(&keys).expect("numbers can always be written as JSON")
}
