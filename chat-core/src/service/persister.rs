//! Storing: from the queue into the repository.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::Policy;
use crate::{
    Chain, PortError, PortErrorKind,
    model::{
        Creation, DeadLetter, DeadLetterId, DeadLetterReason, Epoch, Position, Shard, Timestamp,
    },
    ports::{
        Clock, Consumer, Counter, Delivery, Entry, Ports, Queue, Receipt, Repository, Settlement,
        StoreBatch, StoreOutcome, StoreReport,
    },
};

/// An entry that was delivered more often than this is suspected to be the cause of the failures.
const ATTEMPTS_UNSUSPECTED: u32 = 3;

/// How long suspects are tried once something has failed: slow failures mean that the backend is down, quick
/// ones that an entry may be at fault.
const PATIENCE_WITH_SUSPECTS: Duration = Duration::from_millis(500);

/// Stores what was accepted, hundreds of creations in one transaction.
///
/// The order is: commit, settle, acknowledge; so a crash anywhere leaves work that comes again and is
/// found done.
/// A batch that the repository rejects is split until the entry at fault is alone; only that one is set
/// aside, and stays readable under its number. Every other failure is the backend's, and all is given back.
/// Entries that keep coming back (suspects) are tried after all others: the first alone, then twice as many
/// after each success and half as many after each failure, so that an entry at fault delays only itself, and
/// a thousand sound ones take only a few transactions.
pub struct Persister {
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    batch: usize,
    late: Duration,
}

/// What one round of storing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Persisted {
    /// Entries that were taken from the queue.
    pub received: usize,
    /// Creations that are stored now, or were found stored, or lay below something deleted.
    pub done: usize,
    /// Entries that were set aside as dead letters.
    pub set_aside: usize,
    /// Whether the counter is behind in a shard, so that some creations of `done` stay pending and come again;
    /// the caller should wait a moment.
    pub is_behind: bool,
}

/// A creation on its way into the repository.
#[derive(Clone)]
struct Item {
    creation: Creation,
    receipt: Option<Receipt>,
    forced: bool,
    position: Option<(Shard, Position)>,
}

/// Why not all of a batch was stored, and the items to give back; the consumer holds the others, and
/// receives them first.
struct Unfinished {
    error: PortError,
    items: Vec<Item>,
}

impl From<PortError> for Unfinished {
    fn from(error: PortError) -> Self {
        Self {
            error,
            items: Vec::new(),
        }
    }
}

