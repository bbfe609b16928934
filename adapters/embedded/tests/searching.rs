//! What becomes of the search index when its process dies, or its files are damaged.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

use std::{fs, path::Path, sync::Arc};

use chat_adapter_embedded::{Embedded, EmbeddedConfig, EmbeddedSearchIndex};
use chat_core::{
    memory::Memory,
    model::{
        ApplicationId, ChatKey, ChatNumber, Generation, GenerationState, MessageBody, MessageKey,
        MessageNumber, Timestamp,
    },
    ports::{IndexChange, IndexDocument, SearchIndex as _, SearchQuery},
    text::Terms,
};
use tempfile::TempDir;

const GENERATION: Generation = Generation {
    number: 7,
    state: GenerationState::Serving,
};

async fn open(folder: &Path) -> Embedded {
    let config = EmbeddedConfig::new(folder);
    Embedded::open(&config, Memory::new().clock).await.unwrap()
}

fn chat() -> ChatKey {
    ChatKey {
        application: ApplicationId::new(1),
        chat: ChatNumber::try_new(1).unwrap(),
    }
}

fn document(number: u64, body: &str) -> IndexChange {
    let ChatKey { application, chat } = chat();
    IndexChange::Put(IndexDocument {
        key: MessageKey {
            application,
            chat,
            message: MessageNumber::try_new(number).unwrap(),
        },
        version: 1,
        body: MessageBody::parse(body).unwrap(),
        created_at: Timestamp::from_micros(1),
    })
}

async fn filled(folder: &Path) -> Arc<EmbeddedSearchIndex> {
    let index = open(folder).await.search;
    index.create_generation(&GENERATION).await.unwrap();
    index.serve_generation(&GENERATION).await.unwrap();
    index
        .apply(&GENERATION, &[document(1, "still here")])
        .await
        .unwrap();
    index
}

async fn found(index: &EmbeddedSearchIndex) -> usize {
    let query = SearchQuery {
        chat: Some(chat()),
        terms: Terms::of("here"),
        limit: 10,
        after: None,
    };
    index.find(&query).await.unwrap().len()
}

/// Opens an index by itself, since the database takes a moment to let go of its folder.
async fn reopened(folder: &Path) -> Arc<EmbeddedSearchIndex> {
    let mut config = EmbeddedConfig::new(TempDir::new().unwrap().path());
    config.search_folder = folder.join("search");
    let opened = Embedded::open(&config, Memory::new().clock).await;
    opened.unwrap().search
}

#[tokio::test]
async fn what_was_applied_is_found_after_reopening() {
    let folder = TempDir::new().unwrap();
    // Dropped without closing, as a crash would.
    drop(filled(folder.path()).await);
    let index = reopened(folder.path()).await;
    assert_eq!(index.generations().await.unwrap(), [7]);
    assert_eq!(found(&index).await, 1);
    let more = [document(2, "here, too")];
    index.apply(&GENERATION, &more).await.unwrap();
    assert_eq!(found(&index).await, 2);
}

#[tokio::test]
async fn a_damaged_generation_is_removed() {
    let folder = TempDir::new().unwrap();
    drop(filled(folder.path()).await);
    let generation = folder.path().join("search/generation-7");
    let fast = fs::read_dir(&generation)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "fast"))
        .unwrap();
    let mut bytes = fs::read(&fast).unwrap();
    bytes[10] ^= 0xff;
    fs::write(&fast, bytes).unwrap();
    let index = reopened(folder.path()).await;
    assert!(index.generations().await.unwrap().is_empty());
    assert!(!generation.exists());
    assert!(index.check().await.is_err());
    // It can be created again.
    index.create_generation(&GENERATION).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_no_index_is_removed() {
    let folder = TempDir::new().unwrap();
    let generation = folder.path().join("search/generation-7");
    fs::create_dir_all(&generation).unwrap();
    fs::write(generation.join("meta.json"), "no index").unwrap();
    let index = open(folder.path()).await.search;
    assert!(index.generations().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_generation_that_is_removed_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let index = filled(folder.path()).await;
    assert_eq!(found(&index).await, 1);
    index.remove_generation(&GENERATION).await.unwrap();
    assert!(!folder.path().join("search/generation-7").exists());
    assert!(index.generations().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_generation_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let foreign = folder.path().join("search/2024");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join("diary.txt"), "dear diary").unwrap();
    let index = open(folder.path()).await.search;
    assert!(index.generations().await.unwrap().is_empty());
    assert!(foreign.join("diary.txt").exists());
}
