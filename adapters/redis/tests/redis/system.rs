//! Counter and queue on one server, with all else in memory.

use std::{collections::BTreeMap, sync::Arc};

use chat_adapter_redis::{Redis, RedisConfig, RedisLimits};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{
        ChatKey, Content, Creation, IdempotencyKey, MessageBody, Position, Shard, Submission,
        Timestamp,
    },
    ports::{Consumer, Delivery, Entry, Ports, Settlement, StoreBatch},
};

use crate::private_server::PrivateServer;

/// What several processes share besides the server.
pub(crate) struct System {
    memory: Memory,
}

impl System {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::new(),
        }
    }

    /// A process with connections of its own.
    pub(crate) async fn process(&self, server: &PrivateServer) -> Scene {
        self.process_with(server, |_| {}).await
    }

    /// A process with limits of its own.
    pub(crate) async fn limited(&self, server: &PrivateServer, limits: RedisLimits) -> Scene {
        self.process_with(server, |config| config.limits = limits)
            .await
    }

    /// A process whose settings are not the usual ones.
    pub(crate) async fn process_with(
        &self,
        server: &PrivateServer,
        change: impl FnOnce(&mut RedisConfig),
    ) -> Scene {
        self.process_at(server.url(), change).await
    }

    /// A process on the server or cluster that a URL names.
    pub(crate) async fn process_at(
        &self,
        url: String,
        change: impl FnOnce(&mut RedisConfig),
    ) -> Scene {
        let mut config = RedisConfig {
            prefix: String::new(),
            shards: 1,
            ..RedisConfig::new(url)
        };
        change(&mut config);
        let ports = self.memory.ports();
        let opened = Redis::open(&config, Arc::clone(&ports.clock), Arc::clone(&ports.tokens));
        let redis = opened.await.unwrap();
        Scene::new(Ports {
            counter: redis.counter,
            queue: redis.queue,
            ..ports
        })
    }
}

pub(crate) fn message(chat: ChatKey, text: &str) -> Content {
    Content::Message {
        chat,
        sender: None,
        body: MessageBody::parse(text).unwrap(),
    }
}

/// A new draft as it is handed to the counter, without an idempotency key.
pub(crate) fn bare(scene: &Scene, content: Content) -> Submission {
    let draft = scene.draft(content);
    Submission { draft, key: None }
}

/// The same with an idempotency key.
pub(crate) fn keyed(scene: &Scene, content: Content, key: &str) -> Submission {
    let key = Some(IdempotencyKey::parse(key.as_bytes()).unwrap());
    Submission {
        key,
        ..bare(scene, content)
    }
}

/// Creates some messages, and returns the last one.
pub(crate) async fn send(scene: &Scene, chat: ChatKey, count: usize) -> Creation {
    let mut last = None;
    for _ in 0..count {
        last = Some(scene.create(message(chat, "hello")).await);
    }
    last.unwrap()
}

/// Takes what is in the queue, for one consumer.
pub(crate) async fn receive(scene: &Scene, consumer: &str) -> Vec<Delivery> {
    let consumer = Consumer(consumer.to_owned());
    let wait = std::time::Duration::from_millis(50);
    let received = scene.queue().receive(&consumer, 500, wait).await;
    received.unwrap()
}

/// Stores and settles what is in the queue, as a worker does.
pub(crate) async fn work(scene: &Scene) -> usize {
    let deliveries = receive(scene, "worker").await;
    let mut creations = Vec::new();
    let mut settlements = Vec::new();
    let mut furthest: BTreeMap<Shard, Position> = BTreeMap::new();
    for delivery in deliveries {
        let Entry::Creation(creation) = delivery.entry else {
            panic!("an entry cannot be read");
        };
        let (shard, position) = delivery.position.unwrap();
        let known = furthest.entry(shard).or_default();
        *known = position.max(*known);
        settlements.push(Settlement::of(&creation, Some(delivery.receipt)));
        creations.push((creation, false));
    }
    let batch = StoreBatch {
        creations,
        not_before: Timestamp::MIN,
        positions: furthest.into_iter().collect(),
    };
    let stored = scene.repository().store(&batch).await.unwrap();
    let settled = scene.counter().settle(&settlements, &stored.epochs).await;
    assert_eq!(settled.unwrap(), []);
    settlements.len()
}

/// Asserts that counter, stream, pending list and bytes agree on the same creations.
///
/// `chats` is how many chats of the application are pending too.
pub(crate) async fn everything_agrees(
    server: &PrivateServer,
    chat: ChatKey,
    given: u64,
    chats: i64,
) {
    let name = format!("{{s00}}:{}:{}", chat.application, chat.chat);
    assert_eq!(
        server.text(&format!("GET {name}c")).await,
        format!("1:{given}")
    );
    let given = i64::try_from(given).unwrap();
    assert_eq!(server.number(&format!("LLEN {name}p")).await, given);
    assert_eq!(server.number("XLEN {s00}:q").await, given + chats);
    let mut bytes = 0;
    for key in [format!("{name}p"), format!("{{s00}}:{}p", chat.application)] {
        let members = server.ask(&format!("LRANGE {key} 0 -1")).await;
        let members: Vec<Vec<u8>> = redis::from_redis_value(members).unwrap();
        for member in members {
            let size = member.split(|byte| *byte == b' ').nth(2).unwrap().to_vec();
            bytes += String::from_utf8(size).unwrap().parse::<u64>().unwrap();
        }
    }
    assert_eq!(server.text("GET {s00}:b").await, bytes.to_string());
}
