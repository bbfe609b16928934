//! Indexing: from the repository into the search index.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::Policy;
use crate::{
    Chain, PortError, PortErrorKind,
    model::{ChatKey, DeadLetter, Generation, GenerationState, MessageKey, Timestamp},
    ports::{
        Applied, Claim, Clock, IndexChange, IndexDocument, Indexable, OutboxChange, OutboxRow,
        Ports, Repository, SearchIndex,
    },
};

/// How long claimed rows are left to their holder; what the index did not take yet is retried after that.
const LEASE: Duration = Duration::from_secs(20);

/// How many messages are read at once.
const READ: usize = 500;

/// How many bytes of bodies are held before they are applied: 4 MiB.
const HELD_BYTES: usize = 4 << 20;

/// Carries what changed into the search index; any number of processes may do so at once.
///
/// An outbox row says what changed, not how: the present state is read and applied, so that order and
/// repetition do not matter.
/// It is completed once every generation of the index has it.
/// A row that was held for too long is left to whoever takes it next, since what was read may be stale.
pub struct Indexer {
    repository: Arc<dyn Repository>,
    index: Arc<dyn SearchIndex>,
    clock: Arc<dyn Clock>,
    batch: usize,
}

/// What one round of indexing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indexed {
    /// Outbox rows that were taken.
    pub rows: usize,
    /// Outbox rows that are done.
    pub completed: usize,
    /// Messages that the index will never take, set aside as dead letters.
    pub refused: usize,
}

impl Indexer {
    /// How many outbox rows are taken together; a round that took as many may leave more to do.
    pub const ROWS: usize = 200;

