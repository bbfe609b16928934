//! What is specific to the embedded set: its folder, what expires with time, and what it repairs.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

use std::{path::Path, sync::Arc, time::Duration};

use chat_adapter_embedded::{Embedded, EmbeddedConfig, OpenError};
use chat_core::{
    contract::Scene,
    memory::{ManualClock, Memory},
    model::{ApplicationId, ChatKey, ChatTitle, Content, Number},
    ports::{Consumer, Numbering, Ports},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

async fn open(folder: &Path) -> (Scene, Arc<ManualClock>, Embedded) {
    let memory = Memory::new();
    let embedded = Embedded::open(&EmbeddedConfig::new(folder), memory.clock.clone())
        .await
        .unwrap();
    let ports = Ports {
        counter: embedded.counter.clone(),
        queue: embedded.queue.clone(),
        repository: embedded.repository.clone(),
        ..memory.ports()
    };
    (Scene::new(ports), memory.clock, embedded)
}

fn chat(application: ApplicationId, title: &str) -> Content {
    Content::Chat {
        application,
        title: ChatTitle::parse(title).ok(),
    }
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = TempDir::new().unwrap();
    let (.., first) = open(folder.path()).await;
    let config = EmbeddedConfig::new(folder.path());
    let second = Embedded::open(&config, Memory::new().clock).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    first.close().await;
}

#[tokio::test]
async fn what_was_numbered_is_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    let (scene, _, embedded) = open(folder.path()).await;
    let key = scene.chat().await;
    // Dropped without closing, as a crash would.
    drop((scene, embedded));
    // The writer lets go of the folder when it notices.
    let config = EmbeddedConfig::new(folder.path());
    let mut opened = Embedded::open(&config, Memory::new().clock).await;
    for _ in 0..100 {
        if !matches!(opened, Err(OpenError::InUse { .. })) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        opened = Embedded::open(&config, Memory::new().clock).await;
    }
    opened.unwrap().close().await;
    let (scene, ..) = open(folder.path()).await;
    assert!(
        scene
            .repository()
            .chat(key)
            .await
            .unwrap()
            .found()
            .is_some()
    );
    assert_eq!(
        scene
            .create(chat(key.application, "next"))
            .await
            .number
            .get(),
        2
    );
}

#[tokio::test]
async fn an_older_copy_of_the_database_repeats_no_number() {
    let folder = TempDir::new().unwrap();
    let (file, copy) = (folder.path().join("chat.db"), folder.path().join("copy"));
    let (scene, _, embedded) = open(folder.path()).await;
    let application = scene.application().await.id;
    scene.create(chat(application, "kept")).await;
    drop(scene);
    embedded.close().await;
    std::fs::copy(&file, &copy).unwrap();
    let mut last = 1;
    for _ in 0..2 {
        let (scene, _, embedded) = open(folder.path()).await;
        for _ in 0..3 {
            let given = scene.create(chat(application, "lost")).await.number.get();
            assert!(given > last, "{given} after {last}");
            last = given;
        }
        drop(scene);
        embedded.close().await;
        std::fs::copy(&copy, &file).unwrap();
    }
    // Each loss leads to one leap: from here on there is no gap.
    let (scene, ..) = open(folder.path()).await;
    let next = scene.create(chat(application, "next")).await.number.get();
    assert!(next > last, "{next} after {last}");
    let after = scene.create(chat(application, "after")).await.number.get();
    assert_eq!(after, next + 1);
}

#[tokio::test]
async fn a_key_is_free_again_after_a_day() {
    let folder = TempDir::new().unwrap();
    let (scene, clock, _embedded) = open(folder.path()).await;
    let application = scene.application().await.id;
    let create = async || {
        scene
            .create_with_key(chat(application, "keyed"), "key")
            .await
            .unwrap()
    };
    assert!(!create().await.1);
    clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    assert!(create().await.1, "forgotten within the day");
    clock.advance(Duration::from_secs(2));
    let (creation, replayed) = create().await;
    assert_eq!((creation.number.get(), replayed), (2, false));
    assert!(create().await.1, "the new use counts from now");
}

#[tokio::test]
async fn a_consumer_that_stays_away_is_relieved() {
    let folder = TempDir::new().unwrap();
    let (scene, clock, _embedded) = open(folder.path()).await;
    let creation = scene.creation(chat(ApplicationId::new(1), "work"), 1);
    scene.queue().publish(&creation, false).await.unwrap();
    let take = async |name: &str| {
        let consumer = Consumer(name.to_owned());
        scene
            .queue()
            .receive(&consumer, 1, Duration::ZERO)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(take("dead").await, 1);
    clock.advance(Duration::from_secs(29));
    assert_eq!(take("alive").await, 0, "taken from the living");
    clock.advance(Duration::from_secs(2));
    assert_eq!(take("alive").await, 1);
}

/// It must not fail the creations of others that are committed with it.
#[tokio::test]
async fn a_sequence_that_has_come_to_its_end_is_full() {
    let folder = TempDir::new().unwrap();
    let (scene, ..) = open(folder.path()).await;
    let application = scene.application().await.id;
    scene.stored_chat_of(application, Number::MAX).await;
    let full = scene.submit(chat(application, "too many")).await;
    assert!(matches!(full, Numbering::Overloaded { .. }), "{full:?}");
}

#[tokio::test]
async fn wrong_counts_are_found_and_put_right() {
    let folder = TempDir::new().unwrap();
    let (scene, ..) = open(folder.path()).await;
    let right = scene.stored_chat().await;
    let wrong = scene.stored_chat().await;
    scene.stored_messages(wrong, &[1, 2, 3]).await;
    spoil(
        folder.path(),
        "UPDATE chats SET messages_count = 99, last_number = 1",
        wrong,
    )
    .await;
    spoil(
        folder.path(),
        "UPDATE applications SET chats_count = 0",
        wrong,
    )
    .await;

    let audit = scene.repository().audit_chats(None, 10).await.unwrap();
    assert_eq!((audit.checked, audit.repaired), (2, vec![wrong]));
    let audit = scene
        .repository()
        .audit_applications(None, 10)
        .await
        .unwrap();
    assert_eq!(audit.repaired, [wrong.application]);
    assert_eq!(scene.messages_count(wrong).await, 3);
    assert_eq!(scene.messages_count(right).await, 0);
    // The last number counts too: a lower one would be given again.
    let again = scene.repository().audit_chats(None, 10).await.unwrap();
    assert_eq!(again.repaired, []);
}

/// Changes rows behind the adapter's back.
async fn spoil(folder: &Path, update: &'static str, key: ChatKey) {
    let file = folder.join("chat.db");
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let narrowed = if update.contains("chats SET") {
        format!("{update} WHERE application_id = {}", key.application)
    } else {
        format!("{update} WHERE id = {}", key.application)
    };
    sqlx::query(sqlx::AssertSqlSafe(narrowed))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
