//! What is over a limit is refused as a whole, and the keys of others are left alone.

use std::time::Duration;

use chat_adapter_redis::{OpenError, Redis, RedisConfig, RedisLimits};
use chat_core::{
    PortErrorKind,
    memory::Memory,
    model::{DeadLetterId, Sequence},
    ports::{Numbering, Overload, Seed, Settlement},
    service::ServiceError,
};

use crate::{
    private_server::PrivateServer,
    system::{System, bare, everything_agrees, keyed, message, send, work},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_leaves_nothing_half_done() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    work(&scene).await;
    send(&scene, chat, 1).await;
    let info = server.text("INFO memory").await;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    server
        .ask(&format!("CONFIG SET maxmemory {}", used + (1 << 20)))
        .await;
    let text = "x".repeat(9_000);
    let mut given = 1;
    let error = loop {
        let submission = bare(&scene, message(chat, &text));
        match scene.counter().create(&submission).await {
            Ok(Numbering::Accepted { number, .. }) => given = number.get(),
            Ok(other) => panic!("answered {other:?}"),
            Err(error) => break error,
        }
        assert!(given < 10_000, "the memory does not fill");
    };
    assert_eq!(error.kind, PortErrorKind::Full);
    assert!(given > 5);
    everything_agrees(&server, chat, given, 0).await;

    // Settling makes room, even while memory is full.
    assert!(work(&scene).await > 0);
    let next = scene.create(message(chat, "after")).await;
    assert_eq!(next.number.get(), given + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_takes_what_makes_room() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let bad = send(&scene, chat, 1).await;
    server.ask("CONFIG SET maxmemory 1mb").await;
    let submission = bare(&scene, message(chat, "refused"));
    let refused = scene.counter().create(&submission).await;
    assert_eq!(refused.unwrap_err().kind, PortErrorKind::Full);
    let letter = DeadLetterId::of_creation(bad.draft.uid);
    let (sequence, uid) = (bad.sequence(), bad.draft.uid);
    let counter = scene.counter();
    let aside = counter.point_to_letter(&sequence, bad.number, uid, Some(letter));
    aside.await.unwrap();
    counter.mark_deleted(&sequence).await.unwrap();
    let refused = scene.submit(message(chat, "refused")).await;
    assert_eq!(refused, Numbering::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_numbers_nothing() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 1).await;
    server.ask("REPLICAOF 127.0.0.1 1").await;
    let submission = bare(&scene, message(chat, "refused"));
    for _ in 0..2 {
        let refused = match scene.counter().create(&submission).await {
            Ok(Numbering::Closed(shard)) => scene.counter().sight(shard).await.unwrap_err(),
            answer => answer.unwrap_err(),
        };
        assert_eq!(refused.kind, PortErrorKind::Unavailable);
    }
    assert!(scene.counter().check().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_leaves_nothing_half_done() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 2).await;
    let pending = format!("{{s00}}:{}:{}p", chat.application, chat.chat);
    let counter = format!("{{s00}}:{}:{}c", chat.application, chat.chat);
    for key in [&pending, &counter, "{s00}:q", "{s00}:e"] {
        server.ask(&format!("RENAME {key} hidden")).await;
        server.ask(&format!("HSET {key} foreign 1")).await;
        let submission = bare(&scene, message(chat, "refused"));
        match scene.counter().create(&submission).await {
            Err(refused) => assert_eq!(refused.kind, PortErrorKind::Corrupt, "{key}"),
            // A key that is no counter counts as unknown, and seeding it reports what is wrong.
            Ok(Numbering::Unknown(unknown)) if key == counter => {
                let seed = Seed {
                    sequence: unknown.sequence,
                    shard: unknown.shard,
                    epoch: unknown.epoch,
                    lease: unknown.lease.unwrap(),
                    last: 0,
                };
                let refused = scene.counter().seed(&seed).await.unwrap_err();
                assert_eq!(refused.kind, PortErrorKind::Corrupt, "{key}");
            }
            // The shard counts as closed, and sighting it reports what is wrong.
            Ok(Numbering::Closed(shard)) if key == "{s00}:e" => {
                let refused = scene.counter().sight(shard).await.unwrap_err();
                assert_eq!(refused.kind, PortErrorKind::Corrupt, "{key}");
            }
            Ok(other) => panic!("{key} was answered {other:?}"),
        }
        assert_eq!(server.number(&format!("HLEN {key}")).await, 1);
        server.ask(&format!("DEL {key}")).await;
        server.ask(&format!("RENAME hidden {key}")).await;
        everything_agrees(&server, chat, 2, 1).await;
    }
    assert_eq!(send(&scene, chat, 1).await.number.get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_are_refused_until_many_are_stored() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let limits = RedisLimits {
        high_bytes: 10_000,
        low_bytes: 3_000,
        ..RedisLimits::default()
    };
    let scene = system.limited(&server, limits).await;
    let chat = scene.chat().await;
    let text = "x".repeat(1_000);
    let mut sent = Vec::new();
    let full = loop {
        let submission = bare(&scene, message(chat, &text));
        match scene.counter().create(&submission).await.unwrap() {
            Numbering::Accepted { .. } => sent.push(()),
            other => break other,
        }
    };
    assert!(matches!(full, Numbering::Overloaded { .. }), "{full:?}");
    assert!((7..=9).contains(&sent.len()), "{} fit", sent.len());

    // Room for one more is not enough: the bytes have to fall to the low limit first.
    let sequence = Sequence::Messages(chat);
    let mut last = 0;
    let refused = |numbering| matches!(numbering, Numbering::Overloaded { .. });
    for number in 1..sent.len() as u64 {
        let pending = scene
            .counter()
            .pending(&sequence, number.try_into().unwrap());
        let settlement = Settlement::of(&pending.await.unwrap().unwrap(), None);
        scene.counter().settle(&[settlement], &[]).await.unwrap();
        last = number;
        if !refused(scene.submit(message(chat, "small")).await) {
            break;
        }
    }
    assert!(
        (5..=7).contains(&last),
        "it went on after {last} were stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_together_hold_no_more_than_the_limit() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let limits = RedisLimits {
        high_bytes: 40_000,
        low_bytes: 20_000,
        keys: 100,
        ..RedisLimits::default()
    };
    let system = System::new();
    let change = |config: &mut RedisConfig| (config.shards, config.limits) = (8, limits);
    let scene = system.process_with(&server, change).await;
    let chats = [scene.chat().await, scene.chat().await, scene.chat().await];
    let text = "x".repeat(1_000);
    for chat in &chats[..2] {
        for number in 0..60 {
            let key = format!("early-{number}");
            let created = scene.create_with_key(message(*chat, "hello"), &key).await;
            created.unwrap();
        }
    }
    let overload = async |key: Option<&str>| {
        let content = message(chats[2], "one more");
        let submission = match key {
            Some(key) => keyed(&scene, content, key),
            None => bare(&scene, content),
        };
        match scene.counter().create(&submission).await {
            Ok(Numbering::Overloaded { by, .. }) => Some(by),
            Ok(Numbering::Accepted { .. } | Numbering::Replayed { .. }) => None,
            other => panic!("answered {other:?}"),
        }
    };
    // No shard alone has too much of either.
    let mut late = 0;
    let full = scene.eventually("there are too many keys", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        late += 1;
        overload(Some(&format!("late-{late}"))).await
    });
    assert_eq!(full.await, Overload::Keys);
    assert!(late < 100, "the shard was full by itself");
    assert_eq!(overload(None).await, None);
    for chat in &chats[..2] {
        for _ in 0..22 {
            scene.create(message(*chat, &text)).await;
        }
    }
    let full = scene.eventually("too much waits", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        overload(None).await
    });
    assert_eq!(full.await, Overload::Backlog);
    let again = scene
        .create_with_key(message(chats[0], "hello"), "early-7")
        .await;
    assert!(again.unwrap().1, "a key answers all the same");

    while work(&scene).await > 0 {}
    let free = scene.eventually("there is room again", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        overload(None).await.is_none().then_some(())
    });
    free.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_has_more_pending_than_its_limit() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let limits = RedisLimits {
        pending: 3,
        ..RedisLimits::default()
    };
    let system = System::new();
    let scene = system.limited(&server, limits).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    let numbering = scene.submit(message(chat, "one more")).await;
    assert!(
        matches!(numbering, Numbering::Overloaded { .. }),
        "{numbering:?}"
    );
    // Other sequences are not affected, and this one goes on once something is stored.
    let other = scene.chat().await;
    send(&scene, other, 1).await;
    work(&scene).await;
    assert_eq!(send(&scene, chat, 1).await.number.get(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_shard_has_more_idempotency_keys_than_its_limit() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let limits = RedisLimits {
        keys: 2,
        ..RedisLimits::default()
    };
    let system = System::new();
    let scene = system.limited(&server, limits).await;
    let chat = scene.chat().await;
    for key in ["one", "two", "one"] {
        scene
            .create_with_key(message(chat, key), key)
            .await
            .unwrap();
    }
    let third = scene.create_with_key(message(chat, "three"), "three").await;
    assert!(
        matches!(third, Err(ServiceError::Overloaded { .. })),
        "{third:?}"
    );
    assert_eq!(send(&scene, chat, 1).await.number.get(), 3);

    // A day and an hour later the keys are gone, and so is their count.
    let counts = server.ask("HGETALL {s00}:n").await;
    let counts: Vec<String> = redis::from_redis_value(counts).unwrap();
    let hour = counts
        .iter()
        .find(|name| name.parse::<u64>().is_ok_and(|it| it > 100_000));
    let hour: u64 = hour.unwrap().parse().unwrap();
    server.ask("DEL {s00}:n").await;
    let old = hour - 25;
    server
        .ask(&format!("HSET {{s00}}:n total 2 hour {old} {old} 2"))
        .await;
    scene
        .create_with_key(message(chat, "three"), "three")
        .await
        .unwrap();
    assert_eq!(server.text("HGET {s00}:n total").await, "1");
    assert_eq!(server.number(&format!("HEXISTS {{s00}}:n {old}")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drops_accepted_work_is_refused() {
    let arguments = ["--maxmemory-policy", "allkeys-lru"];
    let Some(server) = PrivateServer::start(&arguments).await else {
        return;
    };
    let ports = Memory::new().ports();
    let config = RedisConfig::new(server.url());
    let refused = Redis::open(&config, ports.clock, ports.tokens)
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
    assert!(refused.to_string().contains("allkeys-lru"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_used_and_never_told() {
    let Some(server) = PrivateServer::start(&["--requirepass", "a-secret"]).await else {
        return;
    };
    let ports = Memory::new().ports();
    let open = async |user: &str| {
        let url = format!("redis://{user}@127.0.0.1:{}", server.port);
        let config = RedisConfig::new(url);
        Redis::open(&config, ports.clock.clone(), ports.tokens.clone()).await
    };
    assert!(open(":a-secret").await.is_ok());
    let refused = open(":another-secret").await.err().unwrap();
    let chain = format!("{refused} {refused:?}");
    assert!(chain.contains("authentication failed"), "{chain}");
    assert!(!chain.contains("secret"), "{chain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_do_all_is_refused() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    server
        .ask("ACL SETUSER half on >pass ~* +@all -rpush")
        .await;
    let ports = Memory::new().ports();
    let url = format!("redis://half:pass@127.0.0.1:{}", server.port);
    let config = RedisConfig::new(url);
    let refused = Redis::open(&config, ports.clock, ports.tokens)
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
    let keys = server.keys().await;
    let foreign = keys.iter().find(|key| !key.contains("probe"));
    assert_eq!(foreign, None, "more than its own keys was touched");
}
