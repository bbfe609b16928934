//! Queues that are wrong in one way each.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{PortError, ports::*};

use super::{
    counters::pause,
    shim::{QueueShim, Weak},
};

fn with_queue(ports: Ports, weaken: impl FnOnce(Arc<dyn Queue>) -> Arc<dyn Queue>) -> Ports {
    Ports {
        queue: weaken(Arc::clone(&ports.queue)),
        ..ports
    }
}

/// Gives every consumer the same name.
struct OneForAll(Arc<dyn Queue>);

#[async_trait]
impl QueueShim for OneForAll {
    fn inner(&self) -> &dyn Queue {
        &*self.0
    }

    async fn receive(
        &self,
        _consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self
            .0
            .receive(&Consumer("all".to_owned()), most, wait)
            .await?;
        pause().await;
        Ok(deliveries)
    }
}

/// A queue that hands an entry to two consumers.
pub(crate) fn hands_out_twice(ports: Ports) -> Ports {
    with_queue(ports, |inner| Arc::new(Weak(OneForAll(inner))))
}

/// Acknowledges what it hands out.
struct AcknowledgesAtOnce(Arc<dyn Queue>);

#[async_trait]
impl QueueShim for AcknowledgesAtOnce {
    fn inner(&self) -> &dyn Queue {
        &*self.0
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.0.receive(consumer, most, wait).await?;
        let receipts: Vec<_> = deliveries.iter().map(|it| it.receipt.clone()).collect();
        self.0.acknowledge(&receipts).await?;
        Ok(deliveries)
    }
}

/// A queue that loses what a consumer had taken when it died.
pub(crate) fn acknowledges_at_once(ports: Ports) -> Ports {
    with_queue(ports, |inner| Arc::new(Weak(AcknowledgesAtOnce(inner))))
}

/// Settles what it hands out, before anybody has stored it.
struct SettlesWhenReceived(Arc<dyn Queue>, Arc<dyn Counter>);

#[async_trait]
impl QueueShim for SettlesWhenReceived {
    fn inner(&self) -> &dyn Queue {
        &*self.0
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.0.receive(consumer, most, wait).await?;
        for delivery in &deliveries {
            if let Entry::Creation(creation) = &delivery.entry {
                let settlement = Settlement::of(creation, None);
                self.1.settle(&[settlement], &[]).await?;
            }
        }
        Ok(deliveries)
    }
}

/// A worker that settles before it commits.
pub(crate) fn settles_when_received(ports: Ports) -> Ports {
    let counter = Arc::clone(&ports.counter);
    with_queue(ports, |inner| {
        Arc::new(Weak(SettlesWhenReceived(inner, counter)))
    })
}
