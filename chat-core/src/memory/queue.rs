//! The queue in memory: durable work, as long as the process lasts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::task::yield_now;

use super::{clock::ManualClock, pace::Pace};
use crate::{
    PortError,
    model::{Creation, DecodeError, Draft, Epoch, Number, Position, Shard, Timestamp},
    ports::{Backlog, Clock, Consumer, Delivery, Entry, Queue, Receipt},
};

/// How long a consumer may hold an entry before another one takes it over.
const TAKEOVER: Duration = Duration::from_secs(30);

/// Carries work in memory; a consumer that holds an entry for 30 s is presumed dead.
#[derive(Debug)]
pub struct MemoryQueue {
    pace: Pace,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    work: Work,
}

/// The entries, which a counter of the same technology loses and restores with its own state.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    entries: BTreeMap<u64, Held>,
    next: u64,
}

/// An entry and who holds it.
#[derive(Debug, Clone)]
struct Held {
    number: Number,
    epoch: Epoch,
    payload: Vec<u8>,
    added_at: Timestamp,
    position: Option<(Shard, Position)>,
    forced: bool,
    attempts: u32,
    holder: Option<(Consumer, Timestamp)>,
}

impl MemoryQueue {
    pub(super) fn new(pace: Pace, clock: Arc<ManualClock>) -> Self {
        Self {
            pace,
            clock,
            state: Mutex::default(),
        }
    }

    /// Adds bytes that may be anything, as a foreign or newer program might.
    pub fn publish_bytes(&self, payload: Vec<u8>) {
        self.add(Number::FIRST, Epoch::FIRST, payload, None, false);
    }

    /// Hands everything that is held to whoever asks next, as if all its holders had died long ago.
    pub fn relieve_all(&self) {
        for held in self.lock().work.entries.values_mut() {
            held.holder = None;
        }
    }

    /// How many entries are not acknowledged yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().work.entries.len()
    }

    /// Says whether every entry is acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(
        &self,
        creation: &Creation,
        position: Option<(Shard, Position)>,
        forced: bool,
    ) {
        self.add(
            creation.number,
            creation.epoch,
            creation.draft.encode(),
            position,
            forced,
        );
    }

    pub(super) fn remove(&self, receipt: &Receipt) {
        if let Ok(id) = receipt.0.parse::<u64>() {
            self.lock().work.entries.remove(&id);
        }
    }

    pub(super) fn flush(&self) {
        self.lock().work.entries.clear();
    }

    pub(super) fn work(&self) -> Work {
        self.lock().work.clone()
    }

    pub(super) fn roll_back(&self, work: Work) {
        let mut state = self.lock();
        let next = state.work.next;
        state.work = Work { next, ..work };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    fn add(
        &self,
        number: Number,
        epoch: Epoch,
        payload: Vec<u8>,
        position: Option<(Shard, Position)>,
        forced: bool,
    ) {
        let added_at = self.clock.now();
        let held = Held {
            number,
            epoch,
            payload,
            added_at,
            position,
            forced,
            attempts: 0,
            holder: None,
        };
        self.lock().work.insert(held);
    }

    fn take(&self, consumer: &Consumer, most: usize) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut open: Vec<(bool, u64)> = Vec::new();
        for (id, held) in &state.work.entries {
            match &held.holder {
                Some((holder, _)) if holder == consumer => open.push((false, *id)),
                Some((_, since)) if now < since.plus(TAKEOVER) => {}
                Some(_) | None => open.push((true, *id)),
            }
        }
        // The consumer's own entries come first.
        open.sort_unstable();
        open.truncate(most);
        let deliver = |(_, id): (bool, u64)| {
            let held = state.work.entries.get_mut(&id)?;
            held.attempts += 1;
            held.holder = Some((consumer.clone(), now));
            Some(Delivery {
                receipt: Receipt(id.to_string()),
                attempt: held.attempts,
                forced: held.forced,
                position: held.position,
                entry: held.entry(),
            })
        };
        open.into_iter().filter_map(deliver).collect()
    }
}

impl Work {
    fn insert(&mut self, held: Held) {
        self.entries.insert(self.next, held);
        self.next += 1;
    }
}

impl Held {
    fn entry(&self) -> Entry {
        match Draft::decode(&self.payload) {
            Ok(draft) => Entry::Creation(Creation {
                number: self.number,
                epoch: self.epoch,
                draft,
            }),
            Err(error) => Entry::Unreadable {
                number: Some(self.number),
                epoch: self.epoch,
                payload: self.payload.clone(),
                detail: error.to_string(),
                newer: matches!(error, DecodeError::Newer(_)),
            },
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, creation: &Creation, forced: bool) -> Result<(), PortError> {
        self.pace.around(|| self.push(creation, None, forced)).await;
        Ok(())
    }

    async fn leave(&self, consumer: &Consumer) -> Result<(), PortError> {
        let leave = || {
            for held in self.lock().work.entries.values_mut() {
                held.holder = held.holder.take().filter(|(holder, _)| holder != consumer);
            }
        };
        self.pace.around(leave).await;
        Ok(())
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        _wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        let taken = self.pace.around(|| self.take(consumer, most)).await;
        if taken.is_empty() {
            // A consumer that polls in a loop must let other tasks run, and publish.
            yield_now().await;
        }
        Ok(taken)
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        self.pace
            .around(|| receipts.iter().for_each(|receipt| self.remove(receipt)))
            .await;
        Ok(())
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        let give_back = || {
            let mut state = self.lock();
            for id in receipts
                .iter()
                .filter_map(|receipt| receipt.0.parse::<u64>().ok())
            {
                if let Some(held) = state.work.entries.get_mut(&id) {
                    held.holder = None;
                }
            }
        };
        self.pace.around(give_back).await;
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, PortError> {
        let now = self.clock.now();
        let sum = || {
            let state = self.lock();
            let entries = state.work.entries.values();
            let oldest = entries.clone().map(|held| now.since(held.added_at)).max();
            Backlog {
                entries: entries.len() as u64,
                bytes: entries.map(|held| held.payload.len() as u64).sum(),
                oldest: Some(oldest.unwrap_or_default()),
            }
        };
        Ok(self.pace.around(sum).await)
    }

    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }
}
