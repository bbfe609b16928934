//! What a counter forgets is restored from what is stored and what is pending.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use tokio::{sync::Barrier, task::JoinSet};

use super::{CALLERS, pending::settle};
use crate::{
    contract::{
        Scene,
        scene::{chat, message, messages_of, number},
    },
    model::{ChatKey, Creation, Sequence},
    ports::{Numbering, Ports, Seed, Seeding},
};

/// Makes a counter forget a sequence, as an eviction or a stray deletion does; what is pending stays.
pub type Forget = Box<dyn Fn(Sequence) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A system whose counter can be made to forget behind its back.
pub struct Forgetful {
    /// The ports under test, among others.
    pub ports: Ports,
    /// Makes the counter forget; it does nothing for a counter that cannot.
    pub forget: Forget,
}

/// An evicted sequence, with some of its creations stored and some pending, goes on without gaps or
/// repeats, even if callers race.
pub async fn forgotten_sequence_goes_on(system: Forgetful) {
    let Forgetful { ports, forget } = system;
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let first = scene.create(chat(application)).await;
    let key = ChatKey {
        application,
        chat: first.number.into(),
    };
    let write = async || scene.create(message(key, "hello")).await;
    let mut sent = vec![write().await, write().await, write().await];
    // With the chat itself and the last message pending, and the others stored.
    keep(&scene, &sent[..2]).await;
    forget(messages_of(key)).await;
    sent.push(write().await);
    assert_eq!(numbers(&sent), [1, 2, 3, 4]);

    // With nothing pending.
    keep(&scene, std::slice::from_ref(&first)).await;
    keep(&scene, &sent).await;
    forget(Sequence::Chats(application)).await;
    forget(messages_of(key)).await;
    assert_eq!(scene.create(chat(application)).await.number.get(), 2);
    sent.push(write().await);
    assert_eq!(numbers(&sent), [1, 2, 3, 4, 5]);

    for round in 1..=10 {
        forget(messages_of(key)).await;
        let barrier = Arc::new(Barrier::new(CALLERS));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
            callers.spawn(async move {
                barrier.wait().await;
                scene.create(message(key, "hello")).await
            });
        }
        let created = callers.join_all().await;
        keep(&scene, &created[..CALLERS / 2]).await;
        sent.extend(created);
        let distinct: BTreeSet<u64> = numbers(&sent).into_iter().collect();
        let expected: BTreeSet<u64> = (1..=(5 + round * CALLERS) as u64).collect();
        assert_eq!(sent.len(), distinct.len(), "a number was given twice");
        assert_eq!(distinct, expected);
    }
}

/// A lease ends as soon as its sequence is known or gone, so it cannot seed a sequence that is
/// forgotten again.
pub async fn lease_ends_once_known(system: Forgetful) {
    let Forgetful { ports, forget } = system;
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let first = scene.create(chat(application)).await;
    let key = ChatKey {
        application,
        chat: number(first.number.get() + 1).into(),
    };
    let Some(early) = leave_to_seed(&scene, key).await else {
        return;
    };
    assert_eq!(
        scene.create(chat(application)).await.number,
        key.chat.into()
    );
    let mut sent = vec![scene.create(message(key, "hello")).await];
    keep(&scene, &sent).await;
    forget(messages_of(key)).await;
    assert_eq!(
        scene.counter().seed(&early).await.unwrap(),
        Seeding::Refused
    );
    sent.push(scene.create(message(key, "hello")).await);
    assert_eq!(numbers(&sent), [1, 2]);

    forget(messages_of(key)).await;
    let Some(late) = leave_to_seed(&scene, key).await else {
        return;
    };
    scene
        .counter()
        .mark_deleted(&messages_of(key))
        .await
        .unwrap();
    forget(messages_of(key)).await;
    assert_eq!(scene.counter().seed(&late).await.unwrap(), Seeding::Refused);
}

/// A lease comes with the highest number that was pending when it was granted, even if that is settled
/// before the seed.
pub async fn lease_tells_what_is_pending(system: Forgetful) {
    let Forgetful { ports, forget } = system;
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let key = ChatKey {
        application,
        chat: scene.create(chat(application)).await.number.into(),
    };
    let write = async || scene.create(message(key, "hello")).await;
    let sent = [write().await, write().await, write().await];
    forget(messages_of(key)).await;
    let Some(seed) = leave_to_seed(&scene, key).await else {
        return;
    };
    keep(&scene, &sent).await;
    let seeded = scene.counter().seed(&seed).await.unwrap();
    assert_eq!(seeded, Seeding::Seeded);
    assert_eq!(write().await.number.get(), 4);
}

/// Takes the lease on a chat's messages, and answers its seed; `None` if they need no seeding.
async fn leave_to_seed(scene: &Scene, key: ChatKey) -> Option<Seed> {
    let Numbering::Unknown(unknown) = scene.submit(message(key, "hello")).await else {
        return None;
    };
    Some(Seed {
        sequence: unknown.sequence,
        shard: unknown.shard,
        epoch: unknown.epoch,
        lease: unknown.lease.expect("nobody else has asked"),
        last: unknown.highest_pending,
    })
}

fn numbers(creations: &[Creation]) -> Vec<u64> {
    creations.iter().map(|it| it.number.get()).collect()
}

/// Stores creations and settles them, as a worker does.
async fn keep(scene: &Scene, creations: &[Creation]) {
    scene.store(creations).await;
    for creation in creations {
        settle(scene, creation).await;
    }
}
