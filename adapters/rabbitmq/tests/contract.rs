//! The laws, on a RabbitMQ server.

use std::{
    env,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use chat_adapter_rabbitmq::{RabbitMqConfig, RabbitMqQueue};
use chat_core::{contract::queue_contract, memory::Memory, ports::Ports};

/// The queue on the server that is named, under names that nobody else uses.
async fn rabbitmq() -> Option<(Ports, Memory)> {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = env::var("CHAT_TEST_RABBITMQ_URL") else {
        let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|name| name.trim() == "rabbitmq"),
            "CHAT_TEST_REQUIRE asks for rabbitmq, and CHAT_TEST_RABBITMQ_URL names no server"
        );
        let _ = writeln!(
            io::stderr(),
            "skipped: CHAT_TEST_RABBITMQ_URL names no server"
        );
        return None;
    };
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
