//! Rescuing: storing what is pending and in no queue any more.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::Reconciled;
use crate::{
    Chain, PortError,
    model::Timestamp,
    ports::{Clock, Counter, Pending, PendingPlace, Ports, Queue},
    service::{Persister, Policy},
};

/// How long a numbered creation may take to reach a queue that is apart from the counter: longer than its
/// publisher waits for the confirm.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// How many pending creations are read in one piece: 8 MiB of the largest texts.
const STEP: usize = 256;

/// How many pending creations one run reads at most.
const MOST: usize = 65_536;

/// How many bytes of their texts one run reads at most, give or take one piece: 256 MiB.
const MOST_BYTES: usize = 256 << 20;

/// How long one run goes on at most, give or take one piece.
const MOST_TIME: Duration = Duration::from_secs(30);

/// Stores creations that have long been pending and that the queue cannot hold any more.
pub(super) struct Rescue {
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    persister: Arc<Persister>,
    patience: Duration,
    /// Where the last run stopped, if it did not reach the end.
    place: Mutex<Option<PendingPlace>>,
}

impl Rescue {
    pub(super) fn new(ports: &Ports, policy: &Policy, persister: &Arc<Persister>) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            queue: Arc::clone(&ports.queue),
            clock: Arc::clone(&ports.clock),
            persister: Arc::clone(persister),
            patience: policy.patience,
            place: Mutex::default(),
        }
    }

    /// Goes through what is pending, from where the last run ended, as far as one run may.
    ///
    /// A creation that is not known to have reached the queue is stored here; so is one that has long been
    /// pending and is older than the queue's oldest entry: the queue must have lost it or be done with it.
    /// Storing is idempotent, so an entry that turns up after all is found done.
    /// Where counter and queue are one, every creation has reached the queue, so only what is older
    /// than its oldest entry is read: a backlog that waits for a slow repository is left alone.
    pub(super) async fn run(&self, report: &mut Reconciled) -> Result<(), PortError> {
        let began = self.clock.now();
        // If the queue cannot tell its oldest entry, only what is not known to have reached it is stored.
        let oldest_entry = self
            .oldest_entry()
            .await?
            .map_or(Timestamp::MIN, |oldest| began.minus(oldest));
        let lost_before = oldest_entry.min(began.minus(self.patience));
        let before = if self.counter.leaves_publishing() {
            began.minus(ON_ITS_WAY.min(self.patience))
        } else {
            lost_before
        };
        let spans = Spans {
            before,
            lost_before,
        };
        let mut after = self.replace_place(None);
        let (mut count, mut bytes) = (0, 0);
        loop {
            let is_long = self.clock.now().since(began) >= MOST_TIME;
            if is_long || count >= MOST || bytes >= MOST_BYTES {
                report.unfinished = true;
                self.replace_place(after);
                return Ok(());
            }
            match self.step(&spans, after.as_ref(), report).await {
                Ok(None) => return Ok(()),
                Ok(Some(step)) => {
                    count += step.count;
                    bytes += step.bytes;
                    after = Some(step.last);
                }
                Err(error) => {
                    // The next run goes on here.
                    self.replace_place(after);
                    return Err(error);
                }
            }
        }
    }

    /// How long the queue has had its oldest entry; `None` where it cannot tell.
    async fn oldest_entry(&self) -> Result<Option<Duration>, PortError> {
        match self.queue.backlog().await {
            Ok(backlog) => Ok(backlog.oldest),
            // What never reached the queue must not wait until the queue is back.
            Err(error) if self.counter.leaves_publishing() => {
                tracing::debug!(
                    error = %Chain(&error),
                    "the queue's oldest entry is unknown; only creations that may not have reached \
                     the queue are stored"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes through some of what is pending after a place; `None` where there is nothing more.
    async fn step(
        &self,
        spans: &Spans,
        after: Option<&PendingPlace>,
        report: &mut Reconciled,
    ) -> Result<Option<Step>, PortError> {
        let waiting = self
            .counter
            .pending_since(spans.before, after.cloned(), STEP);
        let waiting = waiting.await?;
        let Some(last) = waiting.last() else {
            return Ok(None);
        };
        let texts = waiting.iter().map(|it| it.creation.draft.text_bytes());
        let step = Step {
            last: last.place.clone(),
            count: waiting.len(),
            bytes: texts.sum(),
        };
        let stranded: Vec<_> = waiting
            .into_iter()
            .filter(|pending| is_out_of_the_queue(pending, spans.lost_before))
            .map(|pending| pending.creation)
            .collect();
        if !stranded.is_empty() {
            let stored = self.persister.store_pending(stranded).await?;
            report.rescued += stored.done as u64;
        }
        Ok(Some(step))
    }

    fn replace_place(&self, place: Option<PendingPlace>) -> Option<PendingPlace> {
        let mut known = self.place.lock().expect("no holder of the lock panics");
        std::mem::replace(&mut known, place)
    }
}

/// Before which times a creation must have been made.
struct Spans {
    /// To be looked at.
    before: Timestamp,
    /// To be stored although it is known to have reached the queue.
    lost_before: Timestamp,
}

/// How far one step has come.
struct Step {
    last: PendingPlace,
    count: usize,
    bytes: usize,
}

fn is_out_of_the_queue(pending: &Pending, lost_before: Timestamp) -> bool {
    let unqueued = !pending.confirmed || pending.creation.draft.created_at < lost_before;
    unqueued && pending.dead_letter.is_none()
}
