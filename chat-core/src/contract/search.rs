//! The laws of [`SearchIndex`].

use std::{sync::Arc, time::Duration};

use super::scene::{body, message_key, number};
use crate::{
    model::{ApplicationId, ChatKey, Generation, GenerationState, MessageKey, Timestamp},
    ports::{Applied, IndexChange, IndexDocument, SearchIndex, SearchQuery},
    text::words,
};

/// Mounts the laws of the search as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __search_contract {
    ($maker:expr) => {
        $crate::__laws!(
            search,
            $maker,
            [
                indexed_is_found,
                every_word_must_match,
                nothing_outside_the_chat,
                older_version_stands_back,
                deleted_is_gone,
                deleted_parent_takes_all,
                hits_are_paged,
                generations_are_apart,
                missing_generation_is_an_error,
            ]
        );
    };
}

/// The adapter that a law checks.
type Index = Arc<dyn SearchIndex>;

/// An applied document is found by each of its words.
pub async fn indexed_is_found(index: Index) {
    let generation = serving(&index).await;
    put(
        &index,
        &generation,
        document(chat(1, 1), 1, 1, "The quick brown fox"),
    )
    .await;
    for word in ["the", "quick", "BROWN", "fox"] {
        assert_eq!(found(&index, chat(1, 1), word).await, [1], "{word}");
    }
    assert!(found(&index, chat(1, 1), "elephant").await.is_empty());
}

/// A document that lacks one word of the query is not found.
pub async fn every_word_must_match(index: Index) {
    let generation = serving(&index).await;
    put(
        &index,
        &generation,
        document(chat(1, 1), 1, 1, "quick brown fox"),
    )
    .await;
    put(
        &index,
        &generation,
        document(chat(1, 1), 2, 1, "quick elephant"),
    )
    .await;
    assert_eq!(found(&index, chat(1, 1), "quick fox").await, [1]);
    assert!(found(&index, chat(1, 1), "fox elephant").await.is_empty());
}

/// The same words in another chat or application are not found.
pub async fn nothing_outside_the_chat(index: Index) {
    let generation = serving(&index).await;
    for (application, number) in [(1, 1), (1, 2), (2, 1)] {
        let document = document(
            chat(application, number),
            10 * application + number,
            1,
            "secret",
        );
        put(&index, &generation, document).await;
    }
    assert_eq!(found(&index, chat(1, 1), "secret").await, [11]);
    assert_eq!(found(&index, chat(2, 1), "secret").await, [21]);
    assert!(found(&index, chat(2, 2), "secret").await.is_empty());
}

/// Applying an older version, or a deletion older than the document, changes nothing and counts as
/// done.
pub async fn older_version_stands_back(index: Index) {
    let generation = serving(&index).await;
    put(&index, &generation, document(chat(1, 1), 1, 3, "third")).await;
    put(&index, &generation, document(chat(1, 1), 1, 2, "second")).await;
    delete(&index, &generation, message_key(chat(1, 1), 1), 2).await;
    assert_eq!(found(&index, chat(1, 1), "third").await, [1]);
    assert!(found(&index, chat(1, 1), "second").await.is_empty());
}

/// A deleted document is not found.
pub async fn deleted_is_gone(index: Index) {
    let generation = serving(&index).await;
    put(&index, &generation, document(chat(1, 1), 1, 1, "going")).await;
    delete(&index, &generation, message_key(chat(1, 1), 1), 2).await;
    put(&index, &generation, document(chat(1, 1), 1, 1, "going")).await;
    assert!(found(&index, chat(1, 1), "going").await.is_empty());
}

/// After the deletion of a chat or an application no document of it is found, and no other is touched.
pub async fn deleted_parent_takes_all(index: Index) {
    let generation = serving(&index).await;
    let places = [(1, 1), (1, 2), (2, 1), (3, 1)];
    for (application, number) in places {
        let document = document(
            chat(application, number),
            10 * application + number,
            1,
            "here",
        );
        put(&index, &generation, document).await;
    }
    let changes = [
        IndexChange::DeleteChat(chat(1, 1)),
        IndexChange::DeleteApplication(ApplicationId::new(2)),
    ];
    apply(&index, &generation, &changes).await;
    let mut left = Vec::new();
    for (application, number) in places {
        left.extend(found(&index, chat(application, number), "here").await);
    }
    assert_eq!(left, [12, 31]);
}

