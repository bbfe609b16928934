//! Lost connections and brokers that say nothing.

use std::time::Duration;

use chat_core::{PortErrorKind, ports::Queue as _};
use lapin::options::QueueDeleteOptions;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    broker::{Broker, MOMENT, creation, numbers, one, receive},
    proxy::Way,
};

/// Publishes, with retries for a few seconds.
async fn publish_at_last(queue: &chat_adapter_rabbitmq::RabbitMqQueue, number: u64) {
    for _ in 0..50 {
        if queue.publish(&creation(number), false).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("publishing does not work again");
}

#[tokio::test]
async fn a_cut_connection_is_told_at_once_and_made_anew() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let queue = broker.process().await;
    queue.publish(&creation(1), false).await.unwrap();
    let held = receive(&queue, 1).await;
    broker.proxy.set(Way::Cut);
    sleep(MOMENT).await;
    let began = Instant::now();
    let error = queue.publish(&creation(2), false).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(began.elapsed() < MOMENT, "{:?}", began.elapsed());
    let error = queue.receive(&one(), 1, MOMENT).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    broker.proxy.set(Way::Open);
    publish_at_last(&queue, 3).await;
    // Nobody acknowledged the first one; its receipt has no effect any more.
    let receipts = [held[0].receipt.clone()];
    queue.acknowledge(&receipts).await.unwrap();
    let again = receive(&queue, 2).await;
    let mut came = numbers(&again);
    came.sort_unstable();
    assert_eq!(came, [1, 3]);
    let first = again
        .iter()
        .find(|it| numbers(std::slice::from_ref(it)) == [1]);
    assert!(first.unwrap().attempt > held[0].attempt);
}

#[tokio::test]
async fn a_silent_broker_costs_one_deadline() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let queue = broker.process().await;
    broker.proxy.set(Way::Silent);
    let began = Instant::now();
    let error = queue.publish(&creation(1), false).await.unwrap_err();
    let took = began.elapsed();
    assert_eq!(error.kind, PortErrorKind::Timeout);
    let limit = broker.config.answer_timeout;
    assert!(took >= limit && took < limit.mul_f32(1.1), "{took:?}");
    for asked in 2..20 {
        let began = Instant::now();
        let error = queue.publish(&creation(asked), false).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable);
        assert!(began.elapsed() < MOMENT, "{:?}", began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    broker.proxy.set(Way::Open);
    publish_at_last(&queue, 20).await;
}

#[tokio::test]
async fn an_attempt_to_connect_that_is_not_answered_leaves_nothing_behind() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let queue = broker.process().await;
    broker.proxy.set(Way::Silent);
    let _ = queue.publish(&creation(1), false).await;
    let _ = queue.backlog().await;
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    // Time for several attempts, each of which the driver runs on a thread of its own.
    sleep(5 * (broker.config.connect_timeout + MOMENT)).await;
    assert!(threads() <= before + 2, "{} after {before}", threads());
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_comes_again() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let (queue, one) = (broker.process().await, one());
    queue.publish(&creation(1), false).await.unwrap();
    // Give up in each phase of a wait: before the entry comes, and while more is waited for.
    for millis in (0..24).chain([40, 60]) {
        let waiting = queue.receive(&one, 5, Duration::from_secs(2));
        if let Ok(taken) = timeout(Duration::from_millis(millis), waiting).await {
            let receipts = [taken.unwrap()[0].receipt.clone()];
            queue.give_back(&receipts).await.unwrap();
        }
    }
    assert_eq!(numbers(&receive(&queue, 1).await), [1]);
}

#[tokio::test]
async fn a_queue_that_is_removed_is_made_anew() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let queue = broker.process().await;
    let _ = queue.receive(&one(), 1, MOMENT).await.unwrap();
    let removing = broker
        .channel
        .queue_delete(broker.work().into(), QueueDeleteOptions::default());
    removing.await.unwrap();
    let error = queue.publish(&creation(1), false).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable);
    publish_at_last(&queue, 2).await;
    assert_eq!(numbers(&receive(&queue, 1).await), [2]);
}
