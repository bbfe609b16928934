//! Counters that are wrong about leases, pages and what they forgot.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{PortError, model::*, ports::*};

use super::{
    counters::with_counter,
    shim::{CounterShim, QueueShim, Weak},
};

/// Ignores that a lease is given back.
struct KeepsLeases(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for KeepsLeases {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn release_lease(&self, _: &Sequence, _: Lease) -> Result<(), PortError> {
        Ok(())
    }
}

/// A counter that has everybody wait for a seeder that gave up.
pub(crate) fn keeps_leases(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(KeepsLeases(inner))))
}

/// Reads on until a page has all that it may have.
struct ReadsWholePages(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for ReadsWholePages {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn pending_page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, PortError> {
        let mut page = self.0.pending_page(sequence, range, limit).await?;
        while let Some(last) = page.creations.last() {
            let rest = range.beyond(last.number);
            let room = limit - page.creations.len();
            let more = self.0.pending_page(sequence, &rest, room).await?;
            if more.creations.is_empty() {
                break;
            }
            page.creations.extend(more.creations);
        }
        Ok(page)
    }
}

/// A counter that reads a thousand large texts in one piece.
pub(crate) fn reads_whole_pages(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(ReadsWholePages(inner))))
}

/// Cuts a page off without saying so.
struct HidesTheRest(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for HidesTheRest {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn pending_page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, PortError> {
        let mut page = self.0.pending_page(sequence, range, limit).await?;
        page.creations.truncate(8);
        Ok(page)
    }
}

/// A counter whose short page looks like the last one.
pub(crate) fn hides_the_rest(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(HidesTheRest(inner))))
}

/// Settles a creation as soon as its entry is delivered.
struct AcknowledgesForGood {
    inner: Arc<dyn Queue>,
    counter: Arc<dyn Counter>,
}

#[async_trait]
impl QueueShim for AcknowledgesForGood {
    fn inner(&self) -> &dyn Queue {
        &*self.inner
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: std::time::Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.inner.receive(consumer, most, wait).await?;
        let settlements: Vec<_> = deliveries
            .iter()
            .filter_map(|delivery| match &delivery.entry {
                Entry::Creation(creation) => Some(Settlement::of(creation, None)),
                Entry::Unreadable { .. } => None,
            })
            .collect();
        self.counter.settle(&settlements, &[]).await?;
        Ok(deliveries)
    }
}

/// A counter that keeps a creation only as long as the queue does.
pub(crate) fn forgets_what_is_delivered(ports: Ports) -> Ports {
    Ports {
        queue: Arc::new(Weak(AcknowledgesForGood {
            inner: Arc::clone(&ports.queue),
            counter: Arc::clone(&ports.counter),
        })),
        ..ports
    }
}

/// Seeds one number too high.
struct SkipsWhenSeeded(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for SkipsWhenSeeded {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn seed(&self, seed: &Seed) -> Result<Seeding, PortError> {
        let last = seed.last + 1;
        self.0
            .seed(&Seed {
                last,
                ..seed.clone()
            })
            .await
    }
}

/// A counter that leaves a gap where it had forgotten.
pub(crate) fn skips_when_seeded(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(SkipsWhenSeeded(inner))))
}
