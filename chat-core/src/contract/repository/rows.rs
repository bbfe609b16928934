//! Storing, changing and deleting rows.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    contract::{
        Scene,
        scene::{body, chat, message, message_key, title},
    },
    model::{ChatKey, Creation, NumberRange, Sequence, Timestamp},
    ports::{Deletion, Lookup, Parent, Ports, StoreBatch, StoreOutcome},
};

/// A batch that is stored twice leaves each row once, counted once.
pub async fn storing_again_changes_nothing(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let chat_creation = scene.creation(chat(application), 1);
    let key = ChatKey {
        application,
        chat: chat_creation.number.into(),
    };
    let batch = [
        chat_creation.clone(),
        scene.creation(message(key, "one"), 1),
        scene.creation(message(key, "two"), 2),
    ];
    assert_eq!(scene.store(&batch).await, [StoreOutcome::Stored; 3]);
    for again in [&batch[..], &batch[1..], &batch[..1]] {
        assert_eq!(
            scene.store(again).await,
            vec![StoreOutcome::Present; again.len()]
        );
    }
    assert_eq!(scene.messages_count(key).await, 2);
    let counted = scene
        .repository()
        .application(application)
        .await
        .unwrap()
        .found()
        .unwrap();
    assert_eq!(counted.chats_count, 1);
    let rows = scene
        .repository()
        .messages(key, &NumberRange::all(), 9, &[])
        .await
        .unwrap()
        .rows;
    assert_eq!(rows.len(), 2);
}

/// A creation whose number is stored under another uid is reported and changes nothing.
pub async fn another_uid_is_a_repeat(ports: Ports) {
    let scene = Scene::new(ports);
    let key = scene.stored_chat().await;
    let first = scene.stored_messages(key, &[1]).await.remove(0);
    let repeat = scene.creation(message(key, "a repeat"), 1);
    let chat_repeat = scene.creation(chat(key.application), 1);
    let outcomes = scene.store(&[repeat.clone(), chat_repeat]).await;
    assert_eq!(outcomes, [StoreOutcome::NumberTaken; 2]);
    let kept = scene
        .repository()
        .message(message_key(key, 1))
        .await
        .unwrap()
        .found();
    assert_eq!(kept, first.as_message());
    assert_eq!(scene.messages_count(key).await, 1);
    // It does not take the place of a tombstone, either.
    scene
        .repository()
        .delete_message(message_key(key, 1), scene.now(), None)
        .await
        .unwrap();
    assert_eq!(scene.store(&[repeat]).await, [StoreOutcome::NumberTaken]);
}

