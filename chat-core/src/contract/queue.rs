//! The laws of [`Queue`](crate::ports::Queue).

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::JoinSet};

use super::scene::{Scene, chat, message, number};
use crate::{
    model::{ApplicationId, ChatKey, Creation, DeadLetter, DeadLetterId, DeadLetterReason, Number},
    ports::{Backlog, Consumer, Delivery, Entry, Ports, Receipt},
};

/// Mounts the laws of the queue as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __queue_contract {
    ($maker:expr) => {
        $crate::__laws!(
            queue,
            $maker,
            [
                published_is_received,
                one_consumer_at_a_time,
                acknowledged_is_gone,
                given_back_comes_again,
                unacknowledged_comes_again,
                dead_consumers_are_relieved,
                backlog_counts_bytes,
                dead_letter_is_kept_once,
                replayed_letter_comes_again,
                dropped_letter_is_gone,
                letters_are_paged,
                receive_ends_in_time,
            ]
        );
    };
}

/// What was published comes with its number, epoch and content.
pub async fn published_is_received(ports: Ports) {
    let scene = Scene::new(ports);
    let sent = [
        scene.creation(chat(ApplicationId::new(1)), 3),
        scene.creation(message(a_chat(), "\u{1F680} \"quoted\"\n"), 7),
    ];
    for creation in &sent {
        scene.queue().publish(creation).await.unwrap();
    }
    let mut received = receive(&scene, "one", 2).await;
    received.sort_by_key(|(creation, _)| creation.number);
    let creations: Vec<_> = received.into_iter().map(|(creation, _)| creation).collect();
    assert_eq!(creations, sent);
}

/// Concurrent consumers receive different entries.
pub async fn one_consumer_at_a_time(ports: Ports) {
    const CONSUMERS: usize = 8;
    const ENTRIES: u64 = 200;
    let scene = Scene::new(ports);
    publish(&scene, 1..=ENTRIES).await;
    let barrier = Arc::new(Barrier::new(CONSUMERS));
    let mut consumers = JoinSet::new();
    for consumer in 0..CONSUMERS {
        let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
        consumers.spawn(async move {
            let consumer = format!("consumer {consumer}");
            let mut taken = Vec::new();
            barrier.wait().await;
            loop {
                let batch = take(&scene, &consumer, 10, Duration::from_millis(100)).await;
                if batch.is_empty() {
                    return taken;
                }
                let receipts: Vec<_> = batch.iter().map(|it| it.receipt.clone()).collect();
                taken.extend(batch.iter().map(|delivery| creation(delivery).number));
                scene.queue().acknowledge(&receipts).await.unwrap();
            }
        });
    }
    let taken = consumers.join_all().await.concat();
    let distinct: BTreeSet<Number> = taken.iter().copied().collect();
    assert_eq!(
        taken.len(),
        distinct.len(),
        "an entry went to two consumers"
    );
    assert_eq!(distinct.len() as u64, ENTRIES);
}

/// An acknowledged entry never comes again.
pub async fn acknowledged_is_gone(ports: Ports) {
    let scene = Scene::new(ports);
    publish(&scene, 1..=3).await;
    let received = receive(&scene, "one", 3).await;
    scene
        .queue()
        .acknowledge(&[received[1].1.receipt.clone()])
        .await
        .unwrap();
    // Acknowledging twice is harmless, and what is nobody's receipt is nobody's business.
    let nobodys = Receipt("nobody".to_owned());
    scene
        .queue()
        .acknowledge(&[received[1].1.receipt.clone(), nobodys])
        .await
        .unwrap();
    let left = receive(&scene, "one", 2).await;
    let left: Vec<_> = left.iter().map(|(creation, _)| creation.number).collect();
    assert_eq!(left, [received[0].0.number, received[2].0.number]);
    assert!(take(&scene, "two", 9, Duration::ZERO).await.is_empty());
}

