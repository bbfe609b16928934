//! Adding a generation waits for every transaction that does not know of it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_core::{
    contract::Scene,
    model::{ChatKey, MessageKey},
    ports::{Claim, OutboxChange},
};
use tokio::task::JoinSet;

use crate::{
    fresh::FreshDatabase,
    stage::{batch, message_key, new_message, open, run, wait_for_a_waiter},
};

/// Adding waits for a transaction that has not noted anything yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_waits_for_older_transactions() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    // Blocks a store that has read that there is no generation.
    let mut other = database.connect().await;
    run(&mut other, "BEGIN; SELECT * FROM applications FOR UPDATE").await;
    let storing = tokio::spawn({
        let scene = scene.clone();
        let creation = new_message(&scene, message_key(key, 1));
        async move { scene.repository().store(&batch(&[creation])).await }
    });
    wait_for_a_waiter(&mut database.connect().await).await;
    let adding = tokio::spawn({
        let scene = scene.clone();
        async move { scene.repository().add_generation().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!adding.is_finished(), "a store is still under way");
    run(&mut other, "ROLLBACK").await;
    storing.await.unwrap().unwrap();
    adding.await.unwrap().unwrap();
    let scanned = scene.repository().scan_messages(None, 9).await.unwrap();
    assert_eq!(scanned.len(), 1, "what was not noted must be there");
}

/// A transaction that waited for the addition sees it, though its statement began before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_an_addition_notes() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut other = database.connect().await;
    let add = "BEGIN; SELECT value FROM settings WHERE name = 'generations' FOR UPDATE;
               INSERT INTO generations (serving) VALUES (FALSE);
               UPDATE settings SET value = 1 WHERE name = 'generations'";
    run(&mut other, add).await;
    let storing = tokio::spawn({
        let scene = scene.clone();
        async move { scene.stored_messages(key, &[1]).await }
    });
    wait_for_a_waiter(&mut database.connect().await).await;
    run(&mut other, "COMMIT").await;
    storing.await.unwrap();
    assert_eq!(take_notes(&scene).await, [message_key(key, 1)]);
}

/// Whatever is stored around the addition is scanned after it, or noted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_falls_between_scan_and_notes() {
    const CALLERS: u64 = 6;
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let application = scene.application().await.id;
    let it = scene.repository();
    for round in 0..12 {
        let end = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 1..=CALLERS {
            let (scene, end) = (scene.clone(), Arc::clone(&end));
            let of = round * CALLERS + caller;
            callers.spawn(async move {
                let chat = scene.stored_chat_of(application, of).await;
                store_until(&end, &scene, chat).await
            });
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let generation = it.add_generation().await.unwrap();
        let scanned = it.scan_messages(None, 1 << 20).await.unwrap();
        let mut found: BTreeSet<_> = scanned.iter().map(|read| read.key).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        end.store(true, Ordering::Relaxed);
        let stored = callers.join_all().await.concat();
        found.extend(take_notes(&scene).await);
        let missed: Vec<_> = stored.iter().filter(|key| !found.contains(key)).collect();
        assert!(missed.is_empty(), "{missed:?} of {}", stored.len());
        it.remove_generation(generation.number).await.unwrap();
    }
}

/// Stores a chat's messages one by one.
async fn store_until(end: &AtomicBool, scene: &Scene, chat: ChatKey) -> Vec<MessageKey> {
    let mut stored = Vec::new();
    for number in 1.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let key = message_key(chat, number);
        let creations = [new_message(scene, key)];
        scene.repository().store(&batch(&creations)).await.unwrap();
        stored.push(key);
    }
    stored
}

async fn take_notes(scene: &Scene) -> Vec<MessageKey> {
    let claim = Claim::new("the test", scene.now(), Duration::from_mins(1));
    let mut keys = Vec::new();
    loop {
        let rows = scene.repository().claim_outbox(&claim, 500).await.unwrap();
        if rows.is_empty() {
            return keys;
        }
        let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
        scene
            .repository()
            .complete_outbox(&claim, &ids)
            .await
            .unwrap();
        for change in rows.into_iter().flat_map(|row| row.changes) {
            if let OutboxChange::Message(key) = change {
                keys.push(key);
            }
        }
    }
}
