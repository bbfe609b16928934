//! The laws, on a RabbitMQ server.

mod named;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use chat_adapter_rabbitmq::{RabbitMqConfig, RabbitMqQueue};
use chat_core::{contract::queue_contract, memory::Memory, ports::Ports};

/// The queue on the named server, under a prefix that nobody else uses.
async fn rabbitmq() -> Option<(Ports, Memory)> {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    let url = named::server()?;
    let count = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().build_hasher().finish();
    let config = RabbitMqConfig {
        prefix: format!("law-{random:x}-{count}."),
        ..RabbitMqConfig::new(url)
    };
    let memory = Memory::new();
    let opened = RabbitMqQueue::open(&config).await;
    let queue = opened.expect("the server that is named can be used");
    let ports = Ports {
        queue: Arc::new(queue),
        ..memory.ports()
    };
    Some((ports, memory))
}

mod queue {
    use super::*;
    queue_contract!(rabbitmq());
}