    pub(super) fn new(ports: &Ports, policy: &Policy) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            index: Arc::clone(&ports.search),
            clock: Arc::clone(&ports.clock),
            batch: policy.index_batch,
        }
    }

    /// Takes outbox rows and carries out what they say, a bounded part at a time.
    ///
    /// Each part is completed by itself, so that even a slow index makes progress.
    /// What there was no time for is given back.
    ///
    /// # Errors
    ///
    /// Fails when a backend does; what was not completed is given back.
    pub async fn run_once(&self, holder: &str) -> Result<Indexed, PortError> {
        let claim = Claim::new(holder, self.clock.now(), LEASE);
        let (mut indexed, mut left) = (Indexed::default(), Vec::new());
        let outcome = loop {
            let taken = self.take_up(&claim, &mut indexed, &mut left).await;
            // Unfinished rows are held while there are more, so that they do not come before those again.
            let is_all = !matches!(taken, Ok(Self::ROWS..));
            if is_all || left.is_empty() || self.clock.now() >= claim.until {
                break taken;
            }
        };
        if !left.is_empty()
            && let Err(error) = self.repository.release_outbox(&claim, &left).await
        {
            tracing::warn!(
                error = %Chain(&error),
                "outbox rows that are not indexed yet could not be released; they are retried once \
                 their lease ends"
            );
        }
        outcome.map(|_| indexed)
    }

    /// Takes rows, carries out what they say while there is time, and adds to `left` those that are to come
    /// again; answers how many were taken.
    async fn take_up(
        &self,
        claim: &Claim,
        indexed: &mut Indexed,
        left: &mut Vec<u64>,
    ) -> Result<usize, PortError> {
        let mut rows = self.repository.claim_outbox(claim, Self::ROWS).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        indexed.rows += rows.len();
        // Messages go first, since what lies below a chat or an application may take long to delete.
        rows.sort_by_key(ends_parent);
        let mut rest = rows.as_slice();
        let outcome = self.carry_out(claim, &mut rest, indexed, left).await;
        left.extend(rest.iter().map(|row| row.id));
        outcome.map(|()| rows.len())
    }

    /// Carries out what the rows in `rest` say while there is time, keeps there those that it did not get to,
    /// and adds to `left` those that are not finished.
    async fn carry_out(
        &self,
        claim: &Claim,
        rest: &mut &[OutboxRow],
        indexed: &mut Indexed,
        left: &mut Vec<u64>,
    ) -> Result<(), PortError> {
        // This is read after the claim: a generation that is added later is filled by a scan, which sees
        // what these rows are about.
        let generations = self.repository.generations().await?;
        while !rest.is_empty() && self.clock.now() < claim.until {
            let (part, later) = rest.split_at(self.part(rest));
            let mut carrier = Carrier {
                indexer: self,
                generations: &generations,
                deadline: claim.until,
                changes: Vec::new(),
                bytes: 0,
                report: Report::default(),
            };
            carrier.carry_out(part).await?;
            let Report {
                again,
                unfinished,
                refused,
            } = carrier.report;
            self.set_aside(&refused).await?;
            let (mut done, mut begun) = (Vec::new(), Vec::new());
            for row in part {
                let any_of = |some: &BTreeSet<_>| row.changes.iter().any(|it| some.contains(it));
                if any_of(&unfinished) {
                    begun.push(row.id);
                } else if !any_of(&again) {
                    done.push(row.id);
                }
            }
            self.repository.complete_outbox(claim, &done).await?;
            left.extend(begun);
            indexed.completed += done.len();
            indexed.refused += refused.len();
            *rest = later;
        }
        Ok(())
    }

    /// How many of the first rows are carried out together: as many as make up a batch, all of one kind.
    fn part(&self, rows: &[OutboxRow]) -> usize {
        let kind = rows.first().map(ends_parent);
        let alike = rows.iter().take_while(|row| Some(ends_parent(row)) == kind);
        let sizes = alike.map(|row| row.changes.len());
        let so_far = sizes.scan(0, |sum, size| Some(std::mem::replace(sum, *sum + size)));
        so_far.take_while(|before| *before < self.batch).count()
    }

    /// Sets aside messages that the index will never take, as dead letters for an operator.
    async fn set_aside(&self, refused: &[(MessageKey, String)]) -> Result<(), PortError> {
        for (key, detail) in refused {
            let letter = DeadLetter::of_message(*key, detail.clone(), self.clock.now());
            tracing::error!(
                dead_letter.id = letter.id.as_str(),
                detail,
                "the search index refuses a message, which is set aside as a dead letter"
            );
            self.repository.add_dead_letter(&letter).await?;
        }
        Ok(())
    }

    /// Applies changes to one generation, and answers what went wrong with which.
    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Report, PortError> {
        let (mut report, mut last) = (Report::default(), None);
        let applied = self.index.apply(generation, changes).await?;
        for (change, applied) in changes.iter().zip(applied) {
            match applied {
                Applied::Done => {}
                Applied::Unfinished => {
                    report.unfinished.insert(change.into());
                }
                Applied::Retry { detail } => {
                    last = Some(detail);
                    report.again.insert(change.into());
                }
                Applied::Refused { detail } => match change {
                    IndexChange::Put(IndexDocument { key, .. })
                    | IndexChange::Delete { key, .. } => report.refused.push((*key, detail)),
                    IndexChange::DeleteChat(_) | IndexChange::DeleteApplication(_) => {
                        let change = OutboxChange::from(change);
                        tracing::error!(
                            ?change,
                            detail,
                            "the search index refuses to delete the messages of a chat or \
                             application; this is not retried"
                        );
                    }
                },
            }
        }
        if let Some(detail) = last {
            let changes = report.again.len();
            tracing::warn!(
                changes,
                detail,
                "the search index has not accepted some changes; they are retried"
            );
        }
        Ok(report)
    }

    /// Applies live messages to a generation that is being filled.
    pub(super) async fn fill(
        &self,
        generation: &Generation,
        messages: Vec<Indexable>,
    ) -> Result<(), PortError> {
        let changes: Vec<IndexChange> = messages.into_iter().map(change).collect();
        let report = self.apply(generation, &changes).await?;
        self.set_aside(&report.refused).await?;
        let mut left = report.left();
        let gone = self.gone_meanwhile(&changes).await?;
        if !gone.is_empty() {
            left.extend(self.apply(generation, &gone).await?.left());
        }
        if left.is_empty() {
            return Ok(());
        }
        // They come again by way of the outbox.
        let left: Vec<OutboxChange> = left.into_iter().collect();
        self.repository.note_changes(&left).await
    }

    /// Finds what must be undone of applied changes: messages whose chat or application was deleted meanwhile,
    /// which leaves nothing in the index that would stop a late write.
    ///
    /// One message of each chat tells whether the chat lives. A deletion after this is carried out later, and
    /// finds what was written.
    async fn gone_meanwhile(&self, changes: &[IndexChange]) -> Result<Vec<IndexChange>, PortError> {
        let written = || {
            changes.iter().filter_map(|change| match change {
                IndexChange::Put(document) => Some(document.key),
                _ => None,
            })
        };
        let one_of_each: BTreeMap<ChatKey, MessageKey> =
            written().map(|key| (key.chat_key(), key)).collect();
        let one_of_each: Vec<MessageKey> = one_of_each.into_values().collect();
        let absent = self.absent(&one_of_each).await?;
        let ended: BTreeSet<ChatKey> = absent
            .iter()
            .map(|message| message.key.chat_key())
            .collect();
        let below: Vec<MessageKey> = written()
            .filter(|key| ended.contains(&key.chat_key()))
            .collect();
        let absent = self.absent(&below).await?;
        Ok(absent.into_iter().map(change).collect())
    }

    /// Picks the messages that are not there any more.
    async fn absent(&self, keys: &[MessageKey]) -> Result<Vec<Indexable>, PortError> {
        let mut absent = Vec::new();
        for keys in keys.chunks(READ) {
            let now = self.repository.messages_by_key(keys).await?;
            absent.extend(now.into_iter().filter(|message| message.current.is_none()));
        }
        Ok(absent)
    }
}

