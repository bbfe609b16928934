//! What the creations of one batch do to each other.

use std::collections::BTreeSet;

use super::notes::changes;
use crate::{
    contract::{
        Scene,
        scene::{chat, message, message_key, number},
    },
    model::{ApplicationId, ChatKey, NumberRange, Sequence},
    ports::{Lookup, OutboxChange, Ports, StoreOutcome},
};

/// A creation that is in its batch twice becomes one row, counted once, and both copies succeed.
pub async fn twins_of_a_batch_are_stored_once(ports: Ports) {
    use StoreOutcome::{Present, Stored};
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let owner = scene.creation(chat(application), 1);
    let key = ChatKey {
        application,
        chat: owner.number.into(),
    };
    let one = scene.creation(message(key, "one"), 1);
    let two = scene.creation(message(key, "two"), 2);
    let batch = [&owner, &one, &two, &one, &owner, &one].map(Clone::clone);
    let expected = [Stored, Stored, Stored, Present, Present, Present];
    assert_eq!(scene.store(&batch).await, expected);
    assert_eq!(scene.messages_count(key).await, 2);
    let read = scene.repository().application(application).await.unwrap();
    assert_eq!(read.found().unwrap().chats_count, 1);
    // A batch of these two alone changes nothing, either.
    assert_eq!(scene.store(&batch[2..4]).await, [Present; 2]);
    assert_eq!(scene.messages_count(key).await, 2);
}

/// A creation of an application that has no row at all is not stored, and not taken for one below a
/// deleted application.
pub async fn absent_application_is_told(ports: Ports) {
    let scene = Scene::new(ports);
    let live = scene.stored_chat().await;
    let absent = ChatKey {
        application: ApplicationId::new(987_654_321),
        chat: number(1).into(),
    };
    let deleted = scene.stored_chat().await;
    let deletion = scene
        .repository()
        .delete_application(deleted.application, scene.now());
    deletion.await.unwrap();
    let batch = [
        scene.creation(chat(absent.application), 1),
        scene.creation(message(absent, "nowhere"), 1),
        scene.creation(message(live, "here"), 1),
        scene.creation(message(deleted, "gone"), 1),
    ];
    let gone = Sequence::Chats(deleted.application);
    for stored in [StoreOutcome::Stored, StoreOutcome::Present] {
        let expected = [
            StoreOutcome::ApplicationAbsent,
            StoreOutcome::ApplicationAbsent,
            stored,
            StoreOutcome::ParentDeleted(gone),
        ];
        assert_eq!(scene.store(&batch).await, expected);
    }
    let read = scene.repository().chat(absent).await.unwrap();
    assert_eq!(read, Lookup::Absent);
    let read = scene.repository().message(message_key(absent, 1)).await;
    assert_eq!(read.unwrap(), Lookup::Absent);
}

/// A batch whose caller goes away is stored, counted and noted for the index as a whole, or not at all.
pub async fn cut_off_store_leaves_all_or_nothing(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.stored_chat().await;
    scene.repository().add_generation().await.unwrap();
    let mut batches: Vec<[u64; 3]> = Vec::new();
    let cut_off = async || {
        let last = batches.last().map_or(0, |batch| batch[2]);
        let batch = [last + 1, last + 2, last + 3];
        batches.push(batch);
        scene.stored_messages(chat, &batch).await;
    };
    scene.cut_off(cut_off).await;
    // This one waits for stores that are still under way, since they hold the chat's lock.
    scene.stored_messages(chat, &[10_000]).await;

    let range = NumberRange::all();
    let rows = scene.repository().messages(chat, &range, 1_000, &[]);
    let rows = rows.await.unwrap().rows;
    let stored: BTreeSet<u64> = rows.iter().map(|row| row.key.message.get()).collect();
    assert_eq!(scene.messages_count(chat).await, stored.len() as u64);
    for batch in &batches {
        let there = batch.iter().filter(|of| stored.contains(of)).count();
        assert!([0, 3].contains(&there), "{there} of a batch are stored");
    }
    let noted: BTreeSet<OutboxChange> = changes(&scene).await.into_iter().collect();
    let wanted = stored
        .iter()
        .map(|of| OutboxChange::Message(message_key(chat, *of)));
    assert_eq!(
        noted,
        wanted.collect(),
        "the index is told of something else"
    );
}
