//! Refused users, and queues that are not ours.

use chat_adapter_rabbitmq::{OpenError, RabbitMqConfig, RabbitMqQueue};
use lapin::{options::QueueDeclareOptions, types::FieldTable};

use crate::broker::Broker;

async fn refused(config: &RabbitMqConfig) -> OpenError {
    match RabbitMqQueue::open(config).await {
        Ok(_) => panic!("{config:?} was taken"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn what_an_operator_must_mend_is_not_waited_for() {
    let Some(broker) = Broker::find().await else {
        return;
    };
    let config = broker.straight();
    for (what, url) in [
        ("a wrong password", config.url.replace(":guest@", ":wrong@")),
        ("an unknown host", config.url.replace("%2f", "nowhere")),
        ("no URL of a broker", config.url.replace("amqp", "http")),
    ] {
        let config = RabbitMqConfig {
            url,
            ..config.clone()
        };
        let error = refused(&config).await;
        assert!(!error.is_retryable(), "{what}: {error:?}");
    }
    let (name, options) = (broker.work().into(), QueueDeclareOptions::durable());
    let other = broker
        .channel
        .queue_declare(name, options, FieldTable::default());
    other.await.unwrap();
    let error = refused(&config).await;
    assert!(!error.is_retryable(), "somebody else's queue: {error:?}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_yet_is_waited_for() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let config = RabbitMqConfig::new(format!("amqp://{address}/%2f"));
    let error = refused(&config).await;
    assert!(error.is_retryable(), "{error:?}");
}
