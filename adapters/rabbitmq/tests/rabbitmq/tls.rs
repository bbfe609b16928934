//! TLS, with a certificate of an authority that is only trusted where a test says so.

use std::{env, process::Command};

use chat_adapter_rabbitmq::{OpenError, RabbitMqConfig, RabbitMqQueue};
use chat_core::{Chain, ports::Queue as _};

use crate::{
    broker::{creation, numbers, own_prefix, receive},
    named,
};

/// The variable that names the file of the authorities that a process trusts.
const TRUSTED: &str = "SSL_CERT_FILE";

fn by_tls() -> Option<RabbitMqConfig> {
    Some(RabbitMqConfig {
        prefix: own_prefix(),
        ..RabbitMqConfig::new(named::setting("CHAT_TEST_RABBITMQ_TLS_URL")?)
    })
}

/// Says whether this process trusts the broker; if not, runs the test in a child that does.
fn is_trusting(test: &str) -> bool {
    let Some(authority) = named::setting("CHAT_TEST_RABBITMQ_AUTHORITY") else {
        return false;
    };
    if env::var(TRUSTED).is_ok_and(|trusted| trusted == authority) {
        return true;
    }
    let again = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(TRUSTED, authority)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && said.contains(" 1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&again.stderr)
    );
    false
}

#[tokio::test]
async fn work_goes_through_by_tls() {
    if !is_trusting("tls::work_goes_through_by_tls") {
        return;
    }
    let config = by_tls().unwrap();
    RabbitMqQueue::reach(&config).await.unwrap();
    let queue = RabbitMqQueue::open(&config).await.unwrap();
    for number in 1..=20 {
        queue.publish(&creation(number), false).await.unwrap();
    }
    let taken = receive(&queue, 20).await;
    assert_eq!(numbers(&taken), (1..=20).collect::<Vec<_>>());
    let receipts: Vec<_> = taken.iter().map(|it| it.receipt.clone()).collect();
    queue.acknowledge(&receipts).await.unwrap();
    assert_eq!(queue.backlog().await.unwrap().entries, 0);
    queue.close().await;
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_not_waited_for() {
    let Some(config) = by_tls() else {
        return;
    };
    expect_distrust(RabbitMqQueue::open(&config).await.err());
    expect_distrust(RabbitMqQueue::reach(&config).await.err());
}

#[tokio::test]
async fn a_certificate_of_another_host_is_not_waited_for() {
    if !is_trusting("tls::a_certificate_of_another_host_is_not_waited_for") {
        return;
    }
    let config = by_tls().unwrap();
    let config = RabbitMqConfig {
        url: config.url.replace("@127.0.0.1:", "@localhost:"),
        ..config
    };
    expect_distrust(RabbitMqQueue::open(&config).await.err());
}

fn expect_distrust(error: Option<OpenError>) {
    let error = error.expect("it was trusted");
    assert!(!error.is_retryable(), "{error:?}");
    let told = Chain(&error).to_string();
    assert!(told.contains("invalid peer certificate"), "{told}");
}