/// The chat is invisible and not counted until it is stored, and then counts the message.
pub async fn message_may_come_before_its_chat(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let creation = scene.creation(chat(application), 1);
    let key = ChatKey {
        application,
        chat: creation.number.into(),
    };
    let early = scene.creation(message(key, "early"), 1);
    assert_eq!(
        scene.store(std::slice::from_ref(&early)).await,
        [StoreOutcome::Stored]
    );

    let repository = scene.repository();
    assert_eq!(repository.chat(key).await.unwrap(), Lookup::Absent);
    let all = NumberRange::all();
    assert!(
        repository
            .chats(application, &all, 9, &[])
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert!(repository.all_chats(None, 9).await.unwrap().is_empty());
    let counted = repository
        .application(application)
        .await
        .unwrap()
        .found()
        .unwrap();
    assert_eq!(counted.chats_count, 0);
    let slice = repository.messages(key, &all, 9, &[]).await.unwrap();
    assert_eq!(
        (slice.parent, slice.rows),
        (Parent::Absent, vec![early.as_message().unwrap()])
    );
    let found = repository
        .message(message_key(key, 1))
        .await
        .unwrap()
        .found();
    assert_eq!(found, early.as_message());

    assert_eq!(
        scene.store(std::slice::from_ref(&creation)).await,
        [StoreOutcome::Stored]
    );
    let stored = repository.chat(key).await.unwrap().found().unwrap();
    assert_eq!(
        (stored.messages_count, stored.title),
        (1, creation.as_chat().unwrap().title)
    );
    let counted = repository
        .application(application)
        .await
        .unwrap()
        .found()
        .unwrap();
    assert_eq!(counted.chats_count, 1);
}

/// Counts equal live rows after any mix of stores and deletions.
pub async fn counts_follow_rows(ports: Ports) {
    let scene = Scene::new(ports);
    let key = scene.stored_chat().await;
    let other = scene.stored_chat_of(key.application, 2).await;
    let creations = scene.stored_messages(key, &[1, 2, 3]).await;
    scene.stored_messages(other, &[1]).await;
    let repository = scene.repository();
    let now = scene.now();
    for _ in 0..2 {
        repository
            .delete_message(message_key(key, 2), now, None)
            .await
            .unwrap();
        repository
            .delete_message(message_key(key, 9), now, None)
            .await
            .unwrap();
        scene.store(&creations).await;
        assert_eq!(scene.messages_count(key).await, 2);
        assert_eq!(scene.messages_count(other).await, 1);
    }
    for _ in 0..2 {
        repository.delete_chat(other, now, None).await.unwrap();
        let counted = repository
            .application(key.application)
            .await
            .unwrap()
            .found()
            .unwrap();
        assert_eq!(counted.chats_count, 1);
    }
}

/// A create that comes after the update or deletion of its pending form changes nothing.
pub async fn late_create_stands_back(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let repository = scene.repository();
    let now = scene.now();
    let pending_chat = scene.creation(chat(application), 1);
    let key = ChatKey {
        application,
        chat: pending_chat.number.into(),
    };
    let updated = scene.creation(message(key, "before"), 1);
    let deleted = scene.creation(message(key, "unwanted"), 2);
    let (one, two) = (message_key(key, 1), message_key(key, 2));

    let absent = repository
        .update_message(one, &body("after"), now, None)
        .await
        .unwrap();
    assert_eq!(absent, Lookup::Absent);
    assert_eq!(
        repository.delete_message(two, now, None).await.unwrap(),
        Deletion::Absent
    );
    let pending = Some(updated.clone());
    let lookup = repository
        .update_message(one, &body("after"), now, pending)
        .await
        .unwrap();
    assert_eq!(lookup.found().unwrap().body, body("after"));
    let deletion = repository
        .delete_message(two, now, Some(deleted.clone()))
        .await
        .unwrap();
    assert_eq!(deletion, Deletion::Deleted);
    let pending = Some(pending_chat.clone());
    let renamed = repository
        .update_chat(key, Some(title("new")), now, pending)
        .await
        .unwrap();
    assert_eq!(renamed.found().unwrap().title, Some(title("new")));

    let outcomes = scene.store(&[updated, deleted, pending_chat]).await;
    assert_eq!(outcomes, [StoreOutcome::Present; 3]);
    assert_eq!(
        repository.message(one).await.unwrap().found().unwrap().body,
        body("after")
    );
    assert_eq!(repository.message(two).await.unwrap(), Lookup::Gone);
    let found = repository.chat(key).await.unwrap().found().unwrap();
    assert_eq!((found.title, found.messages_count), (Some(title("new")), 1));

    let doomed = scene.creation(chat(application), 2);
    let key = ChatKey {
        application,
        chat: doomed.number.into(),
    };
    let deletion = repository
        .delete_chat(key, now, Some(doomed.clone()))
        .await
        .unwrap();
    assert_eq!(deletion, Deletion::Deleted);
    assert_eq!(scene.store(&[doomed]).await, [StoreOutcome::Present]);
    assert_eq!(repository.chat(key).await.unwrap(), Lookup::Gone);
    let counted = repository
        .application(application)
        .await
        .unwrap()
        .found()
        .unwrap();
    assert_eq!(counted.chats_count, 1);
}

/// Of concurrent deletions exactly one answers [`Deletion::Deleted`].
pub async fn one_of_many_deletions_wins(ports: Ports) {
    const CALLERS: usize = 16;
    let scene = Scene::new(ports);
    let key = scene.stored_chat().await;
    for of in 1..=10 {
        let creation = scene.creation(message(key, "fought over"), of);
        // Every second one is still pending, and deleted in that form.
        let pending = (of % 2 == 0).then(|| creation.clone());
        if pending.is_none() {
            scene.store(&[creation]).await;
        }
        let barrier = Arc::new(Barrier::new(CALLERS));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (scene, barrier, pending) = (scene.clone(), Arc::clone(&barrier), pending.clone());
            callers.spawn(async move {
                barrier.wait().await;
                let (repository, now) = (scene.repository(), scene.now());
                repository
                    .delete_message(message_key(key, of), now, pending)
                    .await
                    .unwrap()
            });
        }
        let told = callers.join_all().await;
        let deleted = told
            .iter()
            .filter(|deletion| **deletion == Deletion::Deleted)
            .count();
        assert_eq!(deleted, 1, "message {of}: {told:?}");
    }
    assert_eq!(scene.messages_count(key).await, 0);
}

