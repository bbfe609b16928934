//! Numbering in memory, with the faults that a counter's server can have.

mod state;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use state::{Known, State, Used, place};

use super::{
    clock::ManualClock,
    pace::Pace,
    queue::{MemoryQueue, Work},
};
use crate::{
    PortError,
    model::{
        Admission, Creation, DeadLetterId, Epoch, EpochMark, Number, NumberRange, Position,
        Sequence, Shard, Sighting, Submission, Timestamp, Uid,
    },
    ports::{
        Clock, Counter, Lease, Numbering, Overload, Pending, PendingPage, PendingPlace, Placement,
        Seed, Seeding, Settlement,
    },
};

/// How long an idempotency key is kept.
const KEY_LIFE: Duration = Duration::from_hours(24);

/// The limits above which the counter accepts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterLimits {
    /// Pending creations of one sequence.
    pub pending: usize,
    /// Bytes of all pending creations.
    pub bytes: usize,
    /// Idempotency keys.
    pub keys: usize,
}

impl Default for CounterLimits {
    fn default() -> Self {
        Self {
            pending: 65_536,
            bytes: 256 << 20,
            keys: 1 << 20,
        }
    }
}

/// Gives numbers from memory, and puts what it numbered into the queue of its system.
#[derive(Debug)]
pub struct MemoryCounter {
    pace: Pace,
    limits: CounterLimits,
    clock: Arc<ManualClock>,
    queue: Option<Arc<MemoryQueue>>,
    state: Mutex<State>,
}

impl MemoryCounter {
    pub(super) fn new(
        pace: Pace,
        limits: CounterLimits,
        clock: Arc<ManualClock>,
        queue: Option<Arc<MemoryQueue>>,
    ) -> Self {
        let state = State {
            sequences: HashMap::new(),
            pending: BTreeMap::new(),
            bytes: 0,
            keys: HashMap::new(),
            leases: HashMap::new(),
            mark: None,
            open: None,
            run: 1,
            complete: true,
            ticks: 0,
        };
        Self {
            pace,
            limits,
            clock,
            queue,
            state: Mutex::new(state),
        }
    }

    /// Forgets a sequence as expiry does: only if nothing pending needs it.
    pub fn expire(&self, sequence: &Sequence) {
        let mut state = self.lock();
        if !state.is_needed(sequence) {
            state.sequences.remove(sequence);
        }
    }

    /// Forgets a sequence as a stray `DEL` does, whatever is pending.
    pub fn forget(&self, sequence: &Sequence) {
        self.lock().sequences.remove(sequence);
    }

