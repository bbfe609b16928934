//! Counters that are wrong in one way each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chat_core::{PortError, model::*, ports::*};

use super::shim::{CounterShim, Weak};

pub(super) fn with_counter(
    ports: Ports,
    weaken: impl FnOnce(Arc<dyn Counter>) -> Arc<dyn Counter>,
) -> Ports {
    Ports {
        counter: weaken(Arc::clone(&ports.counter)),
        ..ports
    }
}

/// Yields, as a call over the network does.
pub(crate) async fn pause() {
    tokio::task::yield_now().await;
}

/// Reads the last number, adds one, and writes it back.
struct ReadsThenWrites(Arc<dyn Counter>, Mutex<HashMap<Sequence, u64>>);

#[async_trait]
impl CounterShim for ReadsThenWrites {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let sequence = submission.draft.sequence();
        let read = self.1.lock().unwrap().get(&sequence).copied().unwrap_or(0);
        pause().await;
        let numbering = self.0.create(submission).await?;
        let Numbering::Accepted {
            epoch, placement, ..
        } = numbering
        else {
            return Ok(numbering);
        };
        self.1.lock().unwrap().insert(sequence, read + 1);
        let number = Number::try_new(read + 1).unwrap();
        Ok(Numbering::Accepted {
            number,
            epoch,
            placement,
        })
    }
}

/// A counter that two callers can read before either writes.
pub(crate) fn reads_then_writes(ports: Ports) -> Ports {
    with_counter(ports, |inner| {
        Arc::new(Weak(ReadsThenWrites(inner, Mutex::default())))
    })
}

/// Starts a sequence that it does not know at 1.
struct StartsByItself(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for StartsByItself {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        Ok(match self.0.create(submission).await? {
            Numbering::Unknown(unknown) => Numbering::Accepted {
                number: Number::FIRST,
                epoch: unknown.epoch,
                placement: Placement::Remembered,
            },
            numbering => numbering,
        })
    }
}

/// A counter that begins anew whenever it has forgotten.
pub(crate) fn starts_by_itself(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(StartsByItself(inner))))
}

/// Counts chat 1 of every application with one counter.
struct LacksTheApplication(Arc<dyn Counter>, Mutex<HashMap<ChatNumber, u64>>);

#[async_trait]
impl CounterShim for LacksTheApplication {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let numbering = self.0.create(submission).await?;
        let (
            Sequence::Messages(chat),
            Numbering::Accepted {
                epoch, placement, ..
            },
        ) = (submission.draft.sequence(), &numbering)
        else {
            return Ok(numbering);
        };
        let mut counters = self.1.lock().unwrap();
        let last = counters.entry(chat.chat).or_default();
        *last += 1;
        let number = Number::try_new(*last).unwrap();
        Ok(Numbering::Accepted {
            number,
            epoch: *epoch,
            placement: *placement,
        })
    }
}

/// Draws a number, and then does the rest.
struct DrawsThenEnqueues(Arc<dyn Counter>, Mutex<HashMap<Sequence, u64>>);

#[async_trait]
impl CounterShim for DrawsThenEnqueues {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let sequence = submission.draft.sequence();
        let draw = |up: bool| {
            let mut drawn = self.1.lock().unwrap();
            let last = drawn.entry(sequence).or_default();
            *last = if up { *last + 1 } else { *last - 1 };
            *last
        };
        let drawn = draw(true);
        pause().await;
        let mut numbering = self.0.create(submission).await?;
        match &mut numbering {
            Numbering::Accepted { number, .. } => *number = Number::try_new(drawn).unwrap(),
            _ => drop(draw(false)),
        }
        Ok(numbering)
    }
}

/// A counter that counts in one step and enqueues in another, as `INCR` and `XADD` do.
pub(crate) fn draws_then_enqueues(ports: Ports) -> Ports {
    with_counter(ports, |inner| {
        Arc::new(Weak(DrawsThenEnqueues(inner, Mutex::default())))
    })
}

/// A counter whose key lacks the application.
pub(crate) fn lacks_the_application(ports: Ports) -> Ports {
    with_counter(ports, |inner| {
        Arc::new(Weak(LacksTheApplication(inner, Mutex::default())))
    })
}