impl Persister {
    pub(super) fn new(ports: &Ports, policy: &Policy) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            queue: Arc::clone(&ports.queue),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
            batch: policy.batch,
            late: policy.retention / 2,
        }
    }

    /// Takes one batch from the queue, waiting for at most `wait`, and stores it.
    ///
    /// # Errors
    ///
    /// Fails when a backend does; what was not stored was given back, or comes again by itself.
    pub async fn run_once(
        &self,
        consumer: &Consumer,
        wait: Duration,
    ) -> Result<Persisted, PortError> {
        let deliveries = self.queue.receive(consumer, self.batch, wait).await?;
        let mut report = Persisted {
            received: deliveries.len(),
            ..Persisted::default()
        };
        let mut sound = Vec::new();
        let mut suspects = Vec::new();
        let mut unreadable = Vec::new();
        let now = self.clock.now();
        for delivery in deliveries {
            let is_suspect = delivery.attempt > ATTEMPTS_UNSUSPECTED;
            match readable(delivery, now) {
                Ok(item) if is_suspect => suspects.push(item),
                Ok(item) => sound.push(item),
                Err(letter) => unreadable.push(letter),
            }
        }
        let mut left = Vec::new();
        let mut failed = match self.store_split(sound, &mut report).await {
            Ok(()) => None,
            Err(unfinished) => {
                left = unfinished.items;
                Some(unfinished.error)
            }
        };
        for (receipt, letter) in unreadable {
            // A letter that is rejected delays only itself; after any other failure all of them come again.
            if failed
                .as_ref()
                .is_some_and(|error| error.kind != PortErrorKind::Rejected)
            {
                break;
            }
            match self.set_aside_unreadable(receipt, &letter).await {
                Ok(()) => report.set_aside += 1,
                Err(error) => failed = Some(error),
            }
        }
        self.store_suspects(suspects, &mut report, &mut failed, &mut left)
            .await;
        match failed {
            None => Ok(report),
            Some(error) => {
                self.give_back(&left).await;
                Err(error)
            }
        }
    }

    /// Stores what was delivered often, for a limited time once something has `failed`; what is not stored is
    /// added to `left`.
    async fn store_suspects(
        &self,
        suspects: Vec<Item>,
        report: &mut Persisted,
        failed: &mut Option<PortError>,
        left: &mut Vec<Item>,
    ) {
        let mut rest = VecDeque::from(suspects);
        let mut together = 1;
        let mut failing_since = failed.as_ref().map(|_| self.clock.now());
        let is_out_of_patience =
            |since: Timestamp| self.clock.now().since(since) >= PATIENCE_WITH_SUSPECTS;
        while !rest.is_empty() && !failing_since.is_some_and(is_out_of_patience) {
            let began = self.clock.now();
            let items: Vec<Item> = rest.drain(..rest.len().min(together)).collect();
            let tried = items.len();
            match self.store_split(items, report).await {
                Ok(()) => together *= 2,
                Err(Unfinished { error, items }) => {
                    failed.get_or_insert(error);
                    failing_since.get_or_insert(began);
                    if tried == 1 {
                        left.extend(items);
                    } else {
                        items.into_iter().rev().for_each(|it| rest.push_front(it));
                    }
                    together = tried.div_ceil(2);
                }
            }
        }
        left.extend(rest);
    }

    /// Leaves what the consumer still holds to others, at the end of a process.
    ///
    /// # Errors
    ///
    /// Fails when the queue does; others then take over in time.
    pub async fn leave(&self, consumer: &Consumer) -> Result<(), PortError> {
        self.queue.leave(consumer).await
    }

    /// Gives back what was not stored; a failure is only logged, since the caller returns an earlier one.
    async fn give_back(&self, items: &[Item]) {
        if let Err(error) = self.queue.give_back(&receipts(items)).await {
            tracing::warn!(
                error = %Chain(&error),
                "entries could not be given back to the queue; they are redelivered later"
            );
        }
    }

    /// Stores creations that were found pending and are in no queue any more.
    ///
    /// # Errors
    ///
    /// Fails when a backend does; storing again is harmless.
    pub(super) async fn store_pending(
        &self,
        creations: Vec<Creation>,
    ) -> Result<Persisted, PortError> {
        let mut report = Persisted {
            received: creations.len(),
            ..Persisted::default()
        };
        let items = creations.into_iter().map(|creation| Item {
            creation,
            receipt: None,
            forced: false,
            position: None,
        });
        let stored = self.store_split(items.collect(), &mut report).await;
        stored.map_err(|unfinished| unfinished.error)?;
        Ok(report)
    }

    /// Sets aside what cannot be read.
    async fn set_aside_unreadable(
        &self,
        receipt: Receipt,
        letter: &DeadLetter,
    ) -> Result<(), PortError> {
        self.repository.add_dead_letter(letter).await?;
        self.queue.acknowledge(&[receipt]).await?;
        tracing::error!(
            letter = letter.id.as_str(),
            reason = letter.reason.as_str(),
            "a queue entry cannot be read and was set aside as a dead letter"
        );
        Ok(())
    }

    /// Stores a batch, splitting it where the repository refuses it.
    async fn store_split(
        &self,
        items: Vec<Item>,
        report: &mut Persisted,
    ) -> Result<(), Unfinished> {
        let mut batches = vec![items];
        while let Some(mut items) = batches.pop() {
            if items.is_empty() {
                continue;
            }
            match self.repository.store(&self.batch_of(&items)).await {
                Ok(stored) => self.conclude(&items, &stored, report).await?,
                Err(error) if error.kind != PortErrorKind::Rejected => {
                    items.extend(batches.into_iter().rev().flatten());
                    return Err(Unfinished { error, items });
                }
                Err(error) if items.len() == 1 => {
                    let detail = Chain(&error).to_string();
                    self.set_aside(&items, DeadLetterReason::Refused, &detail)
                        .await?;
                    report.set_aside += 1;
                }
                Err(_) => {
                    batches.push(items.split_off(items.len() / 2));
                    batches.push(items);
                }
            }
        }
        Ok(())
    }

    fn batch_of(&self, items: &[Item]) -> StoreBatch {
        StoreBatch {
            creations: items
                .iter()
                .map(|item| (item.creation.clone(), item.forced))
                .collect(),
            not_before: self.clock.now().minus(self.late),
            positions: furthest(items),
        }
    }

    /// Acts on the outcomes of a stored batch.
    async fn conclude(
        &self,
        items: &[Item],
        stored: &StoreReport,
        report: &mut Persisted,
    ) -> Result<(), PortError> {
        let mut gone = BTreeSet::new();
        let mut done = Vec::new();
        let mut taken = Vec::new();
        let mut late = Vec::new();
        let mut orphaned = Vec::new();
        for (item, outcome) in items.iter().zip(&stored.outcomes) {
            match outcome {
                StoreOutcome::Stored | StoreOutcome::Present => done.push(item.clone()),
                StoreOutcome::ParentDeleted(sequence) => {
                    gone.insert(*sequence);
                    done.push(item.clone());
                }
                StoreOutcome::NumberTaken => taken.push(item.clone()),
                StoreOutcome::TooOld => late.push(item.clone()),
                StoreOutcome::ApplicationAbsent => orphaned.push(item.clone()),
            }
        }
        // Settling comes first, since it makes room: a full counter takes nothing else.
        report.is_behind |= !self.settle(&done, &stored.epochs).await?;
        for sequence in &gone {
            self.counter.mark_deleted(sequence).await?;
        }
        let repeat = "its number belongs to another creation";
        self.set_aside(&taken, DeadLetterReason::NumberTaken, repeat)
            .await?;
        let nowhere = "its application is not in the database, not even as a deleted one";
        self.set_aside(&orphaned, DeadLetterReason::NoApplication, nowhere)
            .await?;
        let old = "it is older than half the retention period and has no row, so it may have been \
                   deleted and purged";
        self.set_aside(&late, DeadLetterReason::TooOld, old).await?;
        report.set_aside += taken.len() + late.len() + orphaned.len();
        report.done += done.len();
        Ok(())
    }

    /// Settles what is stored; `false` where the counter is behind and keeps it.
    async fn settle(&self, items: &[Item], epochs: &[(Shard, Epoch)]) -> Result<bool, PortError> {
        if items.is_empty() {
            return Ok(true);
        }
        let acknowledges = self.counter.settle_acknowledges();
        let settlements: Vec<Settlement> = items
            .iter()
            .map(|item| {
                let receipt = item.receipt.clone().filter(|_| acknowledges);
                Settlement::of(&item.creation, receipt)
            })
            .collect();
        let behind = self.counter.settle(&settlements, epochs).await?;
        for (shard, epoch) in &behind {
            tracing::warn!(
                shard = shard.get(),
                epoch = epoch.get(),
                "the counter's epoch is behind the repository's; the shard is closed until the \
                 counter is admitted again"
            );
            self.counter.close(*shard, *epoch).await?;
        }
        if !acknowledges {
            self.queue.acknowledge(&receipts(items)).await?;
        }
        Ok(behind.is_empty())
    }

    /// Keeps creations as dead letters; they stay pending, and readable under their numbers.
    async fn set_aside(
        &self,
        items: &[Item],
        reason: DeadLetterReason,
        detail: &str,
    ) -> Result<(), PortError> {
        for Item {
            creation, receipt, ..
        } in items
        {
            let now = self.clock.now();
            let uid = creation.draft.uid;
            let letter = DeadLetter {
                id: DeadLetterId::of_creation(uid),
                reason,
                detail: detail.to_owned(),
                number: Some(creation.number),
                epoch: creation.epoch,
                payload: creation.draft.encode(),
                first_failed_at: now,
                last_failed_at: now,
            };
            // A crash may repeat a step, but none may be missing once the delivery is acknowledged.
            self.repository.add_dead_letter(&letter).await?;
            let (sequence, number) = (creation.sequence(), creation.number);
            self.counter
                .point_to_letter(&sequence, number, uid, Some(letter.id.clone()))
                .await?;
            if let Some(receipt) = receipt {
                self.queue
                    .acknowledge(std::slice::from_ref(receipt))
                    .await?;
            }
            tracing::error!(
                %sequence,
                number = number.get(),
                letter = letter.id.as_str(),
                reason = reason.as_str(),
                detail,
                "a creation cannot be stored and was set aside as a dead letter"
            );
        }
        Ok(())
    }
}