    /// Restarts the server, which comes back with everything.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.run += 1;
        state.open = None;
    }

    /// Loses everything, the queue's entries too, as `FLUSHALL` does.
    pub fn flush(&self) {
        let mut state = self.lock();
        state.sequences.clear();
        state.pending.clear();
        state.bytes = 0;
        state.keys.clear();
        state.leases.clear();
        state.mark = None;
        if let Some(queue) = &self.queue {
            queue.flush();
        }
    }

    /// Remembers the present state for [`roll_back`](Self::roll_back).
    #[must_use]
    pub fn snapshot(&self) -> CounterSnapshot {
        let state = self.lock().clone();
        CounterSnapshot {
            state,
            work: self.queue.as_ref().map(|queue| queue.work()),
        }
    }

    /// Comes back as an earlier state, as after a power cut or a failover to a stale replica.
    pub fn roll_back(&self, snapshot: &CounterSnapshot) {
        let mut state = self.lock();
        let (run, ticks) = (state.run + 1, state.ticks);
        *state = State {
            run,
            ticks,
            open: None,
            complete: false,
            ..snapshot.state.clone()
        };
        if let (Some(queue), Some(work)) = (&self.queue, &snapshot.work) {
            queue.roll_back(work.clone());
        }
    }

    /// Every sequence that the counter knows, or that has something pending.
    #[must_use]
    pub fn sequences(&self) -> Vec<Sequence> {
        let state = self.lock();
        let mut all: Vec<_> = state
            .sequences
            .keys()
            .chain(state.pending.keys())
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    fn submit(&self, submission: &Submission) -> Numbering {
        let mut state = self.lock();
        let draft = &submission.draft;
        let sequence = draft.sequence();
        let now = self.clock.now();
        let Some(epoch) = state.epoch() else {
            return Numbering::Closed(Shard::ONLY);
        };
        let chats = Sequence::Chats(sequence.application());
        if let Some(refusal) = state.refuse(&chats, epoch, now) {
            return refusal;
        }
        let key = submission
            .key
            .clone()
            .map(|key| (sequence.application(), key));
        if let Some(used) = key.as_ref().and_then(|key| state.keys.get(key))
            && now < used.created_at.plus(KEY_LIFE)
        {
            return if used.digest == submission.digest() {
                Numbering::Replayed {
                    number: used.number,
                    created_at: used.created_at,
                }
            } else {
                Numbering::KeyReused
            };
        }
        if let Some(refusal) = state.refuse(&sequence, epoch, now) {
            return refusal;
        }
        let bytes = draft.encode().len();
        let retry_after = Duration::from_secs(1);
        if let Some(by) = self.overload(&mut state, &sequence, bytes, key.is_some(), now) {
            return Numbering::Overloaded { by, retry_after };
        }
        let Some(number) = state.advance(&sequence, epoch) else {
            let by = Overload::Sequence;
            return Numbering::Overloaded { by, retry_after };
        };
        let creation = Creation {
            number,
            epoch,
            draft: draft.clone(),
        };
        if let Some(chat) = creation.as_chat() {
            state.know(Sequence::Messages(chat.key), Known::Last(epoch, 0));
        }
        if let Some(key) = key {
            let created_at = draft.created_at;
            state.keys.insert(
                key,
                Used {
                    digest: submission.digest(),
                    number,
                    created_at,
                },
            );
        }
        let position = state.tick();
        let confirmed = self.queue.is_some();
        let pending = Pending {
            place: place(&sequence, number),
            creation: creation.clone(),
            confirmed,
            dead_letter: None,
        };
        state.bytes += bytes;
        state
            .pending
            .entry(sequence)
            .or_default()
            .insert(number, pending);
        let placement = match &self.queue {
            Some(queue) => {
                let position = Position {
                    major: position,
                    minor: 0,
                };
                queue.push(&creation, Some((Shard::ONLY, position)), false);
                Placement::Enqueued
            }
            None => Placement::Remembered,
        };
        Numbering::Accepted {
            number,
            epoch,
            placement,
        }
    }

    /// Says which limit a creation of `bytes` would exceed, having made room by dropping expired keys.
    fn overload(
        &self,
        state: &mut State,
        sequence: &Sequence,
        bytes: usize,
        keyed: bool,
        now: Timestamp,
    ) -> Option<Overload> {
        if keyed && state.keys.len() >= self.limits.keys {
            let is_kept = |used: &mut Used| now < used.created_at.plus(KEY_LIFE);
            state.keys.retain(|_, used| is_kept(used));
        }
        let waiting = state.pending.get(sequence).map_or(0, BTreeMap::len);
        if state.bytes + bytes > self.limits.bytes {
            Some(Overload::Backlog)
        } else if waiting >= self.limits.pending {
            Some(Overload::Sequence)
        } else {
            (keyed && state.keys.len() >= self.limits.keys).then_some(Overload::Keys)
        }
    }

    fn plant(&self, seed: &Seed) -> Seeding {
        let mut state = self.lock();
        let held = state
            .leases
            .get(&seed.sequence)
            .is_some_and(|(held, _)| *held == seed.lease);
        let epoch = state.epoch();
        let unknown = match state.sequences.get(&seed.sequence) {
            None => true,
            Some(Known::Last(known, _)) => *known != seed.epoch,
            Some(Known::Deleted) => false,
        };
        if !held || epoch != Some(seed.epoch) || !unknown {
            return Seeding::Refused;
        }
        let last = seed.last.max(state.highest_pending(&seed.sequence));
        state.know(seed.sequence, Known::Last(seed.epoch, last));
        Seeding::Seeded
    }

    fn install(&self, admission: &Admission) -> bool {
        let mut state = self.lock();
        let seen = &admission.sighting;
        let holds =
            seen.incarnation == state.incarnation() && state.mark.as_ref() == Some(&seen.mark);
        if holds {
            state.mark = Some(EpochMark::Installed(admission.epoch));
            state.open = Some((state.run, admission.epoch));
        }
        holds
    }

    fn remove_settled(
        &self,
        settlements: &[Settlement],
        epochs: &[(Shard, Epoch)],
    ) -> Vec<(Shard, Epoch)> {
        let mut state = self.lock();
        let own = match state.mark {
            Some(EpochMark::Installed(epoch)) => epoch,
            Some(EpochMark::Missing { .. }) | None => Epoch::NONE,
        };
        if epochs
            .iter()
            .any(|(shard, epoch)| *shard == Shard::ONLY && own < *epoch)
        {
            return vec![(Shard::ONLY, own)];
        }
        for settlement in settlements {
            state.settle(settlement);
            if let (Some(queue), Some(receipt)) = (&self.queue, &settlement.receipt) {
                queue.remove(receipt);
            }
        }
        Vec::new()
    }
}

