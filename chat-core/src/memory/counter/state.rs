//! What the counter's server holds, and what it does with it.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    model::{
        ApplicationId, ChatKey, Digest, Epoch, EpochMark, IdempotencyKey, Incarnation, Number,
        NumberRange, Order, Position, Sequence, Shard, Sighting, Timestamp,
    },
    ports::{Lease, Numbering, Pending, PendingPage, PendingPlace, Settlement, UnknownSequence},
};

/// How long after a lease no other one is handed out for its sequence.
const LEASE_LIFE: Duration = Duration::from_secs(1);

/// What the counter's server holds; a copy of it is what a disk or a replica may come back with.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) sequences: HashMap<Sequence, Known>,
    pub(super) pending: BTreeMap<Sequence, BTreeMap<Number, Pending>>,
    pub(super) bytes: usize,
    pub(super) keys: HashMap<(ApplicationId, IdempotencyKey), Used>,
    pub(super) leases: HashMap<Sequence, (Lease, Timestamp)>,
    pub(super) mark: Option<EpochMark>,
    /// Which run and epoch it is open for; gone after each restart, as a script cache is.
    pub(super) open: Option<(u64, Epoch)>,
    /// Which run this is.
    pub(super) run: u64,
    /// Whether this run came back with everything.
    pub(super) complete: bool,
    /// Rises with every use: positions, leases and nonces are taken from it.
    pub(super) ticks: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    Last(Epoch, u64),
    Deleted,
}

#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) digest: Digest,
    pub(super) number: Number,
    pub(super) created_at: Timestamp,
}

impl State {
    pub(super) fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation(format!("run {}", self.run))
    }

    /// The epoch that is open for this run.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        match (self.open, self.mark) {
            (Some((run, open)), Some(EpochMark::Installed(epoch)))
                if run == self.run && open == epoch =>
            {
                Some(epoch)
            }
            _ => None,
        }
    }

    /// What an observer sees; where there is no mark, it leaves a nonce.
    pub(super) fn sight(&mut self) -> Sighting {
        let mark = match self.mark {
            Some(mark) => mark,
            None => EpochMark::Missing { nonce: self.tick() },
        };
        self.mark = Some(mark);
        Sighting {
            shard: Shard::ONLY,
            address: "memory".to_owned(),
            incarnation: self.incarnation(),
            mark,
            complete: self.complete,
            position: Position {
                major: self.ticks,
                minor: 0,
            },
        }
    }

    /// Why a sequence gives no number now; `None` if it can.
    pub(super) fn refuse(
        &mut self,
        sequence: &Sequence,
        epoch: Epoch,
        now: Timestamp,
    ) -> Option<Numbering> {
        match self.sequences.get(sequence) {
            Some(Known::Deleted) => Some(Numbering::Gone),
            Some(Known::Last(known, _)) if *known == epoch => None,
            Some(Known::Last(..)) | None => {
                let lease = self.lease(sequence, now);
                Some(Numbering::Unknown(UnknownSequence {
                    sequence: *sequence,
                    shard: Shard::ONLY,
                    epoch,
                    lease,
                    highest_pending: self.highest_pending(sequence),
                }))
            }
        }
    }

    /// A new lease, unless the last one may still be used.
    pub(super) fn lease(&mut self, sequence: &Sequence, now: Timestamp) -> Option<Lease> {
        if self
            .leases
            .get(sequence)
            .is_some_and(|(_, since)| now < since.plus(LEASE_LIFE))
        {
            return None;
        }
        let lease = Lease(self.tick());
        self.leases.insert(*sequence, (lease, now));
        Some(lease)
    }

    /// Notes what is known of a sequence, and ends its lease: nobody needs to seed it any more.
    pub(super) fn know(&mut self, sequence: Sequence, known: Known) {
        self.leases.remove(&sequence);
        self.sequences.insert(sequence, known);
    }

    /// The next number of a known sequence, unless it is exhausted.
    pub(super) fn advance(&mut self, sequence: &Sequence, epoch: Epoch) -> Option<Number> {
        let Some(Known::Last(_, last)) = self.sequences.get(sequence).copied() else {
            return None;
        };
        let number = Number::try_new(last + 1).ok()?;
        self.sequences
            .insert(*sequence, Known::Last(epoch, number.get()));
        Some(number)
    }

    pub(super) fn highest_pending(&self, sequence: &Sequence) -> u64 {
        let pending = self.pending.get(sequence);
        pending
            .and_then(|pending| pending.keys().next_back())
            .map_or(0, |number| number.get())
    }

    /// Whether something pending needs the sequence's key.
    pub(super) fn is_needed(&self, sequence: &Sequence) -> bool {
        let own_create = match sequence {
            Sequence::Chats(_) => false,
            Sequence::Messages(ChatKey { application, chat }) => self
                .pending
                .get(&Sequence::Chats(*application))
                .is_some_and(|chats| chats.contains_key(&Number::from(*chat))),
        };
        own_create || self.highest_pending(sequence) > 0
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) {
        let Some(pending) = self.pending.get_mut(&settlement.sequence) else {
            return;
        };
        let same = pending
            .get(&settlement.number)
            .is_some_and(|pending| pending.creation.draft.uid == settlement.uid);
        if !same {
            return;
        }
        if let Some(settled) = pending.remove(&settlement.number) {
            self.bytes -= settled.creation.draft.encode().len();
        }
        if pending.is_empty() {
            self.pending.remove(&settlement.sequence);
        }
    }

    pub(super) fn page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> PendingPage {
        let issued = match self.sequences.get(sequence) {
            Some(Known::Last(epoch, last)) if self.mark == Some(EpochMark::Installed(*epoch)) => {
                Some(*last)
            }
            _ => None,
        };
        let in_range = |number: &Number| range.contains(*number);
        let pending = self.pending.get(sequence).into_iter().flatten();
        let creations = pending.filter(|(number, _)| in_range(number));
        let creations = creations.map(|(_, pending)| &pending.creation);
        let creations = match range.order() {
            Order::Ascending => PendingPage::take(creations.cloned(), limit),
            Order::Descending => {
                let all: Vec<_> = creations.collect();
                PendingPage::take(all.into_iter().rev().cloned(), limit)
            }
        };
        PendingPage {
            issued,
            highest_pending: self.highest_pending(sequence),
            creations,
        }
    }
}

/// The place of a pending creation; places sort by sequence, then by number.
pub(super) fn place(sequence: &Sequence, number: Number) -> PendingPlace {
    let number = number.get();
    PendingPlace(match sequence {
        Sequence::Chats(application) => format!("chats {:020} {number:020}", application.get()),
        Sequence::Messages(ChatKey { application, chat }) => {
            format!(
                "messages {:020} {:020} {number:020}",
                application.get(),
                chat.get()
            )
        }
    })
}
