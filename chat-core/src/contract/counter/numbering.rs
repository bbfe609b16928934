//! Numbers are given once, by sequences that are known.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::{sync::Barrier, task::JoinSet};

use super::{CALLERS, EACH};
use crate::{
    contract::{
        Scene,
        scene::{chat, message, messages_of},
    },
    model::{ApplicationId, Content, Sequence, Shard},
    ports::{Lease, Numbering, Ports, Seed, Seeding, UnknownSequence},
};

/// A sequence that nobody seeded is unknown or gone, and gives no number.
pub async fn never_starts_by_itself(ports: Ports) {
    let scene = Scene::new(ports);
    scene.application().await;
    let nowhere = ApplicationId::new(987_654_321);
    for _ in 0..3 {
        let numbering = open(&scene, chat(nowhere)).await;
        assert!(
            matches!(numbering, Numbering::Unknown(_) | Numbering::Gone),
            "an unknown sequence answered {numbering:?}"
        );
    }
}

/// Concurrent callers of one sequence receive 1, 2, 3, … each once.
pub async fn never_repeats(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
        callers.spawn(async move {
            barrier.wait().await;
            let mut numbers = Vec::new();
            for _ in 0..EACH {
                numbers.push(scene.create(message(chat, "hello")).await.number.get());
            }
            numbers
        });
    }
    let numbers = callers.join_all().await.concat();
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    let expected: BTreeSet<u64> = (1..=(CALLERS * EACH) as u64).collect();
    assert_eq!(numbers.len(), distinct.len(), "a number was given twice");
    assert_eq!(distinct, expected);
}

/// Drawing from one leaves every other alone, even that of chat 1 of another application.
pub async fn sequences_are_independent(ports: Ports) {
    let scene = Scene::new(ports);
    let (one, other) = (scene.chat().await, scene.chat().await);
    let sibling = scene.chat_of(one.application).await;
    assert_eq!(
        one.chat, other.chat,
        "both are the first chat of their application"
    );
    for expected in 1..=3 {
        for chat in [one, other, sibling] {
            let created = scene.create(message(chat, "hello")).await;
            assert_eq!(created.number.get(), expected);
        }
    }
}

/// A seed of a sequence that is known changes nothing.
pub async fn seed_never_lowers(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let Some((unknown, lease)) = unknown(&scene, application).await else {
        return;
    };
    let UnknownSequence {
        sequence,
        shard,
        epoch,
        ..
    } = unknown;
    let seed = |last| Seed {
        sequence,
        shard,
        epoch,
        lease,
        last,
    };
    assert_eq!(
        scene.counter().seed(&seed(5)).await.unwrap(),
        Seeding::Seeded
    );
    assert_eq!(scene.create(chat(application)).await.number.get(), 6);
    // The same seeder comes once more, with a lower number, as if it had stalled.
    assert_eq!(
        scene.counter().seed(&seed(0)).await.unwrap(),
        Seeding::Refused
    );
    assert_eq!(scene.create(chat(application)).await.number.get(), 7);
}

/// A seed with another lease than the one given out is refused.
pub async fn seed_needs_its_lease(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let Some((unknown, lease)) = unknown(&scene, application).await else {
        return;
    };
    let seed = |lease, last| Seed {
        sequence: unknown.sequence,
        shard: unknown.shard,
        epoch: unknown.epoch,
        lease,
        last,
    };
    let forged = seed(Lease(lease.0.wrapping_add(1)), 7);
    assert_eq!(
        scene.counter().seed(&forged).await.unwrap(),
        Seeding::Refused
    );
    assert_eq!(
        scene.counter().seed(&seed(lease, 41)).await.unwrap(),
        Seeding::Seeded
    );
    assert_eq!(
        scene.counter().seed(&seed(lease, 0)).await.unwrap(),
        Seeding::Refused
    );
    assert_eq!(scene.create(chat(application)).await.number.get(), 42);
}