/// Tells with a lease that nothing is pending.
struct LeasesTellNothing(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for LeasesTellNothing {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let mut numbering = self.0.create(submission).await?;
        if let Numbering::Unknown(unknown) = &mut numbering {
            unknown.highest_pending = 0;
        }
        Ok(numbering)
    }
}

/// A counter whose leases do not tell what is pending.
pub(crate) fn leases_tell_nothing(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(LeasesTellNothing(inner))))
}

/// Accepts every seed, and gives a lease also to those who should wait.
struct SeedsWithAnyLease {
    inner: Arc<dyn Counter>,
    /// The leases that were really given.
    leases: Mutex<HashMap<Sequence, Lease>>,
}

#[async_trait]
impl CounterShim for SeedsWithAnyLease {
    fn inner(&self) -> &dyn Counter {
        &*self.inner
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let mut numbering = self.inner.create(submission).await?;
        if let Numbering::Unknown(unknown) = &mut numbering {
            let mut leases = self.leases.lock().unwrap();
            match unknown.lease {
                Some(lease) => drop(leases.insert(unknown.sequence, lease)),
                None => unknown.lease = Some(Lease(0)),
            }
        }
        Ok(numbering)
    }

    async fn seed(&self, seed: &Seed) -> Result<Seeding, PortError> {
        let real = self.leases.lock().unwrap().get(&seed.sequence).copied();
        self.inner
            .seed(&Seed {
                lease: real.unwrap_or(seed.lease),
                ..seed.clone()
            })
            .await
    }
}

/// A counter that lets a stalled seeder seed what it read long ago.
pub(crate) fn seeds_with_any_lease(ports: Ports) -> Ports {
    with_counter(ports, |inner| {
        let leases = Mutex::default();
        Arc::new(Weak(SeedsWithAnyLease { inner, leases }))
    })
}

/// Accepts the same lease again and again, and goes on from whatever it is told.
struct SeedsOverAndOver(Arc<dyn Counter>, Mutex<HashMap<Sequence, (u64, u64)>>);

#[async_trait]
impl CounterShim for SeedsOverAndOver {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let sequence = submission.draft.sequence();
        let mut numbering = self.0.create(submission).await?;
        if let Numbering::Accepted { number, .. } = &mut numbering
            && let Some((told, given)) = self.1.lock().unwrap().get_mut(&sequence)
        {
            *given += 1;
            *number = Number::try_new(*told + *given).unwrap();
        }
        Ok(numbering)
    }

    async fn seed(&self, seed: &Seed) -> Result<Seeding, PortError> {
        self.0.seed(seed).await?;
        self.1.lock().unwrap().insert(seed.sequence, (seed.last, 0));
        Ok(Seeding::Seeded)
    }
}

/// A counter that a seeder can set back.
pub(crate) fn seeds_over_and_over(ports: Ports) -> Ports {
    with_counter(ports, |inner| {
        Arc::new(Weak(SeedsOverAndOver(inner, Mutex::default())))
    })
}

/// Forgets that sequences are deleted.
struct Revives(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for Revives {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn mark_deleted(&self, _sequence: &Sequence) -> Result<(), PortError> {
        Ok(())
    }
}

/// A counter that numbers on below what was deleted.
pub(crate) fn revives(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(Revives(inner))))
}

/// A key and, where applications do not share them, whose it is.
type KeyName = (Option<ApplicationId>, IdempotencyKey);

/// What a key was used for, and how that ended.
type UsedKey = (Digest, Numbering, Timestamp);

/// Looks a key up first and records it later.
struct KeysApart {
    inner: Arc<dyn Counter>,
    keys: Mutex<HashMap<KeyName, UsedKey>>,
    flaw: KeyFlaw,
}

#[derive(Clone, Copy, PartialEq)]
enum KeyFlaw {
    /// Others may look the key up before it is recorded.
    Race,
    /// One key space for all applications.
    Shared,
    /// The first answer is given to any request.
    Unread,
    /// A refused create uses the key up.
    UsedUp,
}

