//! How hits are ordered, page by page.

use super::{
    Index,
    shelf::{Shelf, apply, chat, document, eventually_found, put, query, serving},
};
use crate::ports::{IndexChange, SearchQuery};

/// Messages come by the core's rank, with its score; of equals the newest comes first.
pub async fn better_matches_come_first(index: Index) {
    let bodies = [
        "cat",
        "cats",
        "bobcats",
        "cut",
        "the red car",
        "car so red",
        "red cars and car",
        "redder car",
        "car red car red",
        "cat cat",
        "cat again",
        "日本語",
        "日本と本語",
    ];
    let shelf = Shelf::with(index, &bodies).await;
    let best = [
        (
            "cat",
            vec!["cat cat", "cat again", "cat", "cats", "bobcats"],
        ),
        (
            "red car",
            vec!["car red car red", "red cars and car", "the red car"],
        ),
        ("日本語", vec!["日本語"]),
    ];
    for (text, wanted) in best {
        let found = shelf.find(text).await;
        assert_eq!(found.get(..wanted.len()), Some(&wanted[..]), "{text}");
    }
    let with_typos = shelf.find("cat").await;
    assert_eq!(with_typos.last(), Some(&"cut"));
}

/// Messages that come between two pages neither repeat nor hide earlier ones.
pub async fn pages_are_stable(index: Index) {
    let generation = serving(&index).await;
    let put_even = |of: u64| IndexChange::Put(document(chat(1, 1), 2 * of, 1, "needle"));
    apply(
        &index,
        &generation,
        &(1..=30).map(put_even).collect::<Vec<_>>(),
    )
    .await;
    let mut asked = SearchQuery {
        limit: 10,
        ..query(chat(1, 1), "needle")
    };
    let mut numbers = Vec::new();
    for page in 0..3_u64 {
        let hits = eventually_found(&index, &asked, 10).await;
        numbers.extend(hits.iter().map(|hit| hit.key.message.get()));
        asked.after = hits.last().cloned();
        // One is newer than all that were read, the other matches better than all.
        let newer = document(chat(1, 1), 1_001 + page, 1, "needle");
        put(&index, &generation, newer).await;
        let better = document(chat(1, 1), 2_001 + page, 1, "needle needle");
        put(&index, &generation, better).await;
    }
    let even: Vec<u64> = (1..=30).rev().map(|of| 2 * of).collect();
    assert_eq!(numbers, even);
    assert!(index.find(&asked).await.unwrap().is_empty());
}

/// Without a chat, everything is found.
pub async fn whole_system_is_searched(index: Index) {
    let generation = serving(&index).await;
    let places = [(1, 1), (1, 2), (2, 1)];
    let changes = places.map(|(application, number)| {
        IndexChange::Put(document(chat(application, number), 1, 1, "needle"))
    });
    apply(&index, &generation, &changes).await;
    let mut asked = SearchQuery {
        chat: None,
        limit: 2,
        ..query(chat(1, 1), "needle")
    };
    let mut found = Vec::new();
    for _ in 0..2 {
        let hits = eventually_found(&index, &asked, 1).await;
        found.extend(hits.iter().map(|hit| hit.key.chat_key()));
        asked.after = hits.last().cloned();
    }
    found.sort_unstable();
    assert_eq!(
        found,
        places.map(|(application, number)| chat(application, number))
    );
}
