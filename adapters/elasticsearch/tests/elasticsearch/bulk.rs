//! Bulk: each line has an outcome of its own.

use std::collections::BTreeMap;

use chat_core::{
    PortErrorKind,
    ports::{Applied, SearchIndex as _},
};
use serde_json::{Value, json};

use crate::{
    fresh::FreshIndex,
    shelf::{SERVING, put, query},
    stub::{Asked, Stub, own_index, refusal},
};

/// The numbers of the messages that a bulk writes, in order.
fn numbers(asked: &Asked) -> Vec<u64> {
    let lines = asked.body.lines().step_by(2);
    lines
        .map(|line| {
            let action: Value = serde_json::from_str(line).unwrap();
            let id = action["index"]["_id"].as_str().unwrap();
            id.rsplit_once(':').unwrap().1.parse().unwrap()
        })
        .collect()
}

fn item(status: u16, code: &str) -> Value {
    match code {
        "" => json!({"index": {"status": status}}),
        code => json!({"index": {"status": status, "error": {"type": code}}}),
    }
}

/// A server that answers each line by `outcome` of the message's number and its attempt.
async fn server(outcome: fn(u64, u32) -> (u16, &'static str)) -> Stub {
    let mut came: BTreeMap<u64, u32> = BTreeMap::new();
    Stub::start(move |asked| {
        if asked.line.starts_with("GET") {
            return Some((200, own_index()));
        }
        let items: Vec<Value> = numbers(asked)
            .into_iter()
            .map(|number| {
                let times = came.entry(number).or_default();
                *times += 1;
                let (status, code) = outcome(number, *times);
                item(status, code)
            })
            .collect();
        Some((200, json!({"items": items})))
    })
    .await
}

#[tokio::test]
async fn each_line_has_an_outcome_of_its_own() {
    let stub = server(|number, times| match (number, times) {
        (2, 1..3) => (429, "es_rejected_execution_exception"),
        (3, _) => (409, "version_conflict_engine_exception"),
        (4, _) => (503, "unavailable_shards_exception"),
        (5, _) => (400, "mapper_parsing_exception"),
        _ => (201, ""),
    })
    .await;
    let changes: Vec<_> = (1..=7).map(|number| put(number, 1, "body")).collect();
    let applied = stub.index().apply(&SERVING, &changes).await.unwrap();
    let (again, refused) = (
        |applied: &Applied| matches!(applied, Applied::Retry { .. }),
        |applied: &Applied| matches!(applied, Applied::Refused { .. }),
    );
    for (number, applied) in (1..).zip(&applied) {
        match number {
            4 => assert!(again(applied), "{number}: {applied:?}"),
            5 => assert!(refused(applied), "{number}: {applied:?}"),
            _ => assert_eq!(*applied, Applied::Done, "{number}"),
        }
    }
}

#[tokio::test]
async fn no_message_is_at_fault_where_nobody_may_write() {
    for (status, code, kind) in [
        (403, "cluster_block_exception", PortErrorKind::Full),
        (403, "security_exception", PortErrorKind::Misconfigured),
        (401, "security_exception", PortErrorKind::Misconfigured),
    ] {
        let stub = Stub::start(move |asked| {
            if asked.line.starts_with("GET") {
                return Some((200, own_index()));
            }
            let items = numbers(asked).into_iter().map(|_| item(status, code));
            Some((200, json!({"items": items.collect::<Vec<_>>()})))
        });
        let stub = stub.await;
        let index = stub.index();
        let applied = index.apply(&SERVING, &[put(1, 1, "body")]).await;
        assert_eq!(applied.unwrap_err().kind, kind, "{status} {code}");
    }
}

#[tokio::test]
async fn a_generation_that_went_meanwhile_fails_the_call() {
    let stub = server(|number, _| match number {
        1 => (201, ""),
        _ => (404, "index_not_found_exception"),
    })
    .await;
    let error = stub
        .index()
        .apply(&SERVING, &[put(1, 1, "one"), put(2, 1, "two")])
        .await;
    assert_eq!(error.unwrap_err().kind, PortErrorKind::Unavailable);
}

#[tokio::test]
async fn no_refusal_repeats_what_was_written() {
    let stub = server(|_, _| (400, "mapper_parsing_exception")).await;
    let applied = stub
        .index()
        .apply(&SERVING, &[put(1, 1, "secret")])
        .await
        .unwrap();
    assert!(!format!("{applied:?}").contains("secret"), "{applied:?}");
    let stub = Stub::start(|_| Some(refusal(400, "parsing_exception"))).await;
    let error = stub.index().find(&query("secret")).await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_larger_than_a_request_goes_alone() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let mut config = fresh.config.clone();
    config.bulk_bytes = 2_000;
    let index = chat_adapter_elasticsearch::ElasticsearchSearchIndex::try_new(&config).unwrap();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    let long = "word ".repeat(1_000);
    let changes: Vec<_> = (1..=9)
        .map(|number| put(number, 1, if number == 5 { &long } else { "a word" }))
        .collect();
    let applied = index.apply(&SERVING, &changes).await.unwrap();
    assert_eq!(applied, vec![Applied::Done; 9]);
    assert_eq!(index.find(&query("word")).await.unwrap().len(), 9);
}

#[tokio::test]
async fn lines_are_cut_where_a_request_is_full() {
    let stub = Stub::start(|asked| {
        if asked.line.starts_with("GET") {
            return Some((200, own_index()));
        }
        assert!(asked.body.len() <= 1_000, "{} bytes", asked.body.len());
        let items: Vec<Value> = numbers(asked).iter().map(|_| item(201, "")).collect();
        Some((200, json!({"items": items})))
    })
    .await;
    let mut config = stub.config();
    config.bulk_bytes = 1_000;
    let index = chat_adapter_elasticsearch::ElasticsearchSearchIndex::try_new(&config).unwrap();
    let changes: Vec<_> = (1..=20).map(|number| put(number, 1, "a word")).collect();
    let applied = index.apply(&SERVING, &changes).await.unwrap();
    assert_eq!(applied, vec![Applied::Done; 20]);
    assert!(stub.asked() > 3, "{} requests", stub.asked());
}

#[tokio::test]
async fn what_was_written_in_time_is_done_where_the_rest_is_late() {
    let mut bulks = 0;
    let stub = Stub::start(move |asked| {
        if asked.line.starts_with("GET") {
            return Some((200, own_index()));
        }
        bulks += 1;
        let items: Vec<Value> = numbers(asked).iter().map(|_| item(201, "")).collect();
        (bulks == 1).then(|| (200, json!({"items": items})))
    })
    .await;
    let mut config = stub.config();
    config.bulk_bytes = 1_000;
    let index = chat_adapter_elasticsearch::ElasticsearchSearchIndex::try_new(&config).unwrap();
    let changes: Vec<_> = (1..=20).map(|number| put(number, 1, "a word")).collect();
    let applied = index.apply(&SERVING, &changes).await.unwrap();
    let done = applied.iter().filter(|it| **it == Applied::Done).count();
    assert!(done > 0, "{applied:?}");
    assert!(applied[done..].iter().all(|it| *it == Applied::Unfinished));
}
