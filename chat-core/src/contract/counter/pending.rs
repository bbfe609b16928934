//! What was accepted is there until it is settled.

use std::time::Duration;

use crate::{
    contract::{
        Scene,
        scene::{key, message, messages_of},
    },
    model::{
        Creation, DeadLetterId, Epoch, MessageBody, NumberRange, Order, Sequence, Shard, Submission,
    },
    ports::{Consumer, Numbering, Pending, PendingPage, Placement, Ports, Settlement},
};

/// What was accepted is read by number and by range, in both orders, until it is settled.
pub async fn accepted_is_pending_until_settled(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let sequence = messages_of(chat);
    let mut created = Vec::new();
    for text in ["a", "b", "c", "d"] {
        created.push(scene.create(message(chat, text)).await);
    }
    if !is_pending(&scene, &created[0]).await {
        return;
    }
    for creation in &created {
        let read = scene
            .counter()
            .pending(&sequence, creation.number)
            .await
            .unwrap();
        assert_eq!(read.as_ref(), Some(creation));
    }
    let ascending = NumberRange::new(Some(1), None, Order::Ascending);
    let descending = NumberRange::new(None, Some(4), Order::Descending);
    let read = page(&scene, sequence, ascending, 2).await.creations;
    assert_eq!(read, created[1..3]);
    let read = page(&scene, sequence, descending, 2).await.creations;
    assert_eq!(read, [created[2].clone(), created[1].clone()]);

    settle(&scene, &created[1]).await;
    assert!(!is_pending(&scene, &created[1]).await);
    let left = page(&scene, sequence, NumberRange::all(), 9)
        .await
        .creations;
    assert_eq!(
        left,
        [created[0].clone(), created[2].clone(), created[3].clone()]
    );
}

/// Settling what is settled, or was never there, changes nothing.
pub async fn settling_twice_is_harmless(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "one")).await;
    let other = scene.create(message(chat, "two")).await;
    let pending = is_pending(&scene, &other).await;
    for _ in 0..2 {
        settle(&scene, &created).await;
    }
    settle(&scene, &scene.creation(message(chat, "never"), 99)).await;
    assert_eq!(is_pending(&scene, &other).await, pending);
    assert_eq!(scene.create(message(chat, "three")).await.number.get(), 3);
}

/// Settling one uid leaves another creation with the same number.
pub async fn settling_spares_another_uid(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "one")).await;
    let pending = is_pending(&scene, &created).await;
    settle(
        &scene,
        &scene.creation(message(chat, "one"), created.number.get()),
    )
    .await;
    assert_eq!(is_pending(&scene, &created).await, pending);
}

/// A page carries the last number issued when it was read.
pub async fn pending_page_tells_what_was_issued(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    for expected in 1..=3 {
        scene.create(message(chat, "more")).await;
        let page = page(&scene, messages_of(chat), NumberRange::all(), 10).await;
        // An adapter that stores at once has nothing to wait for, and may name any higher number.
        assert!(page.issued.is_some_and(|issued| issued >= expected));
        if !page.creations.is_empty() {
            assert_eq!(page.issued, Some(expected));
        }
    }
}

/// A counter whose epoch is behind the one given keeps everything pending.
pub async fn older_epoch_does_not_settle(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "one")).await;
    if !is_pending(&scene, &created).await {
        return;
    }
    // Which shards the adapter has is not known here, so more are named than it is likely to have.
    let newer: Vec<_> = (0..64)
        .map(|shard| (Shard::new(shard), created.epoch.next()))
        .collect();
    let behind = scene
        .counter()
        .settle(&[Settlement::of(&created, None)], &newer)
        .await
        .unwrap();
    assert!(behind.iter().all(|(_, epoch)| *epoch == created.epoch) && !behind.is_empty());
    assert!(
        is_pending(&scene, &created).await,
        "a replaced counter let go of what it held"
    );
    let same: Vec<(Shard, Epoch)> = (0..64)
        .map(|shard| (Shard::new(shard), created.epoch))
        .collect();
    let behind = scene
        .counter()
        .settle(&[Settlement::of(&created, None)], &same)
        .await
        .unwrap();
    assert!(behind.is_empty());
    assert!(!is_pending(&scene, &created).await);
}

/// A creation with a dead letter can be read, and is listed with its letter.
pub async fn set_aside_stays_pending(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "one")).await;
    if !is_pending(&scene, &created).await {
        return;
    }
    let letter = DeadLetterId::of_creation(created.draft.uid);
    let (sequence, uid) = (created.sequence(), created.draft.uid);
    let counter = scene.counter();
    counter
        .point_to_letter(&sequence, created.number, uid, Some(letter.clone()))
        .await
        .unwrap();
    assert!(is_pending(&scene, &created).await);
    assert_eq!(
        listed(&scene, &created).await.unwrap().dead_letter,
        Some(letter)
    );
    counter
        .point_to_letter(&sequence, created.number, uid, None)
        .await
        .unwrap();
    assert_eq!(listed(&scene, &created).await.unwrap().dead_letter, None);
}

