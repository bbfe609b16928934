//! The script judges every message as the core does, whatever its characters.

use std::hash::{BuildHasher as _, RandomState};

use chat_core::ports::{IndexChange, SearchIndex as _};

use crate::{
    fresh::FreshIndex,
    shelf::{SERVING, put, query},
};

/// What words are made of.
///
/// Few letters, so that many words are similar; surrogate pairs, combining marks, scripts without
/// spaces, emoji.
const LETTERS: [&str; 14] = [
    "a",
    "b",
    "a",
    "b",
    "c",
    "\u{10428}",
    "\u{10429}",
    "\u{1E900}",
    "é",
    "日",
    "本",
    "🚀",
    "हि",
    "1",
];

const BODIES: u64 = 400;

const QUERIES: u64 = 250;

/// Pseudo-random numbers, the same in each run of a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn word(&mut self, most: usize) -> String {
        // Most words are of one script.
        let range = [0..5, 0..5, 3..9, 5..8, 8..14, 0..14][self.below(6)].clone();
        let letters = &LETTERS[range];
        (0..=self.below(most))
            .map(|_| letters[self.below(letters.len())])
            .collect()
    }

    fn text(&mut self, most: usize) -> String {
        let words: Vec<String> = (0..=self.below(most)).map(|_| self.word(8)).collect();
        words.join(" ")
    }
}

async fn check(index: &dyn chat_core::ports::SearchIndex, bodies: &[String], text: &str) -> usize {
    let mut query = query(text);
    if query.terms.is_empty() {
        return 0;
    }
    let mut wanted: Vec<(u64, u64)> = (1..)
        .zip(bodies)
        .filter_map(|(number, body)| Some((query.terms.rank(body)?.score(), number)))
        .collect();
    wanted.sort_unstable_by(|one, other| other.cmp(one));
    let mut found = Vec::new();
    loop {
        let hits = index.find(&query).await.unwrap();
        found.extend(hits.iter().map(|hit| (hit.score, hit.key.message.get())));
        query.after = hits.last().cloned();
        if hits.len() < query.limit {
            break;
        }
    }
    assert_eq!(found, wanted, "{text:?}");
    found.len()
}

#[tokio::test]
async fn any_words_are_judged_as_by_the_core() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let seed = RandomState::new().hash_one(());
    println!("seed {seed}");
    let mut draw = Draw(seed);
    let bodies: Vec<String> = (0..BODIES).map(|_| draw.text(12)).collect();
    let index = fresh.open();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    let changes: Vec<IndexChange> = (1..)
        .zip(&bodies)
        .map(|(number, body)| put(number, 1, body))
        .collect();
    index.apply(&SERVING, &changes).await.unwrap();
    let mut found = 0;
    for _ in 0..QUERIES {
        let most = [1, 1, 2, 4, 20][draw.below(5)];
        found += check(&*index, &bodies, &draw.text(most)).await;
    }
    assert!(found > 1_000, "only {found} hits were compared");
}

#[tokio::test]
async fn words_as_long_as_bodies_are_found() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let index = fresh.open();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    let long = |letter: &str, count: usize| letter.repeat(count);
    let bodies = [
        long("a", 32_768),
        format!("{}needle{}", long("b", 10_000), long("c", 10_000)),
        long("日本", 5_000),
        "x ".repeat(16_384),
        format!("{}k", long("hello", 60)),
        long("hello", 20),
        long("\u{10428}", 200),
        "𐐨".repeat(99),
        "ﷺ ".repeat(8_000),
    ];
    let changes: Vec<IndexChange> = (1..)
        .zip(&bodies)
        .map(|(number, body)| put(number, 1, body))
        .collect();
    let applied = index.apply(&SERVING, &changes).await.unwrap();
    assert_eq!(applied, vec![chat_core::ports::Applied::Done; bodies.len()]);
    let mut found = 0;
    for text in [
        long("a", 1_024),
        "a".to_owned(),
        "aaa".to_owned(),
        "bbb".to_owned(),
        "needle".to_owned(),
        "neadle".to_owned(),
        "日本".to_owned(),
        "本日本".to_owned(),
        "x".to_owned(),
        long("hello", 60),
        format!("{}j", long("hello", 60)),
        format!("{}ol", long("hello", 59)),
        long("hello", 20),
        format!("{}lo", long("hello", 20)),
        long("\u{10428}", 199),
        long("\u{10428}", 100),
        long("\u{10428}", 97),
        "ﷺ".to_owned(),
    ] {
        found += check(&*index, &bodies, &text).await;
    }
    assert!(found >= 16, "only {found} hits were compared");
}
