//! The laws, on a Redis server.

use std::{
    env,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use chat_adapter_redis::{Redis, RedisConfig};
use chat_core::{
    contract::{
        counter::{Forget, Forgetful},
        counter_contract, counter_forgetting_contract, queue_contract,
    },
    memory::Memory,
    model::Sequence,
    ports::Ports,
};

/// Counter and queue on the server that is named, under names that nobody else uses.
async fn redis(enqueues: bool) -> Option<(Ports, Memory)> {
    let (ports, memory, _) = named(enqueues).await?;
    Some((ports, memory))
}

/// The same, with the server's address and what all names begin with.
async fn named(enqueues: bool) -> Option<(Ports, Memory, RedisConfig)> {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = env::var("CHAT_TEST_REDIS_URL") else {
        let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|name| name.trim() == "redis"),
            "CHAT_TEST_REQUIRE asks for redis, and CHAT_TEST_REDIS_URL names no server"
        );
        let _ = writeln!(io::stderr(), "skipped: CHAT_TEST_REDIS_URL names no server");
        return None;
    };
    let count = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().build_hasher().finish();
    let config = RedisConfig {
        prefix: format!("law-{random:x}-{count}:"),
        enqueues,
        ..RedisConfig::new(url)
    };
    let memory = Memory::new();
    let ports = memory.ports();
    let opened = Redis::open(&config, Arc::clone(&ports.clock), Arc::clone(&ports.tokens));
    let redis = opened.await.expect("the server that is named can be used");
    let ports = Ports {
        counter: redis.counter,
        queue: redis.queue,
        ..ports
    };
    Some((ports, memory, config))
}

/// The same, and how its counters are evicted.
async fn forgetful() -> Option<(Forgetful, Memory)> {
    let (ports, memory, RedisConfig { url, prefix, .. }) = named(true).await?;
    let forget: Forget = Box::new(move |sequence| {
        let (url, prefix) = (url.clone(), prefix.clone());
        Box::pin(async move {
            let client = redis::Client::open(url).expect("it was opened before");
            let connection = client.get_multiplexed_async_connection().await;
            let mut connection = connection.expect("it answered before");
            let name = match sequence {
                Sequence::Chats(application) => format!("{application}"),
                Sequence::Messages(chat) => format!("{}:{}", chat.application, chat.chat),
            };
            let all: Vec<String> = redis::cmd("KEYS")
                .arg(format!("{prefix}{{*}}:{name}c"))
                .query_async(&mut connection)
                .await
                .expect("keys can be listed");
            assert_eq!(all.len(), 1, "one counter is `{name}`: {all:?}");
            let evicting = redis::cmd("DEL").arg(all).exec_async(&mut connection).await;
            evicting.expect("a key can be deleted");
        })
    });
    Some((Forgetful { ports, forget }, memory))
}

mod counter {
    use super::*;
    counter_contract!(redis(true));
}

mod counter_of_another_queue {
    use super::*;
    counter_contract!(redis(false));
}

mod counter_that_forgets {
    use super::*;
    counter_forgetting_contract!(forgetful());
}

mod queue {
    use super::*;
    queue_contract!(redis(true));
}
