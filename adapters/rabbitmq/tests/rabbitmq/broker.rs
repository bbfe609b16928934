//! The broker under test, seen from outside.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use chat_adapter_rabbitmq::{RabbitMqConfig, RabbitMqQueue};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{ApplicationId, ChatKey, Content, Creation, MessageBody, Number},
    ports::{Consumer, Delivery, Entry, Queue as _},
};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, options::BasicPublishOptions,
};

use crate::{named, proxy::Proxy};

pub(crate) const MOMENT: Duration = Duration::from_millis(200);

/// A test's own queues on the broker, and a proxy in front of it.
pub(crate) struct Broker {
    pub(crate) proxy: Proxy,
    pub(crate) config: RabbitMqConfig,
    url: String,
    _connection: Connection,
    /// A channel on a connection beside the adapter's.
    pub(crate) channel: Channel,
}

impl Broker {
    /// Finds the broker; `None` if none is named.
    pub(crate) async fn find() -> Option<Self> {
        let url = named::server()?;
        let place = url.rsplit_once('@').expect("the URL has a user").1;
        let (place, _) = place.split_once('/').expect("the URL has a virtual host");
        let proxy = Proxy::to(place.parse().expect("the URL has an address")).await;
        let config = RabbitMqConfig {
            prefix: own_prefix(),
            answer_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(700),
            ..RabbitMqConfig::new(url.replace(place, &proxy.address.to_string()))
        };
        let connection = Connection::connect(&url, ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Some(Self {
            proxy,
            config,
            url,
            _connection: connection,
            channel,
        })
    }

    /// The queue as a process sees it.
    pub(crate) async fn process(&self) -> Arc<RabbitMqQueue> {
        Arc::new(RabbitMqQueue::open(&self.config).await.unwrap())
    }

    /// The same settings, without the proxy.
    pub(crate) fn straight(&self) -> RabbitMqConfig {
        RabbitMqConfig {
            url: self.url.clone(),
            ..self.config.clone()
        }
    }

    pub(crate) fn work(&self) -> String {
        format!("{}creations", self.config.prefix)
    }

    pub(crate) async fn publish(&self, properties: BasicProperties, body: &[u8]) {
        let (queue, options) = (self.work().into(), BasicPublishOptions::default());
        let publishing = self
            .channel
            .basic_publish("".into(), queue, options, body, properties);
        publishing.await.unwrap().await.unwrap();
    }
}

/// A prefix for names of queues that nobody else has.
pub(crate) fn own_prefix() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("test-{random:x}.")
}

/// A creation of a message with this number.
pub(crate) fn creation(number: u64) -> Creation {
    let scene = Scene::new(Memory::new().ports());
    let content = Content::Message {
        chat: ChatKey {
            application: ApplicationId::new(1),
            chat: Number::try_new(1).unwrap().into(),
        },
        sender: None,
        body: MessageBody::parse(format!("message {number}")).unwrap(),
    };
    scene.creation(content, number)
}

pub(crate) fn one() -> Consumer {
    Consumer("one".to_owned())
}

/// Takes exactly so many entries, with retries for a few seconds; errors are ignored.
pub(crate) async fn receive(queue: &RabbitMqQueue, most: usize) -> Vec<Delivery> {
    for _ in 0..20 {
        match queue.receive(&one(), most, MOMENT).await {
            Ok(taken) if taken.len() == most => return taken,
            Ok(taken) => queue
                .give_back(
                    &taken
                        .iter()
                        .map(|it| it.receipt.clone())
                        .collect::<Vec<_>>(),
                )
                .await
                .unwrap_or_default(),
            Err(_) => tokio::time::sleep(MOMENT).await,
        }
    }
    panic!("{most} entries did not come");
}

/// The numbers of what was received.
pub(crate) fn numbers(taken: &[Delivery]) -> Vec<u64> {
    let number = |delivery: &Delivery| match &delivery.entry {
        Entry::Creation(creation) => creation.number.get(),
        Entry::Unreadable { detail, .. } => panic!("unreadable: {detail}"),
    };
    taken.iter().map(number).collect()
}