/// An earlier state of a counter's server.
#[derive(Debug, Clone)]
pub struct CounterSnapshot {
    state: State,
    work: Option<Work>,
}

#[async_trait]
impl Counter for MemoryCounter {
    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        Ok(self.pace.around(|| self.submit(submission)).await)
    }

    async fn confirm(
        &self,
        sequence: &Sequence,
        number: Number,
        uid: Uid,
    ) -> Result<(), PortError> {
        let confirm = || {
            let mut state = self.lock();
            let pending = state.pending.get_mut(sequence);
            if let Some(pending) = pending.and_then(|pending| pending.get_mut(&number))
                && pending.creation.draft.uid == uid
            {
                pending.confirmed = true;
            }
        };
        self.pace.around(confirm).await;
        Ok(())
    }

    async fn seed(&self, seed: &Seed) -> Result<Seeding, PortError> {
        Ok(self.pace.around(|| self.plant(seed)).await)
    }

    async fn release_lease(&self, sequence: &Sequence, lease: Lease) -> Result<(), PortError> {
        let release = || {
            let leases = &mut self.lock().leases;
            if leases.get(sequence).is_some_and(|(held, _)| *held == lease) {
                leases.remove(sequence);
            }
        };
        self.pace.around(release).await;
        Ok(())
    }

    async fn sight(&self, _shard: Shard) -> Result<Sighting, PortError> {
        Ok(self.pace.around(|| self.lock().sight()).await)
    }

    async fn open(&self, admission: &Admission) -> Result<bool, PortError> {
        Ok(self.pace.around(|| self.install(admission)).await)
    }

    async fn close(&self, _shard: Shard, epoch: Epoch) -> Result<(), PortError> {
        let close = || {
            let mut state = self.lock();
            if state.open.is_some_and(|(_, open)| open == epoch) {
                state.open = None;
            }
        };
        self.pace.around(close).await;
        Ok(())
    }

    async fn mark_deleted(&self, sequence: &Sequence) -> Result<(), PortError> {
        let mark = || self.lock().know(*sequence, Known::Deleted);
        self.pace.around(mark).await;
        Ok(())
    }

    async fn pending(
        &self,
        sequence: &Sequence,
        number: Number,
    ) -> Result<Option<Creation>, PortError> {
        let read = || {
            let state = self.lock();
            let pending = state
                .pending
                .get(sequence)
                .and_then(|pending| pending.get(&number));
            pending.map(|pending| pending.creation.clone())
        };
        Ok(self.pace.around(read).await)
    }

    async fn pending_page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, PortError> {
        Ok(self
            .pace
            .around(|| self.lock().page(sequence, range, limit))
            .await)
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, PortError> {
        let settle = || self.remove_settled(settlements, epochs);
        Ok(self.pace.around(settle).await)
    }

    async fn point_to_letter(
        &self,
        sequence: &Sequence,
        number: Number,
        uid: Uid,
        letter: Option<DeadLetterId>,
    ) -> Result<(), PortError> {
        let point = || {
            let mut state = self.lock();
            let pending = state.pending.get_mut(sequence);
            if let Some(pending) = pending.and_then(|pending| pending.get_mut(&number))
                && pending.creation.draft.uid == uid
            {
                pending.dead_letter = letter;
            }
        };
        self.pace.around(point).await;
        Ok(())
    }

    async fn pending_since(
        &self,
        before: Timestamp,
        after: Option<PendingPlace>,
        limit: usize,
    ) -> Result<Vec<Pending>, PortError> {
        let list = || {
            let state = self.lock();
            let all = state.pending.values().flat_map(BTreeMap::values);
            let rest = all.filter(|it| after.as_ref().is_none_or(|after| it.place > *after));
            let old = rest.filter(|it| it.creation.draft.created_at < before);
            old.take(limit).cloned().collect()
        };
        Ok(self.pace.around(list).await)
    }

    fn settle_acknowledges(&self) -> bool {
        self.queue.is_some()
    }

    fn leaves_publishing(&self) -> bool {
        self.queue.is_none()
    }

    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }
}
