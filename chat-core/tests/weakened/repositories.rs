//! Repositories that are wrong in one way each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chat_core::{PortError, model::*, ports::*};

use super::{
    counters::pause,
    shim::{RepositoryShim, Weak},
};

pub(super) fn with_repository(
    ports: Ports,
    weaken: impl FnOnce(Arc<dyn Repository>) -> Arc<dyn Repository>,
) -> Ports {
    Ports {
        repository: weaken(Arc::clone(&ports.repository)),
        ..ports
    }
}

/// Stores a redelivery as if it were new.
struct StoresAgain(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for StoresAgain {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let mut report = self.0.store(batch).await?;
        for ((creation, _), outcome) in batch.creations.iter().zip(&mut report.outcomes) {
            if *outcome == StoreOutcome::Present {
                // The second row gets another number, since the repository below would recognise the same one.
                let number = Number::try_new(creation.number.get() + 100).unwrap();
                let again = Creation {
                    number,
                    ..creation.clone()
                };
                let batch = StoreBatch {
                    creations: vec![(again, true)],
                    ..batch.clone()
                };
                self.0.store(&batch).await?;
                *outcome = StoreOutcome::Stored;
            }
        }
        Ok(report)
    }
}

/// A repository that stores a redelivery twice.
pub(crate) fn stores_redeliveries_again(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(StoresAgain(inner))))
}

/// Reports a repeat as stored already.
struct SwallowsRepeats(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for SwallowsRepeats {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let mut report = self.0.store(batch).await?;
        for outcome in &mut report.outcomes {
            if *outcome == StoreOutcome::NumberTaken {
                *outcome = StoreOutcome::Present;
            }
        }
        Ok(report)
    }
}

/// A repository that hides that a number was given twice.
pub(crate) fn swallows_repeats(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(SwallowsRepeats(inner))))
}

/// Looks whether a message is there, and then deletes it.
struct LooksThenDeletes(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for LooksThenDeletes {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        let there = match self.0.message(key).await? {
            Lookup::Found(_) => true,
            Lookup::Absent => pending.is_some(),
            Lookup::Gone => false,
        };
        pause().await;
        let deletion = self.0.delete_message(key, at, pending).await?;
        Ok(if there { Deletion::Deleted } else { deletion })
    }
}

/// A repository that tells two callers that each has deleted it.
pub(crate) fn looks_then_deletes(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(LooksThenDeletes(inner))))
}

/// Forgets a deletion of what is pending.
struct LateCreatesOverwrite(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for LateCreatesOverwrite {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn delete_message(
        &self,
        key: MessageKey,
        at: Timestamp,
        pending: Option<Creation>,
    ) -> Result<Deletion, PortError> {
        let deletion = self.0.delete_message(key, at, None).await?;
        // It reports the deletion, but leaves no tombstone behind.
        let pretended = deletion == Deletion::Absent && pending.is_some();
        Ok(if pretended {
            Deletion::Deleted
        } else {
            deletion
        })
    }
}

/// A repository where a late create undoes a deletion.
pub(crate) fn late_creates_overwrite(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(LateCreatesOverwrite(inner))))
}

/// Lets everybody have the outbox and every job.
struct ClaimsForAll(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for ClaimsForAll {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn claim_outbox(&self, claim: &Claim, limit: usize) -> Result<Vec<OutboxRow>, PortError> {
        let now = Timestamp::from_micros(i64::MAX);
        self.0
            .claim_outbox(
                &Claim {
                    now,
                    ..claim.clone()
                },
                limit,
            )
            .await
    }

    async fn claim_job(&self, name: JobName, claim: &Claim) -> Result<JobClaim, PortError> {
        let now = Timestamp::from_micros(i64::MAX);
        self.0
            .claim_job(
                name,
                &Claim {
                    now,
                    ..claim.clone()
                },
            )
            .await
    }
}

/// A repository whose claims exclude nobody.
pub(crate) fn claims_for_all(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(ClaimsForAll(inner))))
}

/// Answers with a basis that it read some time ago.
struct ProvesFromThePast(Arc<dyn Repository>, Mutex<HashMap<Sequence, Basis>>);

#[async_trait]
impl RepositoryShim for ProvesFromThePast {
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
        let fresh = self.0.basis(sequence, shard, epoch, alive).await?;
        let mut known = self.1.lock().unwrap();
        Ok(match fresh {
            Basis::Last(_) => *known.entry(*sequence).or_insert(fresh),
            other => other,
        })
    }
}

/// A proof that was read before pending was.
pub(crate) fn proves_from_the_past(ports: Ports) -> Ports {
    with_repository(ports, |inner| {
        Arc::new(Weak(ProvesFromThePast(inner, Mutex::default())))
    })
}

/// Begins a new epoch on the basis of the old one.
struct NeverLeaps(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for NeverLeaps {
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
        let fresh = self.0.basis(sequence, shard, epoch, alive).await?;
        let Basis::Last(last) = fresh else {
            return Ok(fresh);
        };
        // Only whole leaps are taken off, so what was really stored still counts.
        Ok(Basis::Last(last % Basis::LEAP))
    }
}

/// A new epoch that begins where the old one is known to have ended.
pub(crate) fn never_leaps(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(NeverLeaps(inner))))
}

/// Counts deliveries, not rows.
struct CountsDeliveries(Arc<dyn Repository>, Mutex<HashMap<ChatKey, u64>>);

#[async_trait]
impl RepositoryShim for CountsDeliveries {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        let report = self.0.store(batch).await?;
        for ((creation, _), outcome) in batch.creations.iter().zip(&report.outcomes) {
            if let (StoreOutcome::Present, Some(message)) = (outcome, creation.as_message()) {
                *self
                    .1
                    .lock()
                    .unwrap()
                    .entry(message.key.chat_key())
                    .or_default() += 1;
            }
        }
        Ok(report)
    }

    async fn chat(&self, key: ChatKey) -> Result<Lookup<Chat>, PortError> {
        let twice = self.1.lock().unwrap().get(&key).copied().unwrap_or(0);
        let add = |chat: Chat| Chat {
            messages_count: chat.messages_count + twice,
            ..chat
        };
        Ok(self.0.chat(key).await?.map(add))
    }
}

/// A repository that counts a redelivery once more.
pub(crate) fn counts_deliveries(ports: Ports) -> Ports {
    with_repository(ports, |inner| {
        Arc::new(Weak(CountsDeliveries(inner, Mutex::default())))
    })
}

struct KeepsWhatIsReleased(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for KeepsWhatIsReleased {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn release_outbox(&self, _: &Claim, _: &[u64]) -> Result<(), PortError> {
        Ok(())
    }
}

/// A repository that keeps released rows until their lease ends.
pub(crate) fn keeps_what_is_released(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(KeepsWhatIsReleased(inner))))
}

struct WantsChatsFirst(Arc<dyn Repository>);

#[async_trait]
impl RepositoryShim for WantsChatsFirst {
    fn inner(&self) -> &dyn Repository {
        &*self.0
    }

    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError> {
        let mut read = self.0.messages_by_key(keys).await?;
        for message in &mut read {
            if self.0.chat(message.key.chat_key()).await? == Lookup::Absent {
                message.current = None;
            }
        }
        Ok(read)
    }
}

/// A repository that takes messages whose chat is not stored yet for deleted ones.
pub(crate) fn wants_chats_first(ports: Ports) -> Ports {
    with_repository(ports, |inner| Arc::new(Weak(WantsChatsFirst(inner))))
}
