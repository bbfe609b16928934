//! Creations that come together are numbered by one run of the script, each as if it had come alone.

use std::collections::BTreeSet;

use chat_adapter_redis::{RedisConfig, RedisLimits};
use chat_core::{
    PortError, PortErrorKind,
    contract::Scene,
    model::{ApplicationId, ChatKey, ChatNumber, Content, Sequence, Shard, Submission},
    ports::{Numbering, Overload},
};
use futures_util::future::join_all;

use crate::{
    private_server::PrivateServer,
    system::{System, bare, everything_agrees, keyed, message, send, work},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_is_answered_for_itself() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let limits = RedisLimits {
        pending: 20,
        ..RedisLimits::default()
    };
    let scene = System::new().limited(&server, limits).await;
    let known = scene.chat().await;
    let application = known.application;
    let full = scene.chat_of(application).await;
    let deleted = scene.chat_of(application).await;
    let unknown = scene.chat_of(application).await;
    let broken = [
        scene.chat_of(application).await,
        scene.chat_of(application).await,
    ];
    let sequence = Sequence::Messages(deleted);
    scene.counter().mark_deleted(&sequence).await.unwrap();
    let names = |chat: ChatKey| format!("{{s00}}:{application}:{}", chat.chat);
    for chat in [unknown, broken[0]] {
        server.ask(&format!("DEL {}c", names(chat))).await;
    }
    for chat in broken {
        let pending = format!("{}p", names(chat));
        server.ask(&format!("HSET {pending} foreign 1")).await;
    }

    // Each of these takes its turn with the others.
    let mut submissions = Vec::new();
    for turn in 0..30 {
        let key = format!("key-{}", turn % 10);
        submissions.push(keyed(&scene, message(known, &key), &key));
        submissions.push(bare(&scene, message(full, "hello")));
        submissions.push(bare(&scene, message(deleted, "hello")));
        submissions.push(bare(&scene, message(unknown, "hello")));
        submissions.push(bare(&scene, message(broken[turn % 2], "hello")));
    }
    let answers = together(&server, &scene, &submissions).await;
    let of = |which: usize| answers.iter().skip(which).step_by(5);

    let by_key: Vec<_> = of(0).map(|answer| answer.as_ref().unwrap()).collect();
    for key in 0..10 {
        let of_key = || by_key.iter().skip(key).step_by(10);
        let numbers: BTreeSet<_> = of_key().map(|numbering| number(numbering)).collect();
        assert_eq!(numbers.len(), 1, "of one key: {numbers:?}");
        let replays = of_key().filter(|it| matches!(it, Numbering::Replayed { .. }));
        assert_eq!(replays.count(), 2);
    }
    assert_eq!(accepted(of(0)), (1..=10).collect());
    assert_eq!(accepted(of(1)), (1..=20).collect());
    let over = of(1).filter(|answer| is_over(answer, Overload::Sequence));
    assert_eq!(over.count(), 10);
    assert!(of(2).all(|answer| matches!(answer, Ok(Numbering::Gone))));
    let leases = of(3).filter(|answer| match answer {
        Ok(Numbering::Unknown(unknown)) => unknown.lease.is_some(),
        other => panic!("a sequence that is not known was answered {other:?}"),
    });
    assert_eq!(leases.count(), 1);
    let kinds = of(4).map(|answer| answer.as_ref().unwrap_err().kind);
    assert!(kinds.into_iter().all(|it| it == PortErrorKind::Corrupt));

    for chat in broken {
        server.ask(&format!("DEL {}p", names(chat))).await;
    }
    while work(&scene).await > 0 {}
    assert_eq!(server.text("GET {s00}:b").await, "0");
    assert_eq!(scene.messages_count(known).await, 10);
    assert_eq!(scene.messages_count(full).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_known_as_soon_as_they_are_numbered() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let first = scene.chat().await;
    let chats: Vec<_> = (0..50)
        .map(|_| bare(&scene, new_chat(first.application)))
        .collect();
    let answers = together(&server, &scene, &chats).await;
    let numbers = accepted(answers.iter());
    assert_eq!(numbers, (2..=51).collect());
    for number in numbers {
        let chat = ChatKey {
            chat: ChatNumber::try_new(number).unwrap(),
            ..first
        };
        let numbering = scene.submit(message(chat, "hello")).await;
        assert_eq!(self::number(&numbering), Some(1), "{numbering:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn together_they_keep_within_every_limit() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let limits = RedisLimits {
        high_bytes: 12_000,
        low_bytes: 6_000,
        keys: 5,
        ..RedisLimits::default()
    };
    let scene = System::new().limited(&server, limits).await;
    let chat = scene.chat().await;
    let by_key: Vec<_> = (0..40)
        .map(|at| keyed(&scene, message(chat, "hello"), &format!("key-{at}")))
        .collect();
    let answers = together(&server, &scene, &by_key).await;
    assert_eq!(accepted(answers.iter()), (1..=5).collect());
    let over = answers.iter().filter(|it| is_over(it, Overload::Keys));
    assert_eq!(over.count(), 35);
    assert_eq!(server.text("HGET {s00}:n total").await, "5");

    let text = "x".repeat(1_000);
    let long: Vec<_> = (0..40)
        .map(|_| bare(&scene, message(chat, &text)))
        .collect();
    let answers = together(&server, &scene, &long).await;
    let numbers = accepted(answers.iter());
    assert!((8..=11).contains(&numbers.len()), "{numbers:?}");
    let over = answers.iter().filter(|it| is_over(it, Overload::Backlog));
    assert_eq!(over.count(), 40 - numbers.len());
    assert!(server.text("GET {s00}:b").await.ends_with('+'));

    // Room for one more is not enough: the bytes have to fall to the low limit first.
    let refused = scene.submit(message(chat, "small")).await;
    assert!(is_over(&Ok(refused), Overload::Backlog));
    work(&scene).await;
    let last = *numbers.last().unwrap();
    assert_eq!(send(&scene, chat, 1).await.number.get(), last + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_refuses_only_what_would_be_written() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let deleted = scene.chat_of(chat.application).await;
    let unknown = scene.chat_of(chat.application).await;
    work(&scene).await;
    let sequence = Sequence::Messages(deleted);
    scene.counter().mark_deleted(&sequence).await.unwrap();
    let name = format!("{{s00}}:{}:{}c", chat.application, unknown.chat);
    server.ask(&format!("DEL {name}")).await;
    let old = message(chat, "hello");
    let first = scene.create_with_key(old.clone(), "old").await.unwrap();
    server.ask("CONFIG SET maxmemory 1mb").await;
    let mut submissions = Vec::new();
    for _ in 0..20 {
        submissions.push(keyed(&scene, message(chat, "new"), "new"));
        submissions.push(bare(&scene, message(chat, "hello")));
        submissions.push(bare(&scene, message(unknown, "hello")));
        submissions.push(keyed(&scene, old.clone(), "old"));
        submissions.push(bare(&scene, message(deleted, "hello")));
    }
    let answers = together(&server, &scene, &submissions).await;
    for turn in answers.chunks(5) {
        let [new, bare, unknown, old, deleted] = turn else {
            panic!("an answer is missing");
        };
        for refused in [new, bare, unknown] {
            assert_eq!(refused.as_ref().unwrap_err().kind, PortErrorKind::Full);
        }
        let replayed = number(old.as_ref().unwrap());
        assert_eq!(replayed, Some(first.0.number.get()));
        assert!(matches!(deleted, Ok(Numbering::Gone)));
    }
    everything_agrees(&server, chat, 1, 0).await;
    server.ask("CONFIG SET maxmemory 0").await;
    assert_eq!(send(&scene, chat, 1).await.number.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shard_answers_its_own() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let change = |config: &mut RedisConfig| config.shards = 8;
    let scene = system.process_with(&server, change).await;
    let mut chats = Vec::new();
    for _ in 0..24 {
        chats.push(scene.chat().await);
    }
    let shard_of = |chat: &ChatKey| Shard::of(chat.application, 8);
    let closed = shard_of(&chats[0]);
    server.ask(&format!("SET {{s{closed:02}}}:e 99")).await;
    // By turns to two chats, until each has ten; then to the next two.
    let chat_of = |at: usize| chats[at / 20 * 2 + at % 2];
    let submissions: Vec<_> = (0..240)
        .map(|at| bare(&scene, message(chat_of(at), "hello")))
        .collect();
    let answers = together(&server, &scene, &submissions).await;
    let mut numbered = 0;
    for (at, (answer, submission)) in answers.iter().zip(&submissions).enumerate() {
        let chat = chat_of(at);
        match answer.as_ref().unwrap() {
            Numbering::Closed(shard) => assert_eq!((*shard, shard_of(&chat)), (closed, closed)),
            Numbering::Accepted { number, .. } => {
                let sequence = Sequence::Messages(chat);
                let pending = scene.counter().pending(&sequence, *number).await.unwrap();
                assert_eq!(pending.unwrap().draft, submission.draft);
                assert_ne!(shard_of(&chat), closed);
                numbered += 1;
            }
            other => panic!("answered {other:?}"),
        }
    }
    let open = chats.iter().filter(|chat| shard_of(chat) != closed).count();
    assert_eq!(numbered, open * 10);
}

/// Submits all while the server pauses, so that they wait for each other, and makes sure that they were
/// numbered by far fewer runs of the script.
async fn together(
    server: &PrivateServer,
    scene: &Scene,
    submissions: &[Submission],
) -> Vec<Result<Numbering, PortError>> {
    let before = runs(server).await;
    let counter = scene.counter();
    server.ask("CLIENT PAUSE 500").await;
    let answers = join_all(submissions.iter().map(|it| counter.create(it))).await;
    let runs = runs(server).await - before;
    assert!(runs < submissions.len() / 4, "{runs} runs");
    answers
}

/// How often scripts were run by their hash.
async fn runs(server: &PrivateServer) -> usize {
    let stats = server.text("INFO commandstats").await;
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let (calls, _) = calls.unwrap().split_once(',').unwrap();
    calls.parse().unwrap()
}

fn new_chat(application: ApplicationId) -> Content {
    let title = None;
    Content::Chat { application, title }
}

fn number(numbering: &Numbering) -> Option<u64> {
    match numbering {
        Numbering::Accepted { number, .. } | Numbering::Replayed { number, .. } => {
            Some(number.get())
        }
        _ => None,
    }
}

/// The numbers that were given; none is given twice.
fn accepted<'a>(answers: impl Iterator<Item = &'a Result<Numbering, PortError>>) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    for answer in answers {
        if let Ok(Numbering::Accepted { number, .. }) = answer {
            assert!(numbers.insert(number.get()), "{number} was given twice");
        }
    }
    numbers
}

fn is_over(answer: &Result<Numbering, PortError>, limit: Overload) -> bool {
    matches!(answer, Ok(Numbering::Overloaded { by, .. }) if *by == limit)
}
