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
    contract::{counter_contract, queue_contract},
    memory::Memory,
    ports::Ports,
};

/// Counter and queue on the server that is named, under names that nobody else uses.
async fn redis(enqueues: bool) -> Option<(Ports, Memory)> {
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
    Some((ports, memory))
}

mod counter {
    use super::*;
    counter_contract!(redis(true));
}

mod counter_of_another_queue {
    use super::*;
    counter_contract!(redis(false));
}

mod queue {
    use super::*;
    queue_contract!(redis(true));
}
