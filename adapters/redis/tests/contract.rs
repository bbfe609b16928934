//! The laws, on a Redis server and on a Redis Cluster.

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
use redis::{Value, aio::MultiplexedConnection};

/// The variable with the URL of the single server, and its name in `CHAT_TEST_REQUIRE`.
const SERVER: Named = ("CHAT_TEST_REDIS_URL", "redis");

/// The same for a cluster.
const CLUSTER: Named = ("CHAT_TEST_REDIS_CLUSTER_URL", "rediscluster");

/// A variable with a URL, and the name in `CHAT_TEST_REQUIRE` that requires it.
type Named = (&'static str, &'static str);

/// Counter and queue on the named server or cluster, under a prefix that nobody else uses.
async fn redis(named: Named, enqueues: bool) -> Option<(Ports, Memory)> {
    let (ports, memory, _) = open(named, enqueues).await?;
    Some((ports, memory))
}

/// The same, with the configuration, which has the URL and the prefix.
async fn open(
    (variable, asked_for): Named,
    enqueues: bool,
) -> Option<(Ports, Memory, RedisConfig)> {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = env::var(variable) else {
        let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|name| name.trim() == asked_for),
            "CHAT_TEST_REQUIRE asks for {asked_for}, and {variable} names no server"
        );
        let _ = writeln!(io::stderr(), "skipped: {variable} names no server");
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

/// The same, with a way to evict its counters.
async fn forgetful(named: Named) -> Option<(Forgetful, Memory)> {
    let (ports, memory, RedisConfig { url, prefix, .. }) = open(named, true).await?;
    let forget: Forget = Box::new(move |sequence| {
        let (url, prefix) = (url.clone(), prefix.clone());
        Box::pin(async move {
            let name = match sequence {
                Sequence::Chats(application) => format!("{application}"),
                Sequence::Messages(chat) => format!("{}:{}", chat.application, chat.chat),
            };
            let mut evicted = 0;
            for mut connection in connections(&url).await {
                let all: Vec<String> = redis::cmd("KEYS")
                    .arg(format!("{prefix}{{*}}:{name}c"))
                    .query_async(&mut connection)
                    .await
                    .expect("keys can be listed");
                for key in all {
                    let evicting = redis::cmd("DEL").arg(key).exec_async(&mut connection).await;
                    evicting.expect("a key can be deleted");
                    evicted += 1;
                }
            }
            assert_eq!(evicted, 1, "one counter is `{name}`");
        })
    });
    Some((Forgetful { ports, forget }, memory))
}

/// Connections to the one server, or to each node of a cluster.
async fn connections(url: &str) -> Vec<MultiplexedConnection> {
    let first = connection(&url.replace("redis+cluster:", "redis:")).await;
    if !url.starts_with("redis+cluster:") {
        return vec![first];
    }
    let slots: Vec<Vec<Value>> = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut first.clone())
        .await
        .expect("a node knows the others");
    let mut connections = Vec::new();
    for mut range in slots {
        let node: Vec<Value> =
            redis::from_redis_value(range.swap_remove(2)).expect("a node has a master");
        let mut node = node.into_iter();
        let mut next = || redis::from_redis_value::<String>(node.next().unwrap_or_default());
        let (host, port) = (next().expect("a host"), next().expect("a port"));
        connections.push(connection(&format!("redis://{host}:{port}")).await);
    }
    connections
}

async fn connection(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("it was opened before");
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("it answered before")
}

mod counter {
    use super::*;
    counter_contract!(redis(SERVER, true));
}

mod counter_of_another_queue {
    use super::*;
    counter_contract!(redis(SERVER, false));
}

mod counter_that_forgets {
    use super::*;
    counter_forgetting_contract!(forgetful(SERVER));
}

mod queue {
    use super::*;
    queue_contract!(redis(SERVER, true));
}

mod counter_on_a_cluster {
    use super::*;
    counter_contract!(redis(CLUSTER, true));
}

mod counter_of_another_queue_on_a_cluster {
    use super::*;
    counter_contract!(redis(CLUSTER, false));
}

mod counter_that_forgets_on_a_cluster {
    use super::*;
    counter_forgetting_contract!(forgetful(CLUSTER));
}

mod queue_on_a_cluster {
    use super::*;
    queue_contract!(redis(CLUSTER, true));
}