/// Under a deleted chat or application nothing is found, listed, updated, deleted or stored.
pub async fn nothing_lives_under_deleted(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let now = scene.now();
    for whole_application in [false, true] {
        let key = scene.stored_chat().await;
        scene.stored_messages(key, &[1, 2]).await;
        let sequence = if whole_application {
            repository
                .delete_application(key.application, now)
                .await
                .unwrap();
            Sequence::Chats(key.application)
        } else {
            repository.delete_chat(key, now, None).await.unwrap();
            Sequence::Messages(key)
        };
        let one = message_key(key, 1);
        let all = NumberRange::all();
        assert_eq!(repository.chat(key).await.unwrap(), Lookup::Gone);
        assert_eq!(repository.message(one).await.unwrap(), Lookup::Gone);
        assert_eq!(
            repository.message(message_key(key, 9)).await.unwrap(),
            Lookup::Gone
        );
        let slice = repository
            .messages(key, &all, 9, &[one.message.into()])
            .await
            .unwrap();
        assert_eq!(slice.parent, Parent::Gone);
        assert!(slice.rows.is_empty() && slice.known.is_empty());
        let late = scene.creation(message(key, "late"), 3);
        let pending = Some(late.clone());
        let update = repository
            .update_message(one, &body("x"), now, pending.clone())
            .await;
        assert_eq!(update.unwrap(), Lookup::Gone);
        let update = repository.update_chat(key, None, now, None).await.unwrap();
        assert_eq!(update, Lookup::Gone);
        let deletion = repository
            .delete_message(message_key(key, 3), now, pending)
            .await;
        assert_eq!(deletion.unwrap(), Deletion::Gone);
        assert_eq!(
            repository.delete_chat(key, now, None).await.unwrap(),
            Deletion::Gone
        );
        assert_eq!(
            scene.store(&[late]).await,
            [StoreOutcome::ParentDeleted(sequence)]
        );
        assert!(
            repository.messages_by_key(&[one]).await.unwrap()[0]
                .current
                .is_none()
        );
        assert!(repository.all_messages(None, 9).await.unwrap().is_empty());
        assert!(repository.all_chats(None, 9).await.unwrap().is_empty());
        if whole_application {
            let slice = repository
                .chats(key.application, &all, 9, &[])
                .await
                .unwrap();
            assert_eq!((slice.parent, slice.rows.len()), (Parent::Gone, 0));
            let late = scene.creation(chat(key.application), 2);
            assert_eq!(
                scene.store(&[late]).await,
                [StoreOutcome::ParentDeleted(sequence)]
            );
        }
    }
}

/// A create from before the batch's bound is refused if it has no row, unless forced.
pub async fn old_creates_are_not_inserted(ports: Ports) {
    let scene = Scene::new(ports);
    let key = scene.stored_chat().await;
    let stored = scene.stored_messages(key, &[1]).await.remove(0);
    let old = scene.creation(message(key, "old"), 2);
    let bound = scene.now().plus(Duration::from_secs(1));
    let store = async |creation: &Creation, forced| {
        let creations = vec![(creation.clone(), forced)];
        let batch = StoreBatch {
            creations,
            not_before: bound,
            positions: Vec::new(),
        };
        scene.repository().store(&batch).await.unwrap().outcomes
    };
    assert_eq!(store(&old, false).await, [StoreOutcome::TooOld]);
    assert_eq!(store(&stored, false).await, [StoreOutcome::Present]);
    assert_eq!(scene.messages_count(key).await, 1);
    assert_eq!(store(&old, true).await, [StoreOutcome::Stored]);
    assert_eq!(scene.messages_count(key).await, 2);
}

/// Each change of a row raises its version; equal versions are equal contents.
pub async fn versions_rise(ports: Ports) {
    let scene = Scene::new(ports);
    let key = scene.stored_chat().await;
    scene.stored_messages(key, &[1]).await;
    let one = message_key(key, 1);
    let repository = scene.repository();
    let version = async |key| {
        let read = repository.messages_by_key(&[key]).await.unwrap().remove(0);
        read.current
            .map(|(message, version)| (message.body, version))
    };
    assert_eq!(version(one).await, Some((body("message 1"), 1)));
    for (expected, text) in [(2, "a"), (3, "b"), (4, "b")] {
        repository
            .update_message(one, &body(text), scene.now(), None)
            .await
            .unwrap();
        assert_eq!(version(one).await, Some((body(text), expected)));
    }
    // An update of a pending creation stores a higher version than the create would have.
    let pending = scene.creation(message(key, "pending"), 2);
    let two = message_key(key, 2);
    repository
        .update_message(two, &body("c"), scene.now(), Some(pending))
        .await
        .unwrap();
    assert_eq!(version(two).await, Some((body("c"), 2)));
    repository
        .delete_message(one, scene.now(), None)
        .await
        .unwrap();
    assert_eq!(version(one).await, None);
}

/// Overlapping batches stored at once leave each row once, counted.
pub async fn concurrent_batches_agree(ports: Ports) {
    const CALLERS: usize = 8;
    let scene = Scene::new(ports);
    let key = scene.stored_chat().await;
    let creations: Vec<_> = (1..=100)
        .map(|of| scene.creation(message(key, "shared"), of))
        .collect();
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
        let mut own = creations.clone();
        own.rotate_left(caller * 11);
        callers.spawn(async move {
            barrier.wait().await;
            for chunk in own.chunks(17) {
                let creations = chunk.iter().map(|it| (it.clone(), false)).collect();
                let batch = StoreBatch {
                    creations,
                    not_before: Timestamp::MIN,
                    positions: Vec::new(),
                };
                let outcomes = scene.repository().store(&batch).await.unwrap().outcomes;
                assert!(outcomes.iter().all(|outcome| {
                    matches!(outcome, StoreOutcome::Stored | StoreOutcome::Present)
                }));
            }
        });
    }
    callers.join_all().await;
    assert_eq!(scene.messages_count(key).await, 100);
    let rows = scene
        .repository()
        .messages(key, &NumberRange::all(), 999, &[])
        .await
        .unwrap()
        .rows;
    assert_eq!(rows.len(), 100);
}