/// Says whether a row is about a chat or an application that was deleted.
fn ends_parent(row: &OutboxRow) -> bool {
    let is_of_message = |change: &OutboxChange| matches!(change, OutboxChange::Message(_));
    !row.changes.iter().all(is_of_message)
}

/// What went wrong with some changes.
#[derive(Default)]
struct Report {
    again: BTreeSet<OutboxChange>,
    unfinished: BTreeSet<OutboxChange>,
    refused: Vec<(MessageKey, String)>,
}

impl Report {
    fn add(&mut self, other: Self) {
        let Self {
            again,
            unfinished,
            refused,
        } = other;
        self.again.extend(again);
        self.unfinished.extend(unfinished);
        self.refused.extend(refused);
    }

    /// What still has to be applied to the index.
    fn left(self) -> BTreeSet<OutboxChange> {
        let mut left = self.again;
        left.extend(self.unfinished);
        left
    }
}

impl From<&IndexChange> for OutboxChange {
    fn from(change: &IndexChange) -> Self {
        match change {
            IndexChange::Put(IndexDocument { key, .. }) | IndexChange::Delete { key, .. } => {
                Self::Message(*key)
            }
            IndexChange::DeleteChat(key) => Self::ChatDeleted(*key),
            IndexChange::DeleteApplication(id) => Self::ApplicationDeleted(*id),
        }
    }
}

/// Carries the changes of some rows to every generation, a bounded part at a time.
struct Carrier<'a> {
    indexer: &'a Indexer,
    generations: &'a [Generation],
    deadline: Timestamp,
    changes: Vec<IndexChange>,
    bytes: usize,
    report: Report,
}

impl Carrier<'_> {
    async fn carry_out(&mut self, rows: &[OutboxRow]) -> Result<(), PortError> {
        let all: BTreeSet<OutboxChange> = rows
            .iter()
            .flat_map(|row| row.changes.iter().copied())
            .collect();
        let mut keys = Vec::new();
        for change in all {
            match change {
                OutboxChange::Message(key) => keys.push(key),
                OutboxChange::ChatDeleted(key) => self.changes.push(IndexChange::DeleteChat(key)),
                OutboxChange::ApplicationDeleted(id) => {
                    self.changes.push(IndexChange::DeleteApplication(id));
                }
            }
        }
        for keys in keys.chunks(READ) {
            for message in self.indexer.repository.messages_by_key(keys).await? {
                self.add(message);
            }
            if self.bytes >= HELD_BYTES || self.changes.len() >= self.indexer.batch {
                self.apply().await?;
            }
        }
        self.apply().await
    }

    async fn is_listed(&self, generation: &Generation) -> Result<bool, PortError> {
        let listed = self.indexer.repository.generations().await?;
        Ok(listed.iter().any(|it| it.number == generation.number))
    }

    fn add(&mut self, message: Indexable) {
        let change = change(message);
        if let IndexChange::Put(document) = &change {
            self.bytes += document.body.as_str().len();
        }
        self.changes.push(change);
    }

    async fn apply(&mut self) -> Result<(), PortError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        if self.indexer.clock.now() >= self.deadline {
            let late = "the lease on the claimed outbox rows has ended";
            let error = PortError::new(PortErrorKind::Timeout, "indexer", "apply changes");
            return Err(error.caused_by(late));
        }
        let changes = std::mem::take(&mut self.changes);
        self.bytes = 0;
        self.apply_to_all(&changes).await?;
        let gone = self.indexer.gone_meanwhile(&changes).await?;
        if !gone.is_empty() {
            self.apply_to_all(&gone).await?;
        }
        Ok(())
    }

    async fn apply_to_all(&mut self, changes: &[IndexChange]) -> Result<(), PortError> {
        for generation in self.generations {
            match self.indexer.apply(generation, changes).await {
                Ok(report) => self.report.add(report),
                // A rebuild may have removed it meanwhile.
                Err(error) => {
                    if self.is_listed(generation).await.unwrap_or(true) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What brings the index to a message's present state.
fn change(message: Indexable) -> IndexChange {
    match message.current {
        Some((current, version)) => IndexChange::Put(IndexDocument {
            key: message.key,
            version,
            body: current.body,
            created_at: current.created_at,
        }),
        // Nothing comes after the end of a message.
        None => IndexChange::Delete {
            key: message.key,
            version: IndexChange::LAST_VERSION,
        },
    }
}

/// The generation that searches read, if there is one.
pub(super) fn serving(generations: &[Generation]) -> Option<&Generation> {
    generations
        .iter()
        .find(|generation| generation.state == GenerationState::Serving)
}
