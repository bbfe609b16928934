//! The purge: what is deleted goes, once, and the rest stays.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

use std::{path::Path, sync::Arc};

use chat_adapter_embedded::{Embedded, EmbeddedConfig};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{ApplicationId, MessageKey, Number},
    ports::Ports,
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

async fn open(folder: &Path) -> Scene {
    let memory = Memory::new().ports();
    let clock = Arc::clone(&memory.clock);
    let embedded = Embedded::open(&EmbeddedConfig::new(folder), clock).await;
    let embedded = embedded.unwrap();
    Scene::new(Ports {
        counter: embedded.counter,
        queue: embedded.queue,
        repository: embedded.repository,
        ..memory
    })
}

/// A connection of the test's own.
async fn connect(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("chat.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn count(connection: &mut SqliteConnection, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {of}");
    let count = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection);
    count.await.unwrap()
}

/// Adds deleted chats behind the adapter's back; some have a message.
async fn bury_chats(
    connection: &mut SqliteConnection,
    application: ApplicationId,
    chats: u64,
    messages: &str,
) {
    for sql in [
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 999 + {chats})
             INSERT INTO chats (application_id, number, uid, deleted_at)
             SELECT {application}, i, zeroblob(16), i % 7 FROM n"
        ),
        format!(
            "INSERT INTO messages (application_id, chat_number, number, uid, version, body,
                                   created_at, updated_at)
             SELECT application_id, number, 1, zeroblob(16), 1, 'x', 1, 1 FROM chats
              WHERE application_id = {application} AND number >= 1000 AND ({messages})"
        ),
    ] {
        let run = sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection);
        run.await.unwrap();
    }
}

/// Purges until nothing is left; returns how many rows were removed.
async fn purge(scene: &Scene, limit: usize) -> u64 {
    let mut purged = 0;
    loop {
        let some = scene.repository().purge_below_deleted(limit).await.unwrap();
        assert!(some <= limit as u64, "{some} rows at once");
        purged += some;
        if some == 0 {
            return purged;
        }
    }
}

#[tokio::test]
async fn a_purge_goes_through_all_that_is_deleted_and_spares_the_rest() {
    let folder = TempDir::new().unwrap();
    let scene = open(folder.path()).await;
    let (it, now) = (scene.repository(), scene.now());
    let kept = scene.stored_chat().await;
    scene.stored_messages(kept, &[1, 2]).await;
    let tombstone = MessageKey {
        application: kept.application,
        chat: kept.chat,
        message: Number::FIRST.into(),
    };
    it.delete_message(tombstone, now, None).await.unwrap();
    let doomed = scene.application().await.id;
    for of in 1..=5 {
        let key = scene.stored_chat_of(doomed, of).await;
        scene.stored_messages(key, &[1, 2, 3]).await;
        if of < 3 {
            it.delete_chat(key, now, None).await.unwrap();
        }
    }
    it.delete_application(doomed, now).await.unwrap();
    // More deleted chats than one step finds, most of them long empty.
    let mut connection = connect(folder.path()).await;
    bury_chats(&mut connection, kept.application, 1_700, "number % 400 = 0").await;
    for limit in [4, 1_000] {
        let expected = if limit == 4 { 4 + 5 * 3 + 5 } else { 0 };
        assert_eq!(purge(&scene, limit).await, expected);
    }
    assert_eq!(count(&mut connection, "messages").await, 2);
    assert_eq!(count(&mut connection, "chats").await, 1 + 1_700);
    // What is deleted later, or was deleted in between, is found by the next purge.
    bury_chats(&mut connection, doomed, 1_100, "1").await;
    assert_eq!(purge(&scene, 1_000).await, 2 * 1_100);
    assert_eq!(count(&mut connection, "messages").await, 2);
    assert_eq!(scene.messages_count(kept).await, 1);
}
