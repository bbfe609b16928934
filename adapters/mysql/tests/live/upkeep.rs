//! Audits that repair wrong counts, and purges of many rows.

use std::time::Duration;

use chat_core::ports::{Lookup, StoreOutcome};

use crate::{
    fresh::FreshDatabase,
    stage::{batch, check_counts, count, message_key, new_chat, new_message, open, run},
};

#[tokio::test]
async fn wrong_counts_are_found_and_put_right() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let it = scene.repository();
    let right = scene.stored_chat().await;
    let wrong = scene.stored_chat().await;
    scene.stored_messages(wrong, &[1, 2, 3]).await;
    let mut connection = database.connect().await;
    let application = wrong.application;
    for spoil in [
        format!(
            "UPDATE chats SET messages_count = 99, last_number = 1 WHERE application_id = {application}"
        ),
        format!(
            "UPDATE applications SET chats_count = 0, last_number = 0 WHERE id = {application}"
        ),
    ] {
        run(&mut connection, &spoil).await;
    }
    let audit = it.audit_chats(None, 10).await.unwrap();
    assert_eq!((audit.checked, audit.repaired), (2, vec![wrong]));
    let audit = it.audit_applications(None, 10).await.unwrap();
    assert_eq!((audit.checked, audit.repaired), (2, vec![application]));
    check_counts(&mut connection).await;
    assert_eq!(scene.messages_count(wrong).await, 3);
    assert_eq!(scene.messages_count(right).await, 0);
    let again = it.audit_chats(None, 10).await.unwrap();
    assert_eq!(again.repaired, []);
}

/// A row is found to be stored even if the last number of its chat is too low.
#[tokio::test]
async fn a_wrong_last_number_hides_no_row() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut creations = scene.stored_messages(key, &[1, 2, 3]).await;
    run(
        &mut database.connect().await,
        "UPDATE chats SET last_number = 1",
    )
    .await;
    creations.push(new_message(&scene, message_key(key, 4)));
    let outcomes = scene.store(&creations).await;
    assert_eq!(outcomes[..3], [StoreOutcome::Present; 3]);
    assert_eq!(outcomes[3], StoreOutcome::Stored);
    check_counts(&mut database.connect().await).await;
}

/// A count that is too low must not keep anything from being deleted.
#[tokio::test]
async fn a_wrong_count_never_falls_below_zero() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    scene.stored_messages(key, &[1]).await;
    let mut connection = database.connect().await;
    run(&mut connection, "UPDATE chats SET messages_count = 0").await;
    run(&mut connection, "UPDATE applications SET chats_count = 0").await;
    let (it, now) = (scene.repository(), scene.now());
    it.delete_message(message_key(key, 1), now, None)
        .await
        .unwrap();
    it.delete_chat(key, now, None).await.unwrap();
    check_counts(&mut connection).await;
}

#[tokio::test]
async fn a_purge_goes_to_the_end_and_finds_nothing_twice() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let (it, now) = (scene.repository(), scene.now());
    let kept = scene.stored_chat().await;
    scene.stored_messages(kept, &[1, 2]).await;
    let doomed = scene.application().await.id;
    for of in 1..=5 {
        let key = scene.stored_chat_of(doomed, of).await;
        scene.stored_messages(key, &[1, 2, 3]).await;
        let two = message_key(key, 2);
        it.delete_message(two, now, None).await.unwrap();
        if of < 3 {
            it.delete_chat(key, now, None).await.unwrap();
        }
    }
    // Hundreds of empty chats are looked at in one go.
    for of in 2..=450 {
        let key = scene.stored_chat_of(kept.application, of).await;
        it.delete_chat(key, now, None).await.unwrap();
    }
    it.delete_application(doomed, now).await.unwrap();
    let mut purged = 0;
    loop {
        let some = it.purge_below_deleted(4).await.unwrap();
        assert!(some <= 4);
        purged += some;
        if some == 0 {
            break;
        }
    }
    assert_eq!(purged, 5 * 3 + 5);
    let mut connection = database.connect().await;
    assert_eq!(count(&mut connection, "deleted_parents").await, 0);
    assert_eq!(count(&mut connection, "deleted_messages").await, 0);
    assert_eq!(count(&mut connection, "messages").await, 2);
    let of_doomed = format!("chats WHERE application_id = {doomed}");
    assert_eq!(count(&mut connection, &of_doomed).await, 0);
    // Late creations are dropped, so the purge need not look there again.
    let late = crate::stage::chat_key(doomed, 1);
    let creations = [
        new_chat(&scene, late),
        new_message(&scene, message_key(late, 9)),
    ];
    it.store(&batch(&creations)).await.unwrap();
    assert_eq!(count(&mut connection, &of_doomed).await, 0);
    assert_eq!(it.purge_below_deleted(4).await.unwrap(), 0);
}

#[tokio::test]
async fn tombstones_go_with_their_notes_and_leave_their_numbers() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let (it, now) = (scene.repository(), scene.now());
    let key = scene.stored_chat().await;
    let numbers: Vec<u64> = (1..=30).collect();
    let creations = scene.stored_messages(key, &numbers).await;
    for of in (3..=30).step_by(3) {
        it.delete_message(message_key(key, of), now, None)
            .await
            .unwrap();
    }
    let later = now.plus(Duration::from_secs(1));
    let mut after = None;
    let mut dead = Vec::new();
    loop {
        let some = it.tombstones(later, after, 4).await.unwrap();
        let Some(last) = some.last() else {
            break;
        };
        after = Some(*last);
        dead.extend(some);
    }
    assert_eq!(dead.len(), 10);
    // Asked for in any order, and twice.
    dead.reverse();
    assert_eq!(it.purge_tombstones(&dead).await.unwrap(), 10);
    assert_eq!(it.purge_tombstones(&dead).await.unwrap(), 0);
    let mut connection = database.connect().await;
    check_counts(&mut connection).await;
    assert_eq!(count(&mut connection, "deleted_messages").await, 0);
    let gone = it.message(message_key(key, 30)).await.unwrap();
    assert_eq!(gone, Lookup::Absent);
    let chat = count(&mut connection, "chats WHERE last_number = 30").await;
    assert_eq!((chat, creations.len()), (1, 30));
}
