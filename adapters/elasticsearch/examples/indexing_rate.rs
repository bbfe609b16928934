//! Compares indexing with a plain loop of bulk requests that hold the same documents, ready to be sent.
//!
//! `CHAT_TEST_ELASTICSEARCH_URL=http://127.0.0.1:9200 cargo run --release
//! -p chat-adapter-elasticsearch --example indexing_rate [changes a call] [calls a round]`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints what it finds, and may fail"
)]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chat_adapter_elasticsearch::{ElasticsearchConfig, ElasticsearchSearchIndex};
use chat_core::{
    model::{
        ApplicationId, ChatNumber, Generation, GenerationState, MessageBody, MessageKey,
        MessageNumber, Timestamp,
    },
    ports::{Applied, IndexChange, IndexDocument, SearchIndex as _},
    text::tokens,
};
use elasticsearch::{BulkParts, Elasticsearch, http::transport::Transport};
use serde_json::{Value, json};

const ROUNDS: usize = 7;

/// The size of a plain request in bytes, bounded as the adapter bounds its own.
const BULK_BYTES: usize = 1 << 20;

/// How many words the messages draw from; as in chats, some are frequent, most are rare.
const WORDS: usize = 20_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().unwrap())
        .collect();
    let argument = |at: usize, usual| arguments.get(at).copied().unwrap_or(usual);
    let (changes, calls) = (argument(0, 8_000), argument(1, 3));
    let url = std::env::var("CHAT_TEST_ELASTICSEARCH_URL").unwrap();
    let plain = Elasticsearch::new(Transport::single_node(&url).unwrap());
    for state in [GenerationState::Building, GenerationState::Serving] {
        let prefixes = ["own", "plain"].map(|side| format!("rate-{}-{side}-", std::process::id()));
        let [own, other] = prefixes.clone().map(|prefix| {
            let config = ElasticsearchConfig {
                prefix,
                ..ElasticsearchConfig::new(&url)
            };
            ElasticsearchSearchIndex::try_new(&config).unwrap()
        });
        let generation = Generation { number: 1, state };
        for index in [&own, &other] {
            index.create_generation(&generation).await.unwrap();
            if state == GenerationState::Serving {
                index.serve_generation(&generation).await.unwrap();
            }
        }
        let target = format!("{}index-1", prefixes[1]);
        let (mut next, mut ratios) = (1, Vec::new());
        for round in 0..=ROUNDS {
            let mut took = [Duration::ZERO; 2];
            for _ in 0..calls {
                let batch: Vec<IndexDocument> = (next..).take(changes).map(document).collect();
                next += changes as u64;
                let bodies = bodies(&batch);
                let own_batch: Vec<_> = batch.into_iter().map(IndexChange::Put).collect();
                // The two sides take turns in going first.
                for side in [round % 2, (round + 1) % 2] {
                    let start = Instant::now();
                    if side == 0 {
                        let applied = own.apply(&generation, &own_batch).await.unwrap();
                        assert!(applied.iter().all(|it| *it == Applied::Done));
                    } else {
                        send(&plain, &target, bodies.clone()).await;
                    }
                    took[side] += start.elapsed();
                }
            }
            // The first round warms up.
            if round > 0 {
                let rate = |took: Duration| (changes * calls) as f64 / took.as_secs_f64();
                let ratio = took[1].as_secs_f64() / took[0].as_secs_f64();
                ratios.push(ratio);
                println!(
                    "apply {:8.0} documents/s, plain bulk {:8.0} documents/s, ratio {ratio:.2}",
                    rate(took[0]),
                    rate(took[1]),
                );
            }
        }
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        println!("{state:?}, {changes} documents a call: median ratio {median:.2}");
        for index in [&own, &other] {
            index.remove_generation(&generation).await.unwrap();
        }
    }
}

/// Makes a message of some words, the same in each run for a given number.
fn document(number: u64) -> IndexDocument {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(number | 1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut body = String::new();
    for _ in 0..5 + draw(12) {
        // Small numbers are drawn more often.
        let word = draw(WORDS) * draw(WORDS) / WORDS;
        let letters = ["ka", "lo", "mi", "ne", "ru", "ta", "vo", "su", "pe", "di"];
        for digit in word.to_string().bytes() {
            body.push_str(letters[usize::from(digit - b'0')]);
        }
        body.push(' ');
    }
    IndexDocument {
        key: MessageKey {
            application: ApplicationId::new(1),
            chat: ChatNumber::try_new(number % 50 + 1).unwrap(),
            message: MessageNumber::try_new(number).unwrap(),
        },
        version: 1,
        body: MessageBody::parse(body).unwrap(),
        created_at: Timestamp::from_micros(i64::try_from(number).unwrap()),
    }
}

/// Builds bulk requests of the same documents that the adapter makes of the messages.
fn bodies(batch: &[IndexDocument]) -> Vec<String> {
    let mut bodies = vec![String::new()];
    for message in batch {
        let all = tokens(message.body.as_str());
        let different: BTreeSet<&str> = all.iter().map(|token| token.word.as_str()).collect();
        let different: Vec<&str> = different.into_iter().collect();
        let words: Vec<&str> = all.iter().map(|token| token.word.as_str()).collect();
        let key = message.key;
        let document = json!({
            "application": key.application.get(),
            "chat": format!("{}:{}", key.application, key.chat),
            "chat_number": key.chat.get(),
            "number": key.message.get(),
            "created_at": message.created_at.as_micros(),
            "words": different.join(" "),
            "tokens": BASE64_STANDARD.encode(words.join(" ") + " "),
        });
        let id = format!("{}:{}:{}", key.application, key.chat, key.message);
        let action = json!({"index": {"_id": id, "routing": key.application.to_string()}});
        if bodies.last().is_some_and(|body| body.len() > BULK_BYTES) {
            bodies.push(String::new());
        }
        let body = bodies.last_mut().unwrap();
        writeln!(body, "{action}\n{document}").unwrap();
    }
    bodies
}

async fn send(plain: &Elasticsearch, target: &str, bodies: Vec<String>) {
    for body in bodies {
        let sent = plain.bulk(BulkParts::Index(target)).body(vec![body]).send();
        let answer: Value = sent.await.unwrap().json().await.unwrap();
        assert_eq!(answer["errors"], false, "{answer}");
    }
}
