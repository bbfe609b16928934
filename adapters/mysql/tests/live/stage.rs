//! Helpers of these tests, beside the scene of the laws.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_adapter_mysql::{MySqlConfig, MySqlRepository};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{
        ApplicationId, ChatKey, ChatTitle, Content, Creation, MessageBody, MessageKey, Timestamp,
    },
    ports::{Ports, StoreBatch},
};
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection};

/// Opens a database as the repository of a scene.
pub(crate) async fn open(config: &MySqlConfig) -> Scene {
    let repository = MySqlRepository::open(config).await.unwrap();
    Scene::new(Ports {
        repository: Arc::new(repository),
        ..Memory::new().ports()
    })
}

pub(crate) fn chat_key(application: ApplicationId, chat: u64) -> ChatKey {
    ChatKey {
        application,
        chat: chat.try_into().map(chat_core::model::Number::into).unwrap(),
    }
}

pub(crate) fn message_key(chat: ChatKey, message: u64) -> MessageKey {
    MessageKey {
        application: chat.application,
        chat: chat.chat,
        message: message
            .try_into()
            .map(chat_core::model::Number::into)
            .unwrap(),
    }
}

pub(crate) fn body(text: &str) -> MessageBody {
    MessageBody::parse(text).unwrap()
}

/// A chat with a number, as some counter would have given it.
pub(crate) fn new_chat(scene: &Scene, key: ChatKey) -> Creation {
    let title = ChatTitle::parse("a chat").ok();
    let application = key.application;
    scene.creation(Content::Chat { application, title }, key.chat.get())
}

/// A message with a number, as some counter would have given it.
pub(crate) fn new_message(scene: &Scene, key: MessageKey) -> Creation {
    let content = Content::Message {
        chat: key.chat_key(),
        sender: None,
        body: body("a message"),
    };
    scene.creation(content, key.message.get())
}

/// A batch as a worker would store it.
pub(crate) fn batch(creations: &[Creation]) -> StoreBatch {
    StoreBatch {
        creations: creations.iter().map(|it| (it.clone(), false)).collect(),
        not_before: Timestamp::MIN,
        positions: Vec::new(),
    }
}

/// Fails if any count, last number or tombstone's note differs from the rows.
pub(crate) async fn check_counts(connection: &mut MySqlConnection) {
    for (what, wrong) in [
        (
            "chats' counts",
            "SELECT count(*) FROM chats AS c
              WHERE c.messages_count <> (SELECT count(*) FROM messages AS m
                                          WHERE m.application_id = c.application_id
                                            AND m.chat_number = c.number AND m.deleted_at IS NULL)
                 OR c.last_number < (SELECT COALESCE(MAX(m.number), 0) FROM messages AS m
                                      WHERE m.application_id = c.application_id
                                        AND m.chat_number = c.number)",
        ),
        (
            "applications' counts",
            "SELECT count(*) FROM applications AS a
              WHERE a.chats_count <> (SELECT count(*) FROM chats AS c
                                       WHERE c.application_id = a.id AND c.uid IS NOT NULL
                                         AND c.deleted_at IS NULL)
                 OR a.last_number < (SELECT COALESCE(MAX(c.number), 0) FROM chats AS c
                                      WHERE c.application_id = a.id AND c.uid IS NOT NULL)",
        ),
        (
            "notes of tombstones",
            "SELECT (SELECT count(*) FROM messages WHERE deleted_at IS NOT NULL)
                    <> (SELECT count(*) FROM deleted_messages)",
        ),
        (
            "messages without a chat's row",
            "SELECT count(*) FROM messages AS m
               LEFT JOIN chats AS c
                 ON c.application_id = m.application_id AND c.number = m.chat_number
              WHERE c.number IS NULL",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(wrong)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(count, 0, "{what} are wrong");
    }
}

/// Counts what a query selects.
pub(crate) async fn count(connection: &mut MySqlConnection, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {of}");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Runs statements behind the adapter's back.
pub(crate) async fn run(connection: &mut MySqlConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// Waits until a transaction of the test's database waits for a lock, and tells its isolation level.
pub(crate) async fn wait_for_a_waiter(connection: &mut MySqlConnection) -> String {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let waiting = sqlx::query_scalar(
            "SELECT t.trx_isolation_level FROM information_schema.innodb_trx AS t
               JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
              WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'",
        );
        // MySQL fails to list a statement with binary data in it.
        if let Ok(Some(level)) = waiting.fetch_optional(&mut *connection).await {
            return level;
        }
        assert!(Instant::now() < deadline, "nobody waits");
        // MariaDB refreshes the table only where nobody has read it for a while.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

/// Pseudo-random numbers, the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