/// Takes a creation out of its delivery, or makes a dead letter of what cannot be read.
fn readable(delivery: Delivery, now: Timestamp) -> Result<Item, (Receipt, Box<DeadLetter>)> {
    let Delivery {
        receipt,
        forced,
        position,
        entry,
        ..
    } = delivery;
    match entry {
        Entry::Creation(creation) => Ok(Item {
            creation,
            receipt: Some(receipt),
            forced,
            position,
        }),
        Entry::Unreadable {
            number,
            epoch,
            mut payload,
            detail,
            newer,
        } => {
            let id = DeadLetterId::of_entry(&payload);
            let (bytes, kept) = (payload.len(), DeadLetter::MOST_PAYLOAD);
            payload.truncate(kept);
            let detail = if bytes > kept {
                format!("{detail}; only the first {kept} of its {bytes} bytes are kept")
            } else {
                detail
            };
            let letter = DeadLetter {
                id,
                reason: if newer {
                    DeadLetterReason::NewerFormat
                } else {
                    DeadLetterReason::Undecodable
                },
                detail,
                number,
                epoch,
                payload,
                first_failed_at: now,
                last_failed_at: now,
            };
            Err((receipt, Box::new(letter)))
        }
    }
}

fn receipts(items: &[Item]) -> Vec<Receipt> {
    items
        .iter()
        .filter_map(|item| item.receipt.clone())
        .collect()
}

/// The furthest position of each shard.
fn furthest(items: &[Item]) -> Vec<(Shard, Position)> {
    let mut furthest = BTreeMap::new();
    for (shard, position) in items.iter().filter_map(|item| item.position) {
        let known = furthest.entry(shard).or_insert(position);
        *known = position.max(*known);
    }
    furthest.into_iter().collect()
}
