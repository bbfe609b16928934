//! Keys that get lost or expire, and that none is left over.

use std::time::Duration;

use chat_core::{
    model::{Creation, Epoch, Sequence},
    ports::{Basis, Settlement},
};

use crate::{
    private_server::PrivateServer,
    system::{System, message, send, work},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_server_repeats_nothing() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    work(&scene).await;
    let lost = send(&scene, chat, 2).await;
    server.ask("FLUSHALL").await;
    let next = scene.create(message(chat, "after")).await;
    assert_eq!(next.epoch, Epoch::FIRST.next());
    assert!(
        next.number.get() > lost.number.get(),
        "{} again",
        next.number
    );
    assert_eq!(next.number.get(), 3 + Basis::LEAP + 1);
    // The groups are gone too, and are made anew from the first entry.
    assert_eq!(work(&scene).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_counter_leaves_no_gap() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let counter = format!("{{s00}}:{}:{}c", chat.application, chat.chat);
    send(&scene, chat, 2).await;
    for expected in 3..6 {
        // What was given is pending first, then stored, then both.
        assert_eq!(server.number(&format!("DEL {counter}")).await, 1);
        let next = scene.create(message(chat, "more")).await;
        assert_eq!((next.number.get(), next.epoch), (expected, Epoch::FIRST));
        if expected == 3 {
            work(&scene).await;
        }
    }
    assert_eq!(
        server
            .number(&format!("DEL {{s00}}:{}c", chat.application))
            .await,
        1
    );
    let other = scene.chat_of(chat.application).await;
    assert_eq!(other.chat.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_expires_only_with_nothing_pending() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let idle = Duration::from_millis(200);
    let scene = System::new();
    let scene = scene
        .process_with(&server, |config| config.idle = idle)
        .await;
    let chat = scene.chat().await;
    let name = format!("{{s00}}:{}:{}", chat.application, chat.chat);
    let life = async || server.number(&format!("PTTL {name}c")).await;
    assert_eq!(life().await, -1, "its chat's own creation is pending");
    let chats = Sequence::Chats(chat.application);
    let created = scene
        .counter()
        .pending(&chats, chat.chat.into())
        .await
        .unwrap()
        .unwrap();

    // A message is settled while its chat is not, the chat while a message is not, then all.
    let settle = async |creation: &Creation| {
        let stored = scene.store(std::slice::from_ref(creation)).await;
        assert_eq!(stored.len(), 1);
        let settlement = Settlement::of(creation, None);
        scene.counter().settle(&[settlement], &[]).await.unwrap();
    };
    settle(&send(&scene, chat, 1).await).await;
    assert_eq!(life().await, -1, "its chat's own creation is pending still");
    let sent = send(&scene, chat, 1).await;
    settle(&created).await;
    assert_eq!(life().await, -1, "a message is pending");
    settle(&sent).await;
    assert!((1..=200).contains(&life().await), "nothing is pending");
    scene
        .eventually("expiring", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            (life().await == -2).then_some(())
        })
        .await;
    let next = scene.create(message(chat, "after")).await;
    assert_eq!((next.number.get(), next.epoch), (3, Epoch::FIRST));
    assert_eq!(life().await, -1, "it is needed again");

    let silent = scene.chat_of(chat.application).await;
    let owner = scene.counter().pending(&chats, silent.chat.into()).await;
    settle(&owner.unwrap().unwrap()).await;
    let name = format!("{{s00}}:{}:{}c", silent.application, silent.chat);
    let life = server.number(&format!("PTTL {name}")).await;
    assert!(
        (1..=200).contains(&life),
        "a chat without messages is idle: {life}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_counter_that_numbers_nothing_expires() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let application = scene.application().await.id;
    let chat = scene.stored_chat_of(application, 1).await;
    scene.stored_messages(chat, &[1]).await;
    // Both counters are seeded; only the chat's own is used.
    let next = scene.create(message(chat, "next")).await;
    assert_eq!(next.number.get(), 2);
    let life = |name: String| {
        let server = &server;
        async move { server.number(&format!("PTTL {name}")).await }
    };
    assert!(life(format!("{{s00}}:{application}c")).await > 0);
    assert_eq!(life(format!("{{s00}}:{application}:1c")).await, -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_accounted_for() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    for round in 0..20 {
        let text = format!("message-{round}");
        scene
            .create_with_key(message(chat, &text), &text)
            .await
            .unwrap();
    }
    let application = chat.application;
    let of_keys: Vec<String> = server
        .keys()
        .await
        .into_iter()
        .filter(|key| key.contains("imessage-"))
        .collect();
    assert_eq!(of_keys.len(), 20);
    for key in &of_keys {
        let life = server.number(&format!("PTTL {key}")).await;
        assert!(
            (86_000_000..=86_400_000).contains(&life),
            "{key} lives {life} ms"
        );
    }
    assert_eq!(work(&scene).await, 21);
    let mut left = server.keys().await;
    left.retain(|key| !of_keys.contains(key));
    let mut expected = ["b", "e", "m", "n", "q"]
        .map(|kind| format!("{{s00}}:{kind}"))
        .to_vec();
    expected.extend(["c", ":1c"].map(|kind| format!("{{s00}}:{application}{kind}")));
    expected.sort_unstable();
    assert_eq!(left, expected);
    for counter in left.iter().filter(|key| key.ends_with('c')) {
        assert!(
            server.number(&format!("PTTL {counter}")).await > 0,
            "{counter} stays"
        );
    }
    assert_eq!(server.number("XLEN {s00}:q").await, 0);
    assert_eq!(server.text("GET {s00}:b").await, "0");
}