/// What was accepted and not confirmed is listed once it is old enough.
pub async fn unconfirmed_are_listed(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let submission = Submission {
        draft: scene.draft(message(chat, "one")),
        key: Some(key("unconfirmed")),
    };
    let numbering = scene.counter().create(&submission).await.unwrap();
    let Numbering::Accepted {
        number,
        epoch,
        placement,
    } = numbering
    else {
        panic!("a message of a new chat was answered {numbering:?}");
    };
    let created = Creation {
        number,
        epoch,
        draft: submission.draft,
    };
    assert!(
        placement != Placement::Remembered || scene.counter().leaves_publishing(),
        "nobody would look after what was not published"
    );
    if placement == Placement::Stored {
        return;
    }
    let too_early = created.draft.created_at;
    let early = scene
        .counter()
        .pending_since(too_early, None, 1_000)
        .await
        .unwrap();
    assert!(
        early.iter().all(|pending| pending.creation != created),
        "listed too early"
    );

    let confirmed = placement == Placement::Enqueued;
    assert_eq!(listed(&scene, &created).await.unwrap().confirmed, confirmed);
    scene
        .counter()
        .confirm(&created.sequence(), number, created.draft.uid)
        .await
        .unwrap();
    assert!(listed(&scene, &created).await.unwrap().confirmed);
}

/// A creation whose delivery is acknowledged is read and listed until it is settled.
pub async fn acknowledged_stays_pending(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "one")).await;
    if !is_pending(&scene, &created).await {
        return;
    }
    let worker = Consumer("the law".to_owned());
    let mut received = 0;
    while received < 2 {
        let receiving = scene.queue().receive(&worker, 9, Duration::from_secs(1));
        let taken = receiving.await.unwrap();
        assert!(
            !taken.is_empty(),
            "the chat and its message are in the queue"
        );
        let receipts: Vec<_> = taken.into_iter().map(|it| it.receipt).collect();
        received += receipts.len();
        scene.queue().acknowledge(&receipts).await.unwrap();
    }
    assert!(
        is_pending(&scene, &created).await,
        "it cannot be read any more"
    );
    let listed_page = page(&scene, messages_of(chat), NumberRange::all(), 9).await;
    assert_eq!(listed_page.creations, std::slice::from_ref(&created));
    assert!(listed(&scene, &created).await.is_some());
    settle(&scene, &created).await;
    assert!(!is_pending(&scene, &created).await);
}

/// A page of large texts ends early, and later pages have the rest.
pub async fn pending_page_is_bounded_in_bytes(ports: Ports) {
    const COUNT: usize = 40;
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let large = "x".repeat(MessageBody::MAX);
    let mut created = Vec::new();
    for _ in 0..COUNT {
        created.push(scene.create(message(chat, &large)).await);
    }
    if !is_pending(&scene, &created[0]).await {
        return;
    }
    for order in [Order::Ascending, Order::Descending] {
        let mut rest = NumberRange::new(None, None, order);
        let mut read = Vec::new();
        while read.len() < COUNT {
            let page = page(&scene, messages_of(chat), rest, 1_000).await;
            let sizes = page.creations.iter().map(|it| it.draft.text_bytes());
            let size: usize = sizes.sum();
            let most = PendingPage::BYTES + created[0].draft.text_bytes();
            assert!(size < most, "a page of {size} bytes was read in one piece");
            let last = page.creations.last().expect("there are more").number;
            let is_end = read.len() + page.creations.len() == COUNT;
            assert!(
                is_end || page.is_full(1_000),
                "a page hides that there are more"
            );
            rest = rest.beyond(last);
            read.extend(page.creations);
        }
        if order == Order::Descending {
            read.reverse();
        }
        assert_eq!(read, created);
    }
}

async fn page(scene: &Scene, sequence: Sequence, range: NumberRange, limit: usize) -> PendingPage {
    scene
        .counter()
        .pending_page(&sequence, &range, limit)
        .await
        .unwrap()
}

async fn is_pending(scene: &Scene, creation: &Creation) -> bool {
    let pending = scene
        .counter()
        .pending(&creation.sequence(), creation.number)
        .await
        .unwrap();
    pending.is_some_and(|pending| pending.draft.uid == creation.draft.uid)
}

pub(super) async fn settle(scene: &Scene, creation: &Creation) {
    scene
        .counter()
        .settle(&[Settlement::of(creation, None)], &[])
        .await
        .unwrap();
}

/// The creation as the audit sees it.
async fn listed(scene: &Scene, creation: &Creation) -> Option<Pending> {
    let soon = scene.now().plus(Duration::from_secs(1));
    let listed = scene
        .counter()
        .pending_since(soon, None, 1_000)
        .await
        .unwrap();
    listed
        .into_iter()
        .find(|pending| pending.creation.draft.uid == creation.draft.uid)
}
