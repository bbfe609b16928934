//! Many at once, with contention for the same rows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_core::{
    contract::Scene,
    model::{ChatKey, Creation},
    ports::StoreOutcome,
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    fresh::FreshDatabase,
    stage::{
        Dice, batch, body, chat_key, check_counts, count, message_key, new_chat, new_message, open,
        run, wait_for_a_waiter,
    },
};

const CALLERS: usize = 8;

/// Chats and messages of three applications, shuffled differently for each caller and cut differently:
/// what one locks first another locks last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_in_any_order_all_succeed() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let creations = three_applications(&scene).await;
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
        let mut own = creations.clone();
        let mut dice = Dice::new(caller as u64);
        dice.shuffle(&mut own);
        callers.spawn(async move {
            barrier.wait().await;
            let mut rest = own.as_slice();
            while !rest.is_empty() {
                let (some, later) = rest.split_at(rest.len().min(1 + dice.below(90)));
                rest = later;
                let report = scene.repository().store(&batch(some)).await.unwrap();
                for outcome in report.outcomes {
                    assert!(matches!(
                        outcome,
                        StoreOutcome::Stored | StoreOutcome::Present
                    ));
                }
            }
        });
    }
    callers.join_all().await;
    let mut connection = database.connect().await;
    check_counts(&mut connection).await;
    let stored: i64 =
        sqlx::query_scalar("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM chats)")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(usize::try_from(stored).unwrap(), creations.len());
}

async fn three_applications(scene: &Scene) -> Vec<Creation> {
    let mut creations = Vec::new();
    for _ in 0..3 {
        let application = scene.application().await.id;
        for chat in 1..=10 {
            let key = chat_key(application, chat);
            creations.push(new_chat(scene, key));
            let numbers = 1..=20;
            creations.extend(numbers.map(|of| new_message(scene, message_key(key, of))));
        }
    }
    creations
}

/// Storing, changing, deleting and auditing the same few chats.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kind_of_change_at_once_leaves_counts_right() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    scene.repository().add_generation().await.unwrap();
    let application = scene.application().await.id;
    let chats: Vec<ChatKey> = (1..=6).map(|of| chat_key(application, of)).collect();
    let creations: Vec<Creation> = chats
        .iter()
        .flat_map(|key| {
            let numbers = 1..=40;
            let messages = numbers.map(|of| new_message(&scene, message_key(*key, of)));
            [new_chat(&scene, *key)].into_iter().chain(messages)
        })
        .collect();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (scene, creations, chats) = (scene.clone(), creations.clone(), chats.clone());
        callers.spawn(async move { change(&scene, &creations, &chats, caller).await });
    }
    callers.join_all().await;
    check_counts(&mut database.connect().await).await;
}

/// Does sixty operations, chosen at random.
async fn change(scene: &Scene, creations: &[Creation], chats: &[ChatKey], caller: usize) {
    let it = scene.repository();
    let mut dice = Dice::new(1_000 + caller as u64);
    for round in 0..60 {
        let at = dice.below(creations.len());
        let creation = &creations[at];
        let pending = Some(creation.clone());
        let now = scene.now();
        match (dice.below(8), creation.as_message()) {
            (0 | 1, Some(message)) => {
                it.delete_message(message.key, now, pending).await.unwrap();
            }
            (2 | 3, Some(message)) => {
                it.update_message(message.key, &body("new"), now, pending)
                    .await
                    .unwrap();
            }
            // Late, and by one caller alone, or little would be left to change.
            (4, _) if caller == 0 && round == 40 => {
                it.delete_chat(chats[0], now, None).await.unwrap();
            }
            (5, _) if caller < 2 => {
                // Counts are right at every moment, not only in the end.
                let audit = it.audit_chats(None, 100).await.unwrap();
                assert_eq!(audit.repaired, []);
                let audit = it.audit_applications(None, 100).await.unwrap();
                assert_eq!(audit.repaired, []);
                it.purge_below_deleted(50).await.unwrap();
            }
            _ => {
                let end = creations.len().min(at + 1 + dice.below(60));
                it.store(&batch(&creations[at..end])).await.unwrap();
            }
        }
    }
}

/// A batch may hold redeliveries, in any order, and other creations under the same numbers.
#[tokio::test]
async fn a_batch_may_say_the_same_twice() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = chat_key(scene.application().await.id, 1);
    let (chat, message) = (
        new_chat(&scene, key),
        new_message(&scene, message_key(key, 1)),
    );
    let (other_chat, other) = (
        new_chat(&scene, key),
        new_message(&scene, message_key(key, 1)),
    );
    let creations = [
        message.clone(),
        chat.clone(),
        other,
        message,
        other_chat,
        chat,
    ];
    let expected = [
        StoreOutcome::Stored,
        StoreOutcome::Stored,
        StoreOutcome::NumberTaken,
        StoreOutcome::Present,
        StoreOutcome::NumberTaken,
        StoreOutcome::Present,
    ];
    assert_eq!(scene.store(&creations).await, expected);
    assert_eq!(scene.messages_count(key).await, 1);
    check_counts(&mut database.connect().await).await;
}

/// A call that waits for a lock for ever comes back in time, and with an error that says so.
#[tokio::test]
async fn no_call_waits_for_ever() {
    let Some(mut database) = FreshDatabase::name() else {
        return;
    };
    database.config.timeout = Duration::from_secs(2);
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut other = database.connect().await;
    run(&mut other, "BEGIN; SELECT * FROM applications FOR UPDATE").await;
    let began = Instant::now();
    let creations = [new_message(&scene, message_key(key, 1))];
    let stored = scene.repository().store(&batch(&creations)).await;
    let error = stored.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4));
    run(&mut other, "ROLLBACK").await;
    let stored = scene.repository().store(&batch(&creations)).await.unwrap();
    assert_eq!(stored.outcomes, [StoreOutcome::Stored]);
}

/// The server ends a read that nobody waits for any more, even after an audit had a longer limit.
#[tokio::test]
async fn a_read_that_took_too_long_ends_in_the_server_too() {
    let Some(mut database) = FreshDatabase::name() else {
        return;
    };
    database.config.read_timeout = Duration::from_secs(1);
    database.config.connections = 1;
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    scene.stored_messages(key, &[1, 2]).await;
    scene.repository().audit_chats(None, 9).await.unwrap();
    let mut other = database.connect().await;
    run(&mut other, "LOCK TABLES messages WRITE").await;
    let wanted = [message_key(key, 1)];
    let read = scene.repository().messages_by_key(&wanted).await;
    let error = read.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let reading = "information_schema.processlist
                    WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%messages%'";
    let reading = count(&mut database.connect().await, reading).await;
    assert_eq!(reading, 0);
    run(&mut other, "UNLOCK TABLES").await;
}

/// In a deadlock the server aborts one of the two transactions, and that one is retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_survived() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut other = database.connect().await;
    // The server does not abort the transaction that has changed the most.
    let hold_the_chat =
        "BEGIN; INSERT INTO settings (name, value) VALUES ('a', 1), ('b', 1), ('c', 1);
                         SELECT * FROM chats FOR UPDATE";
    run(&mut other, hold_the_chat).await;
    let storing = tokio::spawn({
        let scene = scene.clone();
        async move { scene.stored_messages(key, &[1]).await }
    });
    wait_for_a_waiter(&mut database.connect().await).await;
    run(&mut other, "SELECT * FROM applications FOR UPDATE; COMMIT").await;
    storing.await.unwrap();
    assert_eq!(scene.messages_count(key).await, 1);
}
