//! The script that numbers does the same for creations that share a run as for each in a run of its own.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseResult, TestRunner},
};
use redis::{Cmd, Value, from_redis_value};
use tokio::runtime::{Builder, Runtime};

use crate::private_server::PrivateServer;

/// The script, with limits that a few creations reach.
const SCRIPT: &str = concat!(
    "local EPOCH, KNOWN = '2', '2:'\n",
    "local PENDING, HIGH, LOW, KEYS_MOST = 3, 60, 30, 4\n",
    include_str!("../../src/scripts/create.lua")
);

/// The chats that there are: two are known, one is deleted, of one only something pending is known, and of
/// two what is pending has the wrong type.
const CHATS: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

/// A creation as the script takes it.
#[derive(Debug, Clone)]
struct Creation {
    /// In which chat, or none for a chat.
    chat: Option<&'static str>,
    /// The bytes of its payload.
    size: usize,
    /// Its idempotency key, and the digest of its request.
    key: Option<(u8, char)>,
    exceeded: &'static str,
}

/// What there is before.
#[derive(Debug, Clone)]
struct Before {
    epoch: &'static str,
    bytes: Option<&'static str>,
    /// How many keys were made 30 hours, two hours and no hour ago.
    keys: Option<[u64; 3]>,
}

fn creation() -> impl Strategy<Value = Creation> {
    let chat = prop_oneof![
        3 => Just(Some("1")),
        1 => Just(None),
        3 => proptest::sample::select(&CHATS[..]).prop_map(Some),
    ];
    let key = proptest::option::of((0..4_u8, prop_oneof![4 => Just('a'), 1 => Just('b')]));
    let exceeded = prop_oneof![9 => Just(""), 1 => Just("k")];
    (chat, 1..25_usize, key, exceeded).prop_map(|(chat, size, key, exceeded)| Creation {
        chat,
        size,
        key,
        exceeded,
    })
}

fn before() -> impl Strategy<Value = Before> {
    let bytes =
        proptest::sample::select(vec![None, Some("0"), Some("20"), Some("50"), Some("29+")]);
    let bytes = prop_oneof![bytes, Just(Some("45+"))];
    let epoch = prop_oneof![9 => Just("2"), 1 => Just("3")];
    let keys = proptest::option::of([0..3_u64, 0..3_u64, 0..3_u64]);
    (epoch, bytes, keys).prop_map(|(epoch, bytes, keys)| Before { epoch, bytes, keys })
}

#[test]
fn a_run_for_many_does_what_runs_for_each_do() {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(server) = runtime.block_on(PrivateServer::strict()) else {
        return;
    };
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &(before(), vec(creation(), 1..12)),
        |(before, creations)| compare(&runtime, &server, &before, &creations),
    );
    outcome.unwrap();
}

fn compare(
    runtime: &Runtime,
    server: &PrivateServer,
    before: &Before,
    creations: &[Creation],
) -> TestCaseResult {
    let [each, joined] = ["{each}:", "{joined}:"].map(|base| {
        runtime.block_on(async {
            prepare(server, base, before).await;
            let mut answers = Vec::new();
            let together = if base == "{each}:" {
                1
            } else {
                creations.len()
            };
            for run in creations.chunks(together) {
                let told: Vec<String> =
                    from_redis_value(server.run(&call(base, run)).await).unwrap();
                answers.extend(told.iter().map(|answer| without_times(answer)));
            }
            (answers, contents(server, base).await)
        })
    });
    prop_assert_eq!(each, joined);
    Ok(())
}

/// The call of the script for some creations.
fn call(base: &str, creations: &[Creation]) -> Cmd {
    let mut keys = ["e", "b", "q"].map(|kind| format!("{base}{kind}")).to_vec();
    let mut arguments = Vec::new();
    for creation in creations {
        let sequence = match creation.chat {
            Some(chat) => format!("7:{chat}"),
            None => "7".to_owned(),
        };
        keys.push(format!("{base}7c"));
        keys.extend(["c", "p"].map(|kind| format!("{base}{sequence}{kind}")));
        let (digest, created_at) = match creation.key {
            Some((key, digest)) => {
                keys.push(format!("{base}7i{key}"));
                keys.push(format!("{base}n"));
                (digest.to_string().repeat(32), "1790000000000000".to_owned())
            }
            None => (String::new(), String::new()),
        };
        let payload = "x".repeat(creation.size);
        let uid = "0123456789abcdef".to_owned();
        arguments.extend([payload, sequence, uid, digest, created_at]);
        arguments.push(creation.exceeded.to_owned());
    }
    let mut command = redis::cmd("EVAL");
    command.arg(SCRIPT).arg(keys.len()).arg(keys).arg(arguments);
    command
}

/// Replaces all that was there before.
async fn prepare(server: &PrivateServer, base: &str, before: &Before) {
    for key in server.keys().await {
        if key.starts_with(base) {
            server.ask(&format!("DEL {key}")).await;
        }
    }
    let hour = from_redis_value::<(u64, u64)>(server.ask("TIME").await)
        .unwrap()
        .0
        / 3600;
    let mut commands = vec![
        format!("SET {base}e {}", before.epoch),
        format!("SET {base}7c 2:6"),
        format!("SET {base}7:1c 2:0"),
        format!("SET {base}7:2c 2:9007199254740990"),
        format!("SET {base}7:3c -"),
        format!("RPUSH {base}7:4p 5_1-1_3_0123456789abcdef"),
        format!("SET {base}7:5c 2:4"),
        format!("HSET {base}7:5p foreign 1"),
        format!("HSET {base}7:6p foreign 1"),
    ];
    if let Some(bytes) = before.bytes {
        commands.push(format!("SET {base}b {bytes}"));
    }
    if let Some([past, earlier, now]) = before.keys {
        let (then, recent) = (hour - 30, hour - 2);
        let total = past + earlier + now;
        commands.push(format!(
            "HSET {base}n total {total} hour {recent} {then} {past} {recent} {earlier} {hour} {now}"
        ));
    }
    for command in commands {
        server.ask(&command).await;
    }
}

/// All keys and what they hold, without what differs by the moment.
async fn contents(server: &PrivateServer, base: &str) -> BTreeMap<String, String> {
    let mut contents = BTreeMap::new();
    for key in server.keys().await {
        let Some(name) = key.strip_prefix(base) else {
            continue;
        };
        let read = match server.text(&format!("TYPE {key}")).await.as_str() {
            "string" => format!("GET {key}"),
            "list" => format!("LRANGE {key} 0 -1"),
            "hash" => format!("HGETALL {key}"),
            _ => format!("XRANGE {key} - +"),
        };
        let expires = server.number(&format!("PTTL {key}")).await > 0;
        let held = shown(server.ask(&read).await);
        let held = if name.ends_with('l') {
            "a lease".to_owned()
        } else {
            held
        };
        contents.insert(name.to_owned(), format!("{held} {expires}"));
    }
    contents
}

/// What a key holds as text; the ids of entries count as equal.
fn shown(value: Value) -> String {
    match value {
        Value::Array(values) => {
            let values: Vec<String> = values.into_iter().map(shown).collect();
            values.join("|")
        }
        value => without_times(&from_redis_value::<String>(value).unwrap()),
    }
}

/// Leaves out the ids of entries, and of leases all but that there is one.
fn without_times(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('-') {
        Some((major, minor)) if major.len() == 13 && minor.parse::<u64>().is_ok() => "id",
        _ if word.starts_with('U') && word.len() > 10 => &word[..2],
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
