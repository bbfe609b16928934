//! Foreign entries, and entries that were delivered too often.

use chat_adapter_rabbitmq::{RabbitMqConfig, RabbitMqQueue};
use chat_core::{
    model::Number,
    ports::{Entry, Queue as _},
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::broker::{Broker, creation, numbers, receive};

#[tokio::test]
async fn what_cannot_be_read_comes_with_its_bytes() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let queue = broker.process().await;
    let mut headers = FieldTable::default();
    headers.insert("number".into(), AMQPValue::LongLongInt(7));
    headers.insert("epoch".into(), AMQPValue::LongLongInt(2));
    let headed = BasicProperties::default().with_headers(headers);
    for (properties, body, wanted_number, wanted_newer) in [
        (BasicProperties::default(), "garbage", None, false),
        (headed.clone(), "garbage", Some(7), false),
        (headed.clone(), r#"{"v":99}"#, Some(7), true),
        (headed, "", Some(7), false),
    ] {
        broker.publish(properties, body.as_bytes()).await;
        let taken = receive(&queue, 1).await;
        let Entry::Unreadable {
            number,
            payload,
            newer,
            ..
        } = &taken[0].entry
        else {
            panic!("{body:?} was read: {taken:?}");
        };
        assert_eq!(number.map(Number::get), wanted_number, "{body:?}");
        assert_eq!(payload, body.as_bytes());
        assert_eq!(*newer, wanted_newer, "{body:?}");
        queue
            .acknowledge(&[taken[0].receipt.clone()])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_was_handed_out_too_often_still_comes() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let config = RabbitMqConfig {
        delivery_limit: 5,
        ..broker.straight()
    };
    let queue = RabbitMqQueue::open(&config).await.unwrap();
    queue.publish(&creation(1), false).await.unwrap();
    let mut attempts = Vec::new();
    for _ in 0..9 {
        let taken = receive(&queue, 1).await;
        assert_eq!(numbers(&taken), [1]);
        attempts.push(taken[0].attempt);
        queue.give_back(&[taken[0].receipt.clone()]).await.unwrap();
    }
    assert_eq!(attempts[..5], [1, 2, 3, 4, 5]);
    assert!(attempts[6..].iter().all(|it| *it > 5), "{attempts:?}");
    let taken = receive(&queue, 1).await;
    queue
        .acknowledge(&[taken[0].receipt.clone()])
        .await
        .unwrap();
    assert_eq!(queue.backlog().await.unwrap().entries, 0);
}
