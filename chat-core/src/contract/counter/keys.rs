//! A key gives one answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::{sync::Barrier, task::JoinSet};

use super::{CALLERS, EACH};
use crate::{
    contract::{
        Scene,
        scene::{message, number},
    },
    model::Sequence,
    ports::Ports,
    service::ServiceError,
};

/// A repeated key answers the first number and time and numbers nothing, also when the repetitions
/// are concurrent.
pub async fn same_key_same_answer(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    for round in 0..EACH {
        let barrier = Arc::new(Barrier::new(CALLERS));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
            let with = format!("key-{round}");
            callers.spawn(async move {
                barrier.wait().await;
                scene
                    .create_with_key(message(chat, "once"), &with)
                    .await
                    .unwrap()
            });
        }
        let answers = callers.join_all().await;
        let first = answers.iter().filter(|(_, replayed)| !replayed).count();
        assert_eq!(first, 1, "one caller creates, the others are told of it");
        let told: BTreeSet<_> = answers
            .iter()
            .map(|(creation, _)| (creation.number, creation.draft.created_at))
            .collect();
        assert_eq!(told.len(), 1, "one key was answered differently: {told:?}");
    }
    assert_eq!(
        scene.create(message(chat, "next")).await.number.get(),
        EACH as u64 + 1
    );
}

/// The same key with another content numbers nothing.
pub async fn key_of_another_request_is_refused(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    scene
        .create_with_key(message(chat, "one"), "key")
        .await
        .unwrap();
    let other = scene.create_with_key(message(chat, "another"), "key").await;
    assert!(matches!(other, Err(ServiceError::KeyReused)), "{other:?}");
    assert_eq!(scene.create(message(chat, "next")).await.number.get(), 2);
}

/// Another application may use the same key.
pub async fn keys_belong_to_an_application(ports: Ports) {
    let scene = Scene::new(ports);
    for _ in 0..2 {
        let chat = scene.chat().await;
        let (created, replayed) = scene
            .create_with_key(message(chat, "mine"), "key")
            .await
            .unwrap();
        assert_eq!((created.number.get(), replayed), (1, false));
    }
}

/// A create that was not accepted leaves no key behind.
pub async fn refused_create_keeps_its_key_free(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let mut elsewhere = chat;
    elsewhere.chat = number(77).into();
    let refused = scene
        .create_with_key(message(elsewhere, "nowhere"), "key")
        .await;
    assert!(
        matches!(refused, Err(ServiceError::NotFound)),
        "{refused:?}"
    );
    let (_, replayed) = scene
        .create_with_key(message(chat, "here"), "key")
        .await
        .unwrap();
    assert!(!replayed);
}

/// A key still answers for a message whose chat was deleted since.
pub async fn key_outlives_its_chat(ports: Ports) {
    let scene = Scene::new(ports);
    let key = scene.chat().await;
    let (first, _) = scene
        .create_with_key(message(key, "kept"), "key")
        .await
        .unwrap();
    let chats = Sequence::Chats(key.application);
    let owner = scene
        .counter()
        .pending(&chats, key.chat.into())
        .await
        .unwrap();
    scene
        .repository()
        .delete_chat(key, scene.now(), owner)
        .await
        .unwrap();
    scene
        .counter()
        .mark_deleted(&Sequence::Messages(key))
        .await
        .unwrap();
    let (again, replayed) = scene
        .create_with_key(message(key, "kept"), "key")
        .await
        .unwrap();
    assert_eq!((again.number, replayed), (first.number, true));
    let other = scene
        .create_with_key(message(key, "kept"), "another-key")
        .await;
    assert!(matches!(other, Err(ServiceError::NotFound)), "{other:?}");
}

/// Below a deleted application no key answers anything.
pub async fn deleted_application_answers_no_key(ports: Ports) {
    let scene = Scene::new(ports);
    let key = scene.chat().await;
    scene
        .create_with_key(message(key, "kept"), "key")
        .await
        .unwrap();
    scene
        .repository()
        .delete_application(key.application, scene.now())
        .await
        .unwrap();
    scene
        .counter()
        .mark_deleted(&Sequence::Chats(key.application))
        .await
        .unwrap();
    let again = scene.create_with_key(message(key, "kept"), "key").await;
    assert!(matches!(again, Err(ServiceError::NotFound)), "{again:?}");
}