/// Once a chat has its number, its messages are numbered from 1, without seeding.
pub async fn new_chat_starts_at_one(ports: Ports) {
    let scene = Scene::new(ports);
    for _ in 0..3 {
        let chat = scene.chat().await;
        // This submits only: the sequence is known without anybody seeding it.
        let numbering = scene.submit(message(chat, "at once")).await;
        assert!(
            matches!(numbering, Numbering::Accepted { number, .. } if number.get() == 1),
            "the first message of a new chat was answered {numbering:?}"
        );
    }
}

/// Once marked, a sequence numbers nothing and cannot be seeded.
pub async fn deleted_stays_deleted(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "before")).await;
    let sequence = messages_of(chat);
    let chats = Sequence::Chats(chat.application);
    let owner = scene
        .counter()
        .pending(&chats, chat.chat.into())
        .await
        .unwrap();
    scene
        .repository()
        .delete_chat(chat, scene.now(), owner)
        .await
        .unwrap();
    scene.counter().mark_deleted(&sequence).await.unwrap();
    assert_eq!(scene.submit(message(chat, "after")).await, Numbering::Gone);
    let seed = Seed {
        sequence,
        shard: Shard::ONLY,
        epoch: created.epoch,
        lease: Lease(0),
        last: 100,
    };
    assert_eq!(scene.counter().seed(&seed).await.unwrap(), Seeding::Refused);
    assert_eq!(scene.submit(message(chat, "after")).await, Numbering::Gone);
}

/// The next caller need not wait for a seeder that gave up; nobody can give back another caller's lease.
pub async fn lease_given_back_is_handed_out_at_once(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let Some((unknown, lease)) = unknown(&scene, application).await else {
        return;
    };
    let ask = async || match scene.submit(chat(application)).await {
        Numbering::Unknown(unknown) => unknown.lease,
        numbering => panic!("a sequence that nobody seeded was answered {numbering:?}"),
    };
    let release_lease = async |lease| {
        let counter = scene.counter();
        counter
            .release_lease(&unknown.sequence, lease)
            .await
            .unwrap();
    };
    assert_eq!(ask().await, None, "two callers have the lease");
    release_lease(Lease(lease.0.wrapping_add(1))).await;
    assert_eq!(
        ask().await,
        None,
        "somebody gave back what another one holds"
    );
    release_lease(lease).await;
    let next = ask().await.expect("it is free at once");
    // The first caller can no longer seed, nor give back the lease that it has lost.
    release_lease(lease).await;
    assert_eq!(ask().await, None, "a lease was given back twice");
    let seed = |lease, last| Seed {
        sequence: unknown.sequence,
        shard: unknown.shard,
        epoch: unknown.epoch,
        lease,
        last,
    };
    let late = scene.counter().seed(&seed(lease, 7)).await.unwrap();
    assert_eq!(late, Seeding::Refused);
    let seeded = scene.counter().seed(&seed(next, 41)).await.unwrap();
    assert_eq!(seeded, Seeding::Seeded);
    release_lease(next).await;
    assert_eq!(scene.create(chat(application)).await.number.get(), 42);
}

/// Submits until the shard is open.
async fn open(scene: &Scene, content: Content) -> Numbering {
    for _ in 0..10 {
        match scene.submit(content.clone()).await {
            Numbering::Closed(shard) => scene.open(shard).await,
            numbering => return numbering,
        }
    }
    panic!("the shard did not open in ten tries");
}

/// The lease of an application's unknown sequence; `None` where the counter knows it by itself.
async fn unknown(scene: &Scene, application: ApplicationId) -> Option<(UnknownSequence, Lease)> {
    match open(scene, chat(application)).await {
        Numbering::Unknown(unknown) => {
            let lease = unknown.lease.expect("the first caller gets the lease");
            Some((unknown, lease))
        }
        Numbering::Accepted { .. } => None,
        numbering => panic!("an application that nobody seeded was answered {numbering:?}"),
    }
}
