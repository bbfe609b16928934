//! The laws of [`SearchIndex`].

use std::sync::Arc;

use super::scene::message_key;
use crate::{
    model::{ApplicationId, Generation, GenerationState},
    ports::{IndexChange, SearchIndex},
};

mod finding;
mod ordering;
mod shelf;

pub use finding::{
    addresses_and_code_are_found, every_script_is_searched, no_text_is_an_operator,
    spelling_does_not_matter, typos_are_forgiven, words_are_found_by_their_parts,
};
pub use ordering::{better_matches_come_first, pages_are_stable, whole_system_is_searched};
use shelf::{apply, chat, delete, document, eventually_found, found, put, query, serving};

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
                generations_are_listed,
                words_are_found_by_their_parts,
                typos_are_forgiven,
                spelling_does_not_matter,
                every_script_is_searched,
                addresses_and_code_are_found,
                no_text_is_an_operator,
                better_matches_come_first,
                pages_are_stable,
                whole_system_is_searched,
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

/// A write to a generation that is gone fails and never creates it implicitly.
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

/// The index tells which generations it has.
pub async fn generations_are_listed(index: Index) {
    let listed = || async {
        let mut numbers = index.generations().await.unwrap();
        numbers.sort_unstable();
        numbers
    };
    assert!(listed().await.is_empty());
    let generation = |number| Generation {
        number,
        state: GenerationState::Building,
    };
    for number in [3, 7] {
        index.create_generation(&generation(number)).await.unwrap();
    }
    index.create_generation(&generation(7)).await.unwrap();
    assert_eq!(listed().await, [3, 7]);
    index.remove_generation(&generation(3)).await.unwrap();
    assert_eq!(listed().await, [7]);
    for number in [8, 9] {
        index.create_generation(&generation(number)).await.unwrap();
    }
    for _ in 0..2 {
        index.remove_others(&generation(8)).await.unwrap();
        assert_eq!(listed().await, [8]);
    }
}
