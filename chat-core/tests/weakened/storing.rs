//! Repositories that are wrong about a batch and what they report of it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chat_core::{PortError, model::*, ports::*};

use super::{
    counters::pause,
    repositories::with_repository,
    shim::{RepositoryShim, Weak},
};

/// Reports the second of two equal creations in a batch as a repeat.
struct TakesTwinsForRepeats(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for TakesTwinsForRepeats {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let mut report = self.0.store(batch).await?;
        let mut seen = HashSet::new();
        for ((creation, _), outcome) in batch.creations.iter().zip(&mut report.outcomes) {
            if !seen.insert((creation.sequence(), creation.number)) {
                *outcome = StoreOutcome::NumberTaken;
            }
        }
        Ok(report)
    }
}

/// A repository that raises the alarm over a creation that came twice in one batch.
pub(crate) fn takes_twins_for_repeats(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(TakesTwinsForRepeats(inner))))
}

/// Takes an absent application for a deleted one.
struct TakesAbsentForDeleted(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for TakesAbsentForDeleted {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let mut report = self.0.store(batch).await?;
        for ((creation, _), outcome) in batch.creations.iter().zip(&mut report.outcomes) {
            if *outcome == StoreOutcome::ApplicationAbsent {
                let chats = Sequence::Chats(creation.sequence().application());
                *outcome = StoreOutcome::ParentDeleted(chats);
            }
        }
        Ok(report)
    }
}

/// A repository that has creations dropped although nobody deleted anything.
pub(crate) fn takes_absent_for_deleted(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(TakesAbsentForDeleted(inner))))
}

/// Reads the epochs once.
struct RemembersEpochs(Arc<dyn Repository>, Mutex<Option<Vec<(Shard, Epoch)>>>);

#[async_trait]
impl RepositoryShim for RemembersEpochs {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let mut report = self.0.store(batch).await?;
        if !report.epochs.is_empty() {
            let mut known = self.1.lock().unwrap();
            let told = std::mem::take(&mut report.epochs);
            report.epochs.clone_from(known.get_or_insert(told));
        }
        Ok(report)
    }
}

/// A repository that tells the epochs of some time ago.
pub(crate) fn remembers_epochs(ports: Ports) -> Ports {
    with_repository(ports, |inner| {
        Arc::new(Weak(RemembersEpochs(inner, Mutex::default())))
    })
}

/// Keeps the position that was told last, also where it is lower.
struct TurnsBack(Arc<dyn Repository>, Mutex<HashMap<Shard, Position>>);

#[async_trait]
impl RepositoryShim for TurnsBack {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        self.1
            .lock()
            .unwrap()
            .extend(batch.positions.iter().copied());
        self.0.store(batch).await
    }

    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError> {
        let told = self.1.lock().unwrap().get(&sighting.shard).copied();
        let mut seen = sighting.clone();
        if told.is_some_and(|told| sighting.position >= told) {
            seen.position = Position {
                major: u64::MAX,
                minor: u64::MAX,
            };
        }
        let admission = self.0.admit(&seen, read).await?;
        Ok(admission.map(|admission| Admission {
            sighting: sighting.clone(),
            ..admission
        }))
    }
}

/// A repository that forgets how far a shard's work had come.
pub(crate) fn turns_back(ports: Ports) -> Ports {
    with_repository(ports, |inner| {
        Arc::new(Weak(TurnsBack(inner, Mutex::default())))
    })
}

/// Leaps beyond the highest number that there is.
struct LeapsAboveTheEnd(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for LeapsAboveTheEnd {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError> {
        let basis = self.0.basis(sequence, shard, epoch, alive).await?;
        Ok(match basis {
            Basis::Last(Number::MAX) if epoch > Epoch::FIRST => {
                Basis::Last(Number::MAX + Basis::LEAP)
            }
            basis => basis,
        })
    }
}

/// A repository that proves numbers that no sequence can give.
pub(crate) fn leaps_above_the_end(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(LeapsAboveTheEnd(inner))))
}

/// Removes a letter even if it has failed again since its remover read it.
struct RemovesUnseen(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for RemovesUnseen {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn remove_dead_letter(
        &self,
        id: &DeadLetterId,
        _seen: Timestamp,
    ) -> Result<Option<DeadLetter>, PortError> {
        self.0.remove_dead_letter(id, Timestamp::MAX).await
    }
}

/// A repository that forgets what failed again while it was replayed.
pub(crate) fn removes_unseen(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(RemovesUnseen(inner))))
}

/// Writes the outbox after a batch was stored, instead of with it.
struct NotesAfterwards(Arc<dyn Repository>, Mutex<BTreeSet<OutboxChange>>);

#[async_trait]
impl RepositoryShim for NotesAfterwards {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let report = self.0.store(batch).await?;
        pause().await;
        let messages = batch.creations.iter().filter_map(|(it, _)| it.as_message());
        let changes = messages.map(|message| OutboxChange::Message(message.key));
        self.1.lock().unwrap().extend(changes);
        Ok(report)
    }

    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError> {
        let mut rows = self.0.claim_outbox(claim, limit).await?;
        let noted = self.1.lock().unwrap();
        for row in &mut rows {
            row.changes.retain(|change| noted.contains(change));
        }
        Ok(rows)
    }
}

/// A repository whose outbox is written outside the transaction of the rows.
pub(crate) fn notes_afterwards(ports: Ports) -> Ports {
    with_repository(ports, |inner| {
        Arc::new(Weak(NotesAfterwards(inner, Mutex::default())))
    })
}

/// Takes every sighting for one that nobody has overtaken.
struct AdmitsTheOvertaken(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for AdmitsTheOvertaken {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn admit(
        &self,
        sighting: &Sighting,
        _read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError> {
        let read = self.0.shard(sighting.shard).await?;
        self.0.admit(sighting, read).await
    }
}

/// A repository that takes a run which is over for one that has lost something.
pub(crate) fn admits_the_overtaken(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(AdmitsTheOvertaken(inner))))
}
