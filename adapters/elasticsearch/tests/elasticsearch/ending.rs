//! Deleted chats and applications that hold more than one request deletes.

use std::time::Duration;

use chat_core::ports::{Applied, IndexChange, SearchIndex as _};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    fresh::FreshIndex,
    shelf::{SERVING, chat, put, query},
    stub::{Stub, own_index},
};

/// More than one request deletes.
const MANY: u64 = 5_000;

#[tokio::test]
async fn all_of_a_large_chat_goes_call_by_call() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let index = fresh.open();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    let changes: Vec<_> = (1..=MANY).map(|number| put(number, 1, "word")).collect();
    index.apply(&SERVING, &changes).await.unwrap();
    assert_eq!(index.find(&query("word")).await.unwrap().len(), 100);
    let end = [IndexChange::DeleteChat(chat())];
    let mut calls = 0;
    while index.apply(&SERVING, &end).await.unwrap() != [Applied::Done] {
        calls += 1;
        assert!(calls < 100, "it has no end");
    }
    assert!(index.find(&query("word")).await.unwrap().is_empty());
}

/// A call has to end soon, since other changes wait for it.
#[tokio::test]
async fn no_call_goes_on_until_all_is_deleted() {
    let stub = Stub::start(|asked| {
        if asked.line.starts_with("GET") {
            return Some((200, own_index()));
        }
        let deleted = json!({"deleted": 2_000, "version_conflicts": 0});
        Some((200, deleted))
    })
    .await;
    let began = Instant::now();
    let end = [IndexChange::DeleteChat(chat())];
    let applied = stub.index().apply(&SERVING, &end).await.unwrap();
    assert_eq!(applied, [Applied::Unfinished]);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(stub.asked() > 4, "it stopped at once");
}