/// An entry that was given back comes to somebody, with a higher attempt.
pub async fn given_back_comes_again(ports: Ports) {
    let scene = Scene::new(ports);
    publish(&scene, 1..=1).await;
    let (_, first) = receive(&scene, "one", 1).await.remove(0);
    scene
        .queue()
        .give_back(std::slice::from_ref(&first.receipt))
        .await
        .unwrap();
    let (_, second) = receive(&scene, "two", 1).await.remove(0);
    assert!(
        second.attempt > first.attempt,
        "{} then {}",
        first.attempt,
        second.attempt
    );
}

/// A consumer that starts again under its name receives what it held, before anything new.
pub async fn unacknowledged_comes_again(ports: Ports) {
    let scene = Scene::new(ports);
    publish(&scene, 1..=2).await;
    let held = receive(&scene, "one", 2).await;
    publish(&scene, 3..=3).await;
    let again = receive(&scene, "one", 2).await;
    let numbers = |received: &[(Creation, Delivery)]| {
        received
            .iter()
            .map(|(creation, _)| creation.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&again), numbers(&held));
}

/// Entries of a consumer that stays away go to another in time.
pub async fn dead_consumers_are_relieved(ports: Ports) {
    let scene = Scene::new(ports);
    publish(&scene, 1..=1).await;
    let (sent, _) = receive(&scene, "dead", 1).await.remove(0);
    assert!(
        take(&scene, "alive", 1, Duration::ZERO).await.is_empty(),
        "taken from the living"
    );
    let taken = scene.eventually("taking over", async || {
        take(&scene, "alive", 1, Duration::ZERO).await.pop()
    });
    assert_eq!(creation(&taken.await), sent);
}

/// The backlog tells entries and bytes, and is zero once all is done.
pub async fn backlog_counts_bytes(ports: Ports) {
    let scene = Scene::new(ports);
    assert_eq!(scene.queue().backlog().await.unwrap(), Backlog::default());
    publish(&scene, 1..=2).await;
    let small = scene.queue().backlog().await.unwrap();
    assert_eq!(small.entries, 2);
    let large = scene.creation(message(a_chat(), &"x".repeat(10_000)), 3);
    scene.queue().publish(&large).await.unwrap();
    let grown = scene.queue().backlog().await.unwrap();
    assert!(
        grown.bytes >= small.bytes + 10_000,
        "{small:?} then {grown:?}"
    );
    let received = receive(&scene, "one", 3).await;
    assert_eq!(
        scene.queue().backlog().await.unwrap().entries,
        3,
        "what is held still waits"
    );
    let receipts: Vec<_> = received
        .into_iter()
        .map(|(_, delivery)| delivery.receipt)
        .collect();
    scene.queue().acknowledge(&receipts).await.unwrap();
    assert_eq!(scene.queue().backlog().await.unwrap(), Backlog::default());
}

/// Adding the same letter again keeps its first failure and updates its last.
pub async fn dead_letter_is_kept_once(ports: Ports) {
    let scene = Scene::new(ports);
    let first = letter(&scene, 1);
    scene.queue().add_dead_letter(&first).await.unwrap();
    let later = DeadLetter {
        detail: "once more".to_owned(),
        first_failed_at: first.first_failed_at.plus(Duration::from_mins(1)),
        last_failed_at: first.last_failed_at.plus(Duration::from_mins(1)),
        ..first.clone()
    };
    scene.queue().add_dead_letter(&later).await.unwrap();
    let kept = scene.queue().dead_letters(None, 10).await.unwrap();
    let expected = DeadLetter {
        first_failed_at: first.first_failed_at,
        ..later
    };
    assert_eq!(kept, std::slice::from_ref(&expected));
    assert_eq!(
        scene.queue().dead_letter(&expected.id).await.unwrap(),
        Some(expected)
    );
}

