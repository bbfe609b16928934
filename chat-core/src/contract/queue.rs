//! The laws of [`Queue`](crate::ports::Queue).

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::JoinSet};

use super::scene::{Scene, chat, message, number};
use crate::{
    model::{ApplicationId, ChatKey, Creation, Number},
    ports::{Consumer, Delivery, Entry, Ports, Receipt},
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
                leaving_hands_over,
                backlog_counts_bytes,
                receive_ends_in_time,
                consumers_have_any_name,
            ]
        );
    };
}

/// An entry arrives with the number, epoch, content and `forced` it was given.
pub async fn published_is_received(ports: Ports) {
    let scene = Scene::new(ports);
    let sent = [
        scene.creation(chat(ApplicationId::new(1)), 3),
        scene.creation(message(a_chat(), "\u{1F680} \"quoted\"\n"), 7),
    ];
    for creation in &sent {
        scene.queue().publish(creation, false).await.unwrap();
    }
    let forced = scene.creation(message(a_chat(), "old, and wanted"), 9);
    scene.queue().publish(&forced, true).await.unwrap();
    let mut received = receive(&scene, "one", 3).await;
    received.sort_by_key(|(creation, _)| creation.number);
    for ((creation, delivery), expected) in received.iter().zip(sent.iter().chain([&forced])) {
        assert_eq!((creation, delivery.forced), (expected, expected == &forced));
    }
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
    // Acknowledging twice is harmless, and so is a receipt that was never given out.
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

/// An entry that was given back is delivered again, to any consumer, with a higher attempt.
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

/// What a consumer held when it left comes to another at once.
pub async fn leaving_hands_over(ports: Ports) {
    let scene = Scene::new(ports);
    publish(&scene, 1..=3).await;
    let (sent, _) = receive(&scene, "leaving", 1).await.remove(0);
    let (kept, _) = receive(&scene, "staying", 1).await.remove(0);
    let left = Consumer("leaving".to_owned());
    scene.queue().leave(&left).await.unwrap();
    let taken = receive(&scene, "another", 2).await;
    let taken: Vec<_> = taken.into_iter().map(|(creation, _)| creation).collect();
    assert!(taken.contains(&sent), "what was left did not come again");
    assert!(!taken.contains(&kept), "taken from one who stayed");
}

/// The backlog tells entries and bytes, and is empty once all is done.
pub async fn backlog_counts_bytes(ports: Ports) {
    let scene = Scene::new(ports);
    let backlog = async || scene.queue().backlog().await.unwrap();
    let empty = backlog().await;
    assert_eq!((empty.entries, empty.bytes), (0, 0));
    publish(&scene, 1..=2).await;
    let small = backlog().await;
    assert_eq!(small.entries, 2);
    let large = scene.creation(message(a_chat(), &"x".repeat(10_000)), 3);
    scene.queue().publish(&large, false).await.unwrap();
    let grown = backlog().await;
    assert!(
        grown.bytes >= small.bytes + 10_000,
        "{small:?} then {grown:?}"
    );
    scene.ports.clock.sleep(Duration::from_millis(20)).await;
    let age = backlog().await.oldest;
    assert!(
        age.is_none_or(|age| age >= Duration::from_millis(20)),
        "{age:?}"
    );
    let received = receive(&scene, "one", 3).await;
    let receipts: Vec<_> = received
        .into_iter()
        .map(|(_, delivery)| delivery.receipt)
        .collect();
    scene.queue().acknowledge(&receipts).await.unwrap();
    let done = backlog().await;
    assert_eq!((done.entries, done.bytes), (0, 0));
}

/// With nothing to deliver, `receive` answers an empty batch after its wait.
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

/// A consumer with a long name, in any script, receives as any other does.
pub async fn consumers_have_any_name(ports: Ports) {
    let scene = Scene::new(ports);
    let names = [
        "\u{1F680}".repeat(100),
        "worker-".repeat(50),
        " *>".to_owned(),
    ];
    for (of, name) in (1..).zip(&names) {
        publish(&scene, of..=of).await;
        let (creation, delivery) = receive(&scene, name, 1).await.remove(0);
        assert_eq!(creation.number, number(of));
        scene
            .queue()
            .acknowledge(&[delivery.receipt])
            .await
            .unwrap();
        assert!(take(&scene, name, 9, Duration::ZERO).await.is_empty());
    }
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
        scene.queue().publish(&creation, false).await.unwrap();
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