/// Paging through many hits shows each once.
pub async fn hits_are_paged(index: Index) {
    let generation = serving(&index).await;
    let put = |of| IndexChange::Put(document(chat(1, 1), of, 1, "needle"));
    apply(&index, &generation, &(1..=250).map(put).collect::<Vec<_>>()).await;
    let mut query = query(chat(1, 1), "needle");
    let mut numbers = Vec::new();
    loop {
        let hits = eventually_found(&index, &query, 1).await;
        assert!(hits.len() <= query.limit);
        numbers.extend(hits.iter().map(|hit| hit.key.message.get()));
        query.after = hits.last().cloned();
        if hits.len() < query.limit {
            break;
        }
    }
    // Equal in rank, so the newest come first.
    assert_eq!(numbers, (1..=250).rev().collect::<Vec<_>>());
}

/// What one generation holds is not found until it serves.
pub async fn generations_are_apart(index: Index) {
    let old = serving(&index).await;
    put(&index, &old, document(chat(1, 1), 1, 1, "old")).await;
    let new = Generation {
        number: old.number + 1,
        state: GenerationState::Building,
    };
    index.create_generation(&new).await.unwrap();
    put(&index, &new, document(chat(1, 1), 2, 1, "new")).await;
    assert_eq!(found(&index, chat(1, 1), "old").await, [1]);
    assert!(found(&index, chat(1, 1), "new").await.is_empty());
    index.serve_generation(&new).await.unwrap();
    index.remove_generation(&old).await.unwrap();
    assert_eq!(found(&index, chat(1, 1), "new").await, [2]);
    assert!(found(&index, chat(1, 1), "old").await.is_empty());
}

/// A write to a generation that is gone fails, it is never made anew by guessing.
pub async fn missing_generation_is_an_error(index: Index) {
    serving(&index).await;
    let gone = Generation {
        number: 99,
        state: GenerationState::Building,
    };
    let change = IndexChange::Put(document(chat(1, 1), 1, 1, "lost"));
    assert!(index.apply(&gone, &[change]).await.is_err());
    assert!(index.serve_generation(&gone).await.is_err());
    index.remove_generation(&gone).await.unwrap();
}

async fn serving(index: &Index) -> Generation {
    let generation = Generation {
        number: 1,
        state: GenerationState::Serving,
    };
    index.create_generation(&generation).await.unwrap();
    index.serve_generation(&generation).await.unwrap();
    generation
}

fn chat(application: u64, chat: u64) -> ChatKey {
    ChatKey {
        application: ApplicationId::new(application),
        chat: number(chat).into(),
    }
}

fn document(chat: ChatKey, of: u64, version: u64, text: &str) -> IndexDocument {
    IndexDocument {
        key: message_key(chat, of),
        version,
        body: body(text),
        created_at: Timestamp::from_micros(1_000_000 * i64::try_from(of).unwrap()),
    }
}

async fn apply(index: &Index, generation: &Generation, changes: &[IndexChange]) {
    let applied = index.apply(generation, changes).await.unwrap();
    assert_eq!(applied, vec![Applied::Done; changes.len()]);
}

async fn put(index: &Index, generation: &Generation, document: IndexDocument) {
    apply(index, generation, &[IndexChange::Put(document)]).await;
}

async fn delete(index: &Index, generation: &Generation, key: MessageKey, version: u64) {
    apply(index, generation, &[IndexChange::Delete { key, version }]).await;
}

fn query(chat: ChatKey, text: &str) -> SearchQuery {
    SearchQuery {
        chat: Some(chat),
        words: words(text),
        limit: 100,
        after: None,
    }
}

async fn found(index: &Index, chat: ChatKey, text: &str) -> Vec<u64> {
    let hits = eventually_found(index, &query(chat, text), 0).await;
    hits.iter().map(|hit| hit.key.message.get()).collect()
}

/// Finds, giving an index that is refreshed now and then the time to do so.
async fn eventually_found(
    index: &Index,
    query: &SearchQuery,
    least: usize,
) -> Vec<crate::ports::SearchHit> {
    for _ in 0..100 {
        let hits = index.find(query).await.unwrap();
        if hits.len() >= least {
            return hits;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{least} hits were not found in five seconds");
}
