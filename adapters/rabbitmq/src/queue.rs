//! Durable work in quorum queues.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    PortError,
    model::Creation,
    ports::{Backlog, Consumer, Delivery, Queue, Receipt},
};
use lapin::{
    Confirmation,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::Instant;

use crate::{
    RabbitMqConfig,
    config::address,
    entry,
    error::{Failure, OpenError},
    link::{self, Link, Place},
    receiver::{End, Lanes, Receiver},
};

/// Carries work in a quorum queue, with any number of consumers.
///
/// What a dead consumer held is redelivered once the broker has noticed, within a few heartbeats.
///
/// The broker tells no sizes, so the bytes of the backlog are its entries times the mean size of what this
/// process has published and received; limits in bytes are the counter's.
pub struct RabbitMqQueue {
    place: Arc<Place>,
    gather: Duration,
    /// A connection of its own, since a broker that is nearly full blocks every one that publishes.
    publishing: Link,
    receiving: Link,
    receivers: Mutex<HashMap<Consumer, Arc<tokio::sync::Mutex<Option<Receiver>>>>>,
    lanes: Arc<Lanes>,
}

impl RabbitMqQueue {
    /// Connects, and declares the queues.
    ///
    /// # Errors
    ///
    /// Fails when the settings make no sense, the broker does not answer, refuses the user, or has queues
    /// of these names that are of another kind.
    pub async fn open(config: &RabbitMqConfig) -> Result<Self, OpenError> {
        config.check()?;
        let uri = config.uri()?;
        let address = address(&uri);
        let place = Arc::new(Place::new(uri, config));
        let unusable = |failure: Failure| OpenError::Unusable {
            address: address.clone(),
            source: failure.of("connect"),
        };
        let open = |purpose| Link::open(Arc::clone(&place), purpose);
        let links = tokio::try_join!(open("publishing"), open("receiving"));
        let (publishing, receiving) = links.map_err(unusable)?;
        Ok(Self {
            place,
            gather: config.gather,
            publishing,
            receiving,
            receivers: Mutex::default(),
            lanes: Arc::default(),
        })
    }

    /// Connects and disconnects again, without declaring anything.
    ///
    /// # Errors
    ///
    /// Fails when the settings make no sense, the broker does not answer, or refuses the user.
    pub async fn reach(config: &RabbitMqConfig) -> Result<(), OpenError> {
        let uri = config.uri()?;
        let address = address(&uri);
        let reached = link::reach(&Place::new(uri, config)).await;
        reached.map_err(|failure| OpenError::Unusable {
            address,
            source: failure.of("connect"),
        })
    }

    /// Closes the connections; the broker redelivers what is not acknowledged.
    pub async fn close(&self) {
        tokio::join!(self.publishing.close(), self.receiving.close());
    }

    async fn add(&self, creation: &Creation, forced: bool) -> Result<(), Failure> {
        let session = self.publishing.session()?;
        if session.is_blocked() {
            return Err(Failure::Blocked);
        }
        let body = creation.draft.encode();
        self.lanes.seen.note(body.len());
        let publishing = async {
            let options = BasicPublishOptions {
                // The broker returns an entry that no queue takes.
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let queue = self.place.work.clone();
            let properties = entry::properties(creation, forced);
            let channel = &session.channel;
            let published = channel.basic_publish("".into(), queue, options, &body, properties);
            published.await?.await
        };
        match session.ask(publishing).await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => {
                // The next connection declares the queue again.
                session.give_up();
                Err(Failure::Unroutable)
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(Failure::Refused),
        }
    }

    /// The receiver of a consumer, for one caller at a time.
    fn receiver(&self, consumer: &Consumer) -> Arc<tokio::sync::Mutex<Option<Receiver>>> {
        let mut receivers = self.receivers.lock().expect("no holder of the lock panics");
        Arc::clone(receivers.entry(consumer.clone()).or_default())
    }

    async fn take(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Failure> {
        let until = Instant::now() + wait;
        let receiver = self.receiver(consumer);
        let mut receiver = receiver.lock().await;
        let present = if let Some(present) = receiver.take().filter(|it| it.serves(most)) {
            present
        } else {
            let session = self.receiving.session()?;
            Receiver::open(&session, &self.place, &self.lanes, most).await?
        };
        let taken = present.take(consumer, most, until, self.gather).await?;
        *receiver = Some(present);
        Ok(taken)
    }

    async fn hand_over(&self, consumer: &Consumer) -> Result<(), Failure> {
        let left = {
            let mut receivers = self.receivers.lock().expect("no holder of the lock panics");
            receivers.remove(consumer)
        };
        let Some(left) = left else {
            return Ok(());
        };
        // A wait that is under way may still take something, so it must end first.
        match left.lock().await.take() {
            Some(receiver) if receiver.serves(0) => receiver.leave().await,
            _ => Ok(()),
        }
    }

    async fn measure(&self) -> Result<Backlog, Failure> {
        let session = self.receiving.session()?;
        let mut entries = 0;
        for queue in [&self.place.work, &self.place.returned] {
            let looking = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::durable()
            };
            let arguments = FieldTable::default();
            let looking = session
                .channel
                .queue_declare(queue.clone(), looking, arguments);
            entries += u64::from(session.ask(looking).await?.message_count());
        }
        Ok(Backlog {
            entries,
            bytes: self.lanes.seen.bytes_of(entries),
            // The broker does not tell how old the entries of a queue are.
            oldest: (entries == 0).then_some(Duration::ZERO),
        })
    }

    async fn look(&self) -> Result<(), Failure> {
        if self.publishing.session()?.is_blocked() {
            return Err(Failure::Blocked);
        }
        self.measure().await.map(drop)
    }
}

#[async_trait]
impl Queue for RabbitMqQueue {
    async fn publish(&self, creation: &Creation, forced: bool) -> Result<(), PortError> {
        let added = self.add(creation, forced).await;
        added.map_err(|failure| failure.of("publish work"))
    }

    async fn leave(&self, consumer: &Consumer) -> Result<(), PortError> {
        let left = self.hand_over(consumer).await;
        left.map_err(|failure| failure.of("release what a consumer holds"))
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let taken = self.take(consumer, most, wait).await;
        taken.map_err(|failure| failure.of("receive work"))
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        let ended = self.lanes.end(receipts, End::Acknowledge).await;
        ended.map_err(|failure| failure.of("acknowledge work"))
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        let released = self.lanes.end(receipts, End::GiveBack).await;
        released.map_err(|failure| failure.of("give work back"))
    }

    async fn backlog(&self) -> Result<Backlog, PortError> {
        let measured = self.measure().await;
        measured.map_err(|failure| failure.of("measure the backlog"))
    }

    async fn check(&self) -> Result<(), PortError> {
        let looked = self.look().await;
        looked.map_err(|failure| failure.of("answer a health check"))
    }
}
