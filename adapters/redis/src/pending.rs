//! Reading what is accepted and not stored yet.

use std::sync::Arc;

use chat_core::{
    model::{
        Creation, DeadLetterId, Epoch, Number, NumberRange, Order, Position, Sequence, Shard,
        Timestamp,
    },
    ports::{Pending, PendingPage, PendingPlace},
};
use redis::Value;

use crate::{
    entry::{Fields, entries},
    error::Failure,
    keys::{EntryPlace, Keys, id, position},
    nodes::Nodes,
    reply,
    scripts::{Call, Scripts},
};

/// How many entries of a stream are looked at in one step of an audit.
const STEP: usize = 256;

/// Reads pending creations by number, by range and by age.
pub(crate) struct PendingReader {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    enqueues: bool,
}

/// The result of one read of a range.
struct Part {
    issued: Option<u64>,
    highest_pending: u64,
    /// The last number that was looked at, readable or not; `None` once nothing is left of the range.
    last: Option<Number>,
    creations: Vec<Creation>,
}

/// An entry of a stream that may be pending.
struct Candidate {
    position: Position,
    creation: Creation,
}

impl PendingReader {
    pub(crate) fn new(
        nodes: &Arc<Nodes>,
        keys: &Arc<Keys>,
        scripts: &Arc<Scripts>,
        enqueues: bool,
    ) -> Self {
        Self {
            nodes: Arc::clone(nodes),
            keys: Arc::clone(keys),
            scripts: Arc::clone(scripts),
            enqueues,
        }
    }

    pub(crate) async fn one(
        &self,
        sequence: &Sequence,
        number: Number,
    ) -> Result<Option<Creation>, Failure> {
        let only = NumberRange::new(
            Some(number.get() - 1),
            Some(number.get() + 1),
            Order::Ascending,
        );
        Ok(self.part(sequence, &only, 1).await?.creations.pop())
    }

    pub(crate) async fn page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, Failure> {
        let Part {
            issued,
            highest_pending,
            mut last,
            mut creations,
        } = self.part(sequence, range, limit).await?;
        let mut rest = *range;
        // Creations that this program cannot read are skipped, and must not look like the end of the range.
        while let Some(number) = last
            && !PendingPage::is_enough(&creations, limit)
        {
            rest = rest.beyond(number);
            if rest.is_empty() {
                break;
            }
            let part = self.part(sequence, &rest, limit - creations.len()).await?;
            creations.extend(part.creations);
            last = part.last;
        }
        Ok(PendingPage {
            issued,
            highest_pending,
            creations: PendingPage::take(creations, limit),
        })
    }