/// A replayed letter is received again, forced if asked, and is no letter any more.
pub async fn replayed_letter_comes_again(ports: Ports) {
    let scene = Scene::new(ports);
    for (of, force) in [(1, false), (2, true)] {
        let letter = letter(&scene, of);
        scene.queue().add_dead_letter(&letter).await.unwrap();
        assert!(scene.queue().replay(&letter.id, force).await.unwrap());
        let (creation, delivery) = receive(&scene, "one", 1).await.remove(0);
        assert_eq!(
            (Some(creation), delivery.forced),
            (letter.creation.clone(), force)
        );
        scene
            .queue()
            .acknowledge(&[delivery.receipt])
            .await
            .unwrap();
        assert!(!scene.queue().replay(&letter.id, force).await.unwrap());
        assert_eq!(scene.queue().dead_letter(&letter.id).await.unwrap(), None);
    }
}

/// A dropped letter is handed back once, then it is unknown.
pub async fn dropped_letter_is_gone(ports: Ports) {
    let scene = Scene::new(ports);
    let letter = letter(&scene, 1);
    scene.queue().add_dead_letter(&letter).await.unwrap();
    let dropped = scene.queue().drop_dead_letter(&letter.id).await.unwrap();
    assert_eq!(dropped.as_ref(), Some(&letter));
    assert_eq!(
        scene.queue().drop_dead_letter(&letter.id).await.unwrap(),
        None
    );
    assert!(take(&scene, "one", 1, Duration::ZERO).await.is_empty());
}

/// Letters are listed by id, after a given one.
pub async fn letters_are_paged(ports: Ports) {
    let scene = Scene::new(ports);
    let mut letters: Vec<_> = (1..=7).map(|of| letter(&scene, of)).collect();
    for letter in &letters {
        scene.queue().add_dead_letter(letter).await.unwrap();
    }
    letters.sort_by(|one, other| one.id.cmp(&other.id));
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|letter: &DeadLetter| letter.id.clone());
        let page = scene.queue().dead_letters(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, letters);
}

/// With nothing to do, `receive` answers nothing within its wait.
pub async fn receive_ends_in_time(ports: Ports) {
    let scene = Scene::new(ports);
    let began = Instant::now();
    assert!(
        take(&scene, "one", 5, Duration::from_millis(300))
            .await
            .is_empty()
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "waited {:?}",
        began.elapsed()
    );
}

fn a_chat() -> ChatKey {
    ChatKey {
        application: ApplicationId::new(1),
        chat: number(1).into(),
    }
}

async fn publish(scene: &Scene, numbers: impl Iterator<Item = u64>) {
    for of in numbers {
        let creation = scene.creation(message(a_chat(), &format!("message {of}")), of);
        scene.queue().publish(&creation).await.unwrap();
    }
}

async fn take(scene: &Scene, consumer: &str, most: usize, wait: Duration) -> Vec<Delivery> {
    let consumer = Consumer(consumer.to_owned());
    scene.queue().receive(&consumer, most, wait).await.unwrap()
}

/// Receives as many creations as are known to be there.
async fn receive(scene: &Scene, consumer: &str, count: usize) -> Vec<(Creation, Delivery)> {
    let received = scene.eventually("receiving", async || {
        let deliveries = take(scene, consumer, count, Duration::from_millis(100)).await;
        (deliveries.len() == count).then_some(deliveries)
    });
    let with_creation = |delivery: Delivery| (creation(&delivery), delivery);
    received.await.into_iter().map(with_creation).collect()
}

fn creation(delivery: &Delivery) -> Creation {
    match &delivery.entry {
        Entry::Creation(creation) => creation.clone(),
        Entry::Unreadable { detail, .. } => panic!("an entry came back unreadable: {detail}"),
    }
}

fn letter(scene: &Scene, of: u64) -> DeadLetter {
    let creation = scene.creation(message(a_chat(), "refused"), of);
    DeadLetter {
        id: DeadLetterId::of_creation(creation.draft.uid),
        reason: DeadLetterReason::Refused,
        detail: "the law says so".to_owned(),
        payload: creation.draft.encode(),
        creation: Some(creation),
        first_failed_at: scene.now(),
        last_failed_at: scene.now(),
    }
}
