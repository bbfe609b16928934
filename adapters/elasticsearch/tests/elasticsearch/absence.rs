//! A server that is away, slow or busy: searches fail soon, and nothing else waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_adapter_elasticsearch::{ElasticsearchConfig, ElasticsearchSearchIndex, OpenError};
use chat_core::{PortErrorKind, ports::SearchIndex as _};
use serde_json::json;
use tokio::{net::TcpListener, time::Instant};

use crate::{
    shelf::{SERVING, put, query},
    stub::{Stub, refusal},
};

/// Longer than the longest pause of the breaker.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_dead_server_is_left_alone_after_some_attempts() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let index = ElasticsearchSearchIndex::try_new(&ElasticsearchConfig::new(url)).unwrap();
    for _ in 0..2 {
        let error = index.find(&query("word")).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable);
    }
    let start = Instant::now();
    for _ in 0..100 {
        assert!(index.find(&query("word")).await.is_err());
        assert!(index.apply(&SERVING, &[put(1, 1, "word")]).await.is_err());
        assert!(index.check().await.is_err());
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let is_there = Arc::new(AtomicBool::new(false));
    let there = Arc::clone(&is_there);
    let stub = Stub::start(move |_| {
        if !there.load(Ordering::SeqCst) {
            return Some(refusal(503, "no reason"));
        }
        Some((200, json!({"timed_out": false, "hits": {"hits": []}})))
    })
    .await;
    let index = stub.index();
    while stub.asked() < 5 {
        assert!(index.find(&query("word")).await.is_err());
    }
    assert!(index.find(&query("word")).await.is_err());
    let asked = stub.asked();
    assert!(index.find(&query("word")).await.is_err());
    assert_eq!(stub.asked(), asked, "it was asked all the same");
    is_there.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while index.find(&query("word")).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "it is still left alone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    index.find(&query("word")).await.unwrap();
}

/// An expensive search must not be the probe that tells whether a server is back.
#[tokio::test]
async fn a_heavy_search_bars_no_server_that_is_back() {
    let is_there = Arc::new(AtomicBool::new(false));
    let there = Arc::clone(&is_there);
    let stub = Stub::start(move |asked| {
        if !there.load(Ordering::SeqCst) {
            return Some(refusal(503, "no reason"));
        }
        asked.line.starts_with("GET / ").then(|| (200, json!({})))
    })
    .await;
    let index = stub.index();
    let is_asked = async || {
        let before = stub.asked();
        assert!(index.find(&query("word")).await.is_err());
        stub.asked() > before
    };
    while is_asked().await {}
    is_there.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while !is_asked().await {
        assert!(start.elapsed() < PATIENCE, "it is still left alone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_asked().await, "a search that takes too long bars all");
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_time() {
    let stub = Stub::start(|_| None).await;
    let index = stub.index();
    let start = Instant::now();
    let error = index.find(&query("word")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Timeout);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let stub = Stub::start(|_| Some((200, json!({"timed_out": true, "hits": {"hits": []}})))).await;
    let error = stub.index().find(&query("word")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Timeout);
    let stub = Stub::start(|_| {
        let shards = json!({"total": 2, "successful": 1, "failed": 1});
        Some((
            200,
            json!({"timed_out": false, "_shards": shards, "hits": {"hits": []}}),
        ))
    })
    .await;
    let error = stub.index().find(&query("word")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable);
    let stub = Stub::start(|_| Some((200, json!({"took": 1})))).await;
    let error = stub.index().find(&query("word")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Corrupt);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told_at_once() {
    let mut times = 0;
    let stub = Stub::start(move |_| {
        times += 1;
        Some(match times {
            1 | 2 => refusal(429, "es_rejected_execution_exception"),
            _ => (200, json!({"timed_out": false, "hits": {"hits": []}})),
        })
    })
    .await;
    assert!(stub.index().find(&query("word")).await.unwrap().is_empty());
    assert_eq!(stub.asked(), 3);
    let stub = Stub::start(|_| Some(refusal(401, "security_exception"))).await;
    let error = stub.index().find(&query("word")).await.unwrap_err();
    assert_eq!(
        (error.kind, stub.asked()),
        (PortErrorKind::Misconfigured, 1)
    );
}

#[tokio::test]
async fn other_servers_and_old_ones_are_told() {
    let about = |number: &str| json!({"version": {"number": number}});
    for (said, is_usable) in [
        (about("7.10.2"), true),
        (about("9.1.0"), true),
        (
            json!({"version": {"number": "2.19.1", "distribution": "opensearch"}}),
            true,
        ),
        (about("7.9.3"), false),
        (json!({"hello": "world"}), false),
    ] {
        let shown = said.to_string();
        let stub = Stub::start(move |_| Some((200, said.clone()))).await;
        let examined = stub.index().examine().await;
        if is_usable {
            examined.unwrap();
        } else {
            assert!(
                matches!(examined, Err(OpenError::Unusable { .. })),
                "{shown}"
            );
        }
    }
    let stub = Stub::start(|_| None).await;
    let examined = stub.index().examine().await;
    assert!(examined.is_err_and(|error| error.is_retryable()));
    let stub = Stub::start(|_| Some(refusal(401, "security_exception"))).await;
    let examined = stub.index().examine().await;
    assert!(examined.is_err_and(|error| !error.is_retryable()));
    // Who may use the indices need not have the privilege to ask about the cluster.
    let stub = Stub::start(|_| Some(refusal(403, "security_exception"))).await;
    stub.index().examine().await.unwrap();
}
