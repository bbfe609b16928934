//! Entries that are foreign, held by dead consumers, or kept for their pending creation.

use std::time::Duration;

use chat_core::{
    model::{DeadLetterId, Epoch, Number, NumberRange},
    ports::{Consumer, Entry, Settlement},
};

use crate::{
    private_server::PrivateServer,
    system::{System, bare, message, receive, send, work},
};

#[tokio::test(flavor = "multi_thread")]
async fn foreign_entries_come_as_what_they_are() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    server.ask("XADD {s00}:q * colour blue").await;
    server.ask("XADD {s00}:q * n 7 e 2 s 1:1 d garbage").await;
    server.ask("XADD {s00}:q * n 8 e 2 s 1:1 d {\"v\":9}").await;
    let received = receive(&scene, "worker").await;
    let mut seen = Vec::new();
    for delivery in &received {
        let Entry::Unreadable {
            number,
            epoch,
            payload,
            newer,
            ..
        } = &delivery.entry
        else {
            panic!("garbage was read: {:?}", delivery.entry);
        };
        let payload = String::from_utf8(payload.clone()).unwrap();
        seen.push((number.map(Number::get), *epoch, payload, *newer));
    }
    let two = Epoch::new(2);
    let expected = [
        (None, Epoch::NONE, "colour=blue\n".to_owned(), false),
        (Some(7), two, "garbage".to_owned(), false),
        (Some(8), two, "{\"v\":9}".to_owned(), true),
    ];
    assert_eq!(seen, expected);
    let receipts: Vec<_> = received.into_iter().map(|it| it.receipt).collect();
    scene.queue().acknowledge(&receipts).await.unwrap();
    assert_eq!(server.number("XLEN {s00}:q").await, 0);
    assert_eq!(scene.queue().backlog().await.unwrap().bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_hold_is_taken_over() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let short = Duration::from_millis(300);
    let scene = system
        .process_with(&server, |config| config.takeover = short)
        .await;
    let chat = scene.chat().await;
    send(&scene, chat, 2).await;
    let held = receive(&scene, "dead").await;
    assert_eq!(held.len(), 3);
    assert!(
        receive(&scene, "alive").await.is_empty(),
        "taken from the living"
    );
    let taken = scene.eventually("taking over", async || {
        let taken = receive(&scene, "alive").await;
        (!taken.is_empty()).then_some(taken)
    });
    let taken = taken.await;
    assert_eq!(taken.len(), 3);
    assert!(taken.iter().all(|delivery| delivery.attempt > 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_filled_from_one_busy_shard() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let scene = system
        .process_with(&server, |config| config.shards = 16)
        .await;
    let chat = scene.chat().await;
    send(&scene, chat, 399).await;
    assert_eq!(receive(&scene, "worker").await.len(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_stays_readable_and_is_not_waited_for() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let sent = send(&scene, chat, 1).await;
    let (sequence, uid) = (sent.sequence(), sent.draft.uid);
    let counter = scene.counter();
    for delivery in receive(&scene, "worker").await {
        let letter = DeadLetterId::of_creation(uid);
        let pointed = counter.point_to_letter(&sequence, sent.number, uid, Some(letter));
        pointed.await.unwrap();
        scene
            .queue()
            .acknowledge(&[delivery.receipt])
            .await
            .unwrap();
    }
    assert!(receive(&scene, "worker").await.is_empty());
    let backlog = scene.queue().backlog().await.unwrap();
    assert_eq!((backlog.entries, backlog.oldest), (0, Some(Duration::ZERO)));
    let page = counter
        .pending_page(&sequence, &NumberRange::all(), 9)
        .await
        .unwrap();
    assert_eq!(page.creations, std::slice::from_ref(&sent));

    // Once replayed it is delivered again, and nothing of either entry stays.
    scene.queue().publish(&sent, true).await.unwrap();
    counter
        .point_to_letter(&sequence, sent.number, uid, None)
        .await
        .unwrap();
    let again = receive(&scene, "worker").await;
    assert_eq!(again.len(), 1);
    let receipt = again.into_iter().next().unwrap().receipt;
    let chats = chat_core::model::Sequence::Chats(chat.application);
    let owner = counter
        .pending(&chats, chat.chat.into())
        .await
        .unwrap()
        .unwrap();
    let settlements = [
        Settlement::of(&sent, Some(receipt)),
        Settlement::of(&owner, None),
    ];
    counter.settle(&settlements, &[]).await.unwrap();
    assert_eq!(server.number("XLEN {s00}:q").await, 0);
    assert_eq!(server.text("GET {s00}:b").await, "0");
    let dropped = send(&scene, chat, 1).await;
    let letter = Some(DeadLetterId::of_creation(dropped.draft.uid));
    let (number, uid) = (dropped.number, dropped.draft.uid);
    counter
        .point_to_letter(&sequence, number, uid, letter)
        .await
        .unwrap();
    let settlement = Settlement::of(&dropped, None);
    counter.settle(&[settlement], &[]).await.unwrap();
    let kept = ["d", "k", "f"].map(|kind| format!("{{s00}}:{kind}"));
    assert_eq!(
        server.number(&format!("EXISTS {}", kept.join(" "))).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_passes_over_what_cannot_be_read() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let first = send(&scene, chat, 1).await;
    // A newer program numbered the second one.
    let name = format!("{}:{}", chat.application, chat.chat);
    let id = server
        .text(&format!("XADD {{s00}}:q * n 2 e 1 s {name} d {{\"v\":9}}"))
        .await;
    let newer = "x".repeat(16);
    let member = format!("2_{id}_7_{newer}");
    let mut adding = redis::cmd("RPUSH");
    adding
        .arg(format!("{{s00}}:{name}p"))
        .arg(member.replace('_', " "));
    server.run(&adding).await;
    server.ask(&format!("SET {{s00}}:{name}c 1:2")).await;
    let third = send(&scene, chat, 1).await;
    assert_eq!(third.number.get(), 3);
    let (sequence, all) = (first.sequence(), NumberRange::all());
    let page = scene.counter().pending_page(&sequence, &all, 2);
    assert_eq!(page.await.unwrap().creations, [first, third]);

    // The old worker sets it aside; its payload stays for the newer program.
    for delivery in receive(&scene, "worker").await {
        scene
            .queue()
            .acknowledge(&[delivery.receipt])
            .await
            .unwrap();
    }
    assert_eq!(server.number(&format!("EXISTS {{s00}}:{name}p")).await, 1);
    assert_eq!(server.number("XLEN {s00}:q").await, 4);
    assert_eq!(scene.queue().backlog().await.unwrap().entries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_leaves_is_no_consumer_any_more() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 2).await;
    assert_eq!(receive(&scene, "leaving").await.len(), 3);
    let leaving = Consumer("leaving".to_owned());
    scene.queue().leave(&leaving).await.unwrap();
    assert_eq!(work(&scene).await, 3);
    scene
        .queue()
        .leave(&Consumer("worker".to_owned()))
        .await
        .unwrap();
    let consumers = server.ask("XINFO CONSUMERS {s00}:q workers").await;
    let consumers: Vec<redis::Value> = redis::from_redis_value(consumers).unwrap();
    assert_eq!(consumers.len(), 1, "only nobody is left: {consumers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_made_anew() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 1).await;
    receive(&scene, "worker").await;
    server.ask("CLIENT KILL TYPE normal").await;
    let received = scene.eventually("receiving again", async || {
        let consumer = Consumer("worker".to_owned());
        let received = scene.queue().receive(&consumer, 9, Duration::ZERO).await;
        received.ok().filter(|received| !received.is_empty())
    });
    assert_eq!(received.await.len(), 2);
    let next = scene.eventually("creating again", async || {
        let submission = bare(&scene, message(chat, "after"));
        scene.counter().create(&submission).await.ok()
    });
    next.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_consumer_that_holds_nothing_is_removed() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let short = Duration::from_millis(40);
    let scene = system
        .process_with(&server, |config| config.silence = short)
        .await;
    let chat = scene.chat().await;
    // A consumer only exists once it has taken something.
    let taken = receive(&scene, "silent").await;
    let receipts: Vec<_> = taken.into_iter().map(|it| it.receipt).collect();
    scene.queue().give_back(&receipts).await.unwrap();
    assert_eq!(receive(&scene, "holding").await.len(), 1);
    send(&scene, chat, 1).await;
    scene
        .eventually("removing", async || {
            receive(&scene, "busy").await;
            let consumers = server.ask("XINFO CONSUMERS {s00}:q workers").await;
            let consumers = format!("{consumers:?}");
            assert!(consumers.contains("holding"), "{consumers}");
            (!consumers.contains("silent")).then_some(())
        })
        .await;
    assert_eq!(receive(&scene, "holding").await.len(), 1);
}
