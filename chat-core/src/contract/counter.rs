//! The laws of [`Counter`](crate::ports::Counter).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};

use super::scene::{Scene, chat, key, message, messages_of, number};
use crate::{
    model::{
        ApplicationId, Content, Creation, DeadLetterId, Epoch, NumberRange, Order, Sequence, Shard,
        Submission,
    },
    ports::{Lease, Numbering, Placement, Ports, Seed, Seeding, Settlement, UnknownSequence},
    service::ServiceError,
};

/// Mounts the laws of the counter as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __counter_contract {
    ($maker:expr) => {
        $crate::__laws!(
            counter,
            $maker,
            [
                never_starts_by_itself,
                never_repeats,
                sequences_are_independent,
                seed_never_lowers,
                seed_needs_its_lease,
                seed_looks_at_pending,
                new_chat_starts_at_one,
                deleted_stays_deleted,
                same_key_same_answer,
                key_of_another_request_is_refused,
                keys_belong_to_an_application,
                refused_create_keeps_its_key_free,
                accepted_is_pending_until_settled,
                settling_twice_is_harmless,
                settling_spares_another_uid,
                pending_page_tells_what_was_issued,
                older_epoch_does_not_settle,
                set_aside_stays_pending,
                unconfirmed_are_listed,
            ]
        );
    };
}

/// How many callers race each other.
const CALLERS: usize = 16;

/// How many creations each of them makes.
const EACH: usize = 50;

/// A sequence that nobody seeded is unknown or gone, and gives nothing.
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

/// Drawing from one leaves every other alone, also the chat 1 of another application.
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

/// A seed below what was given changes nothing.
pub async fn seed_never_lowers(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let created = scene.create(message(chat, "one")).await;
    let seed = Seed {
        sequence: messages_of(chat),
        shard: Shard::ONLY,
        epoch: created.epoch,
        lease: Lease(0),
        last: 0,
    };
    assert_eq!(scene.counter().seed(&seed).await.unwrap(), Seeding::Refused);
    assert_eq!(scene.create(message(chat, "two")).await.number.get(), 2);
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

/// A seed below a pending number continues above that number.
pub async fn seed_looks_at_pending(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await.id;
    let first = scene.create(chat(application)).await;
    let pending = scene
        .counter()
        .pending(&first.sequence(), first.number)
        .await
        .unwrap();
    // Only an adapter that can be made to forget shows more; the state machine does.
    if pending.is_some() {
        let page = page(&scene, first.sequence(), NumberRange::all().up_to(0), 1).await;
        assert_eq!(page.highest_pending, first.number.get());
    }
    assert_eq!(scene.create(chat(application)).await.number.get(), 2);
}

/// Right after a chat was numbered its messages are, from 1.
pub async fn new_chat_starts_at_one(ports: Ports) {
    let scene = Scene::new(ports);
    for _ in 0..3 {
        let chat = scene.chat().await;
        // No help: the sequence is known without anybody seeding it.
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

/// Settling one uid leaves another creation of that number.
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

/// A page carries the last issued number of its moment.
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
    // The highest shard number that any adapter uses is not known here, so all are named.
    let newer: Vec<_> = (0..64)
        .map(|shard| (Shard::new(shard), created.epoch.next()))
        .collect();
    let behind = scene
        .counter()
        .settle(&[settlement(&created)], &newer)
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
        .settle(&[settlement(&created)], &same)
        .await
        .unwrap();
    assert!(behind.is_empty());
    assert!(!is_pending(&scene, &created).await);
}

/// A creation with a dead letter can be read and is not handed out for publishing.
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
        .set_aside(&sequence, created.number, uid, Some(letter.clone()))
        .await
        .unwrap();
    assert!(is_pending(&scene, &created).await);
    assert_eq!(
        listed(&scene, &created).await.unwrap().dead_letter,
        Some(letter)
    );
    counter
        .set_aside(&sequence, created.number, uid, None)
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
        .confirm(&created.sequence(), number)
        .await
        .unwrap();
    assert!(listed(&scene, &created).await.unwrap().confirmed);
}

/// Submits until the shard is open.
async fn open(scene: &Scene, content: Content) -> Numbering {
    for _ in 0..10 {
        match scene.submit(content.clone()).await {
            Numbering::Closed(sighting) => {
                let admission = scene.repository().admit(&sighting).await.unwrap();
                scene.counter().open(&admission).await.unwrap();
            }
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

async fn page(
    scene: &Scene,
    sequence: Sequence,
    range: NumberRange,
    limit: usize,
) -> crate::ports::PendingPage {
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

fn settlement(creation: &Creation) -> Settlement {
    Settlement {
        sequence: creation.sequence(),
        number: creation.number,
        uid: creation.draft.uid,
        receipt: None,
    }
}

async fn settle(scene: &Scene, creation: &Creation) {
    scene
        .counter()
        .settle(&[settlement(creation)], &[])
        .await
        .unwrap();
}

/// The creation as the audit sees it.
async fn listed(scene: &Scene, creation: &Creation) -> Option<crate::ports::Pending> {
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