    async fn part(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<Part, Failure> {
        let shard = self.keys.shard_of(sequence);
        let keys = [
            self.keys.of_shard(shard, 'e'),
            self.keys.of_shard(shard, 'q'),
            self.keys.of(sequence, 'c'),
            self.keys.of(sequence, 'p'),
        ];
        let order = match range.order() {
            Order::Ascending => "a",
            Order::Descending => "d",
        };
        let call = Call::on(keys)
            .with(range.first())
            .with(range.last())
            .with(limit)
            .with(PendingPage::BYTES)
            .with(order);
        let answer = self.nodes.read(shard, &self.scripts.pending, &call).await?;
        let mut answer = reply::list(answer)?.into_iter();
        let mut next = || answer.next().unwrap_or_default();
        let (mark, counter) = (reply::text(next())?, reply::text(next())?);
        let highest_pending = reply::number(next())?;
        let last = Number::try_new(reply::number(next())?).ok();
        let mut creations = Vec::new();
        for fields in answer {
            creations.extend(Fields::parse(fields)?.creation());
        }
        Ok(Part {
            issued: issued(&mark, &counter),
            highest_pending,
            last,
            creations,
        })
    }

    pub(crate) async fn since(
        &self,
        before: Timestamp,
        after: Option<PendingPlace>,
        limit: usize,
    ) -> Result<Vec<Pending>, Failure> {
        let place = after.and_then(|place| EntryPlace::parse(&place.0, &self.keys));
        let first = place.as_ref().map_or(0, |place| place.shard.get());
        let (mut found, mut failed) = (Vec::new(), None);
        for shard in (first..self.keys.count()).map(Shard::new) {
            let start = place.as_ref().filter(|place| place.shard == shard);
            let start = start.map(|place| place.position);
            // A shard whose server is away must not hide the others.
            let listed = self.since_in(shard, before, start, limit, &mut found);
            failed = failed.or(listed.await.err());
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        match failed {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found),
        }
    }

    /// Adds the pending creations of a shard from before a moment, until there are enough.
    async fn since_in(
        &self,
        shard: Shard,
        before: Timestamp,
        mut start: Option<Position>,
        limit: usize,
        found: &mut Vec<Pending>,
    ) -> Result<(), Failure> {
        while found.len() < limit {
            let step = self.entries(shard, start).await?;
            start = step.last().map(|(position, _)| *position);
            let is_last = step.len() < STEP;
            let readable = step.into_iter().filter_map(|(position, creation)| {
                let creation = creation?;
                Some(Candidate { position, creation })
            });
            let is_old = |it: &Candidate| it.creation.draft.created_at < before;
            let (old, young): (Vec<_>, Vec<_>) = readable.partition(is_old);
            // Entries are in the order of acceptance, so all that follow are younger still.
            let is_young = old.is_empty() && !young.is_empty();
            found.extend(self.still_pending(shard, old).await?);
            if is_last || is_young {
                break;
            }
        }
        Ok(())
    }

    /// The next entries of a stream after a position, each with its creation if that is readable.
    async fn entries(
        &self,
        shard: Shard,
        after: Option<Position>,
    ) -> Result<Vec<(Position, Option<Creation>)>, Failure> {
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({}", id(after)));
        let mut reading = redis::cmd("XRANGE");
        reading.arg(self.keys.of_shard(shard, 'q'));
        reading.arg(from).arg("+").arg("COUNT").arg(STEP);
        let stored = entries(self.nodes.ask(shard, &reading).await?)?;
        stored
            .into_iter()
            .map(|entry| {
                let place = position(&entry.id).ok_or(Failure::Strange("an entry's id"))?;
                Ok((place, entry.fields.and_then(|fields| fields.creation())))
            })
            .collect()
    }

    /// Which of the entries are pending, and what is known of them.
    async fn still_pending(
        &self,
        shard: Shard,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Pending>, Failure> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = Call::on(['d', 'f'].map(|kind| self.keys.of_shard(shard, kind)));
        for Candidate { position, creation } in &candidates {
            // An entry in the wrong shard was not numbered here; under this key nothing is found.
            let sequence = creation.sequence();
            call.add_key(if self.keys.shard_of(&sequence) == shard {
                self.keys.of(&sequence, 'p')
            } else {
                self.keys.of_shard(shard, 'x')
            });
            call.add(creation.number.get());
            call.add(id(*position));
            call.add(creation.draft.uid.to_bytes().as_slice());
        }
        let answer = self.nodes.read(shard, &self.scripts.waiting, &call).await?;
        let answers = reply::list(answer)?;
        let mut pending = Vec::new();
        for (Candidate { position, creation }, answer) in candidates.into_iter().zip(answers) {
            pending.extend(self.pending(shard, position, creation, answer)?);
        }
        Ok(pending)
    }

    fn pending(
        &self,
        shard: Shard,
        position: Position,
        creation: Creation,
        answer: Value,
    ) -> Result<Option<Pending>, Failure> {
        let answer = reply::text(answer)?;
        let Some((confirmed, letter)) = answer.split_at_checked(1) else {
            return Ok(None);
        };
        let place = EntryPlace { shard, position };
        Ok(Some(Pending {
            place: place.pending(),
            creation,
            confirmed: self.enqueues || confirmed == "1",
            dead_letter: (!letter.is_empty()).then(|| DeadLetterId::new(letter)),
        }))
    }
}

/// The last number that was issued, if the counter is of the shard's epoch.
fn issued(mark: &str, counter: &str) -> Option<u64> {
    let (epoch, last) = counter.split_once(':')?;
    let current: Option<u64> = mark.parse().ok();
    let of = epoch.parse().map(Epoch::new).ok()?;
    (current.map(Epoch::new) == Some(of)).then(|| last.parse().ok())?
}