#[async_trait]
impl CounterShim for KeysApart {
    fn inner(&self) -> &dyn Counter {
        &*self.inner
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let bare = Submission {
            key: None,
            ..submission.clone()
        };
        let Some(key) = submission.key.clone() else {
            return self.inner.create(&bare).await;
        };
        let scope = submission.draft.sequence().application();
        let name = ((self.flaw != KeyFlaw::Shared).then_some(scope), key);
        let known = self.keys.lock().unwrap().get(&name).cloned();
        if let Some((digest, numbering, created_at)) = known {
            return Ok(match numbering {
                _ if digest != submission.digest() && self.flaw != KeyFlaw::Unread => {
                    Numbering::KeyReused
                }
                Numbering::Accepted { number, .. } => Numbering::Replayed { number, created_at },
                other => other,
            });
        }
        if self.flaw == KeyFlaw::Race {
            pause().await;
        }
        let numbering = self.inner.create(&bare).await?;
        let accepted = matches!(numbering, Numbering::Accepted { .. });
        if accepted || self.flaw == KeyFlaw::UsedUp {
            let created_at = submission.draft.created_at;
            let kept = (submission.digest(), numbering.clone(), created_at);
            self.keys.lock().unwrap().insert(name, kept);
        }
        Ok(numbering)
    }
}

fn with_key_flaw(ports: Ports, flaw: KeyFlaw) -> Ports {
    with_counter(ports, |inner| {
        Arc::new(Weak(KeysApart {
            inner,
            keys: Mutex::default(),
            flaw,
        }))
    })
}

/// A counter whose keys can be used by two callers at once.
pub(crate) fn looks_keys_up_first(ports: Ports) -> Ports {
    with_key_flaw(ports, KeyFlaw::Race)
}

/// A counter whose applications share their keys.
pub(crate) fn shares_keys(ports: Ports) -> Ports {
    with_key_flaw(ports, KeyFlaw::Shared)
}

/// A counter that does not compare what a key was used for.
pub(crate) fn ignores_digests(ports: Ports) -> Ports {
    with_key_flaw(ports, KeyFlaw::Unread)
}

/// A counter that keeps the key of a create that it refused.
pub(crate) fn uses_keys_up(ports: Ports) -> Ports {
    with_key_flaw(ports, KeyFlaw::UsedUp)
}

/// Knows no keys.
struct ForgetsKeys(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for ForgetsKeys {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let bare = Submission {
            key: None,
            ..submission.clone()
        };
        self.0.create(&bare).await
    }
}

/// A counter that keeps no keys.
pub(crate) fn forgets_keys(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(ForgetsKeys(inner))))
}

/// Settles whatever has the number.
struct SettlesByNumber(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for SettlesByNumber {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, PortError> {
        let mut settlements = settlements.to_vec();
        for settlement in &mut settlements {
            let pending = self
                .0
                .pending(&settlement.sequence, settlement.number)
                .await?;
            settlement.uid = pending.map_or(settlement.uid, |pending| pending.draft.uid);
        }
        self.0.settle(&settlements, epochs).await
    }
}

/// A counter that lets go of a creation because another one has its number.
pub(crate) fn settles_by_number(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(SettlesByNumber(inner))))
}

/// Settles whatever it is told to, also when it was replaced.
struct SettlesInAnyEpoch(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for SettlesInAnyEpoch {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        _epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, PortError> {
        self.0.settle(settlements, &[]).await
    }
}

/// A replaced counter that goes on for ever.
pub(crate) fn settles_in_any_epoch(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(SettlesInAnyEpoch(inner))))
}

/// Says that everything was issued.
struct IssuesEverything(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for IssuesEverything {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn pending_page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, PortError> {
        let page = self.0.pending_page(sequence, range, limit).await?;
        Ok(PendingPage {
            issued: Some(Number::MAX),
            ..page
        })
    }
}

/// A counter whose pages do not say where to stop.
pub(crate) fn issues_everything(ports: Ports) -> Ports {
    with_counter(ports, |inner| Arc::new(Weak(IssuesEverything(inner))))
}
