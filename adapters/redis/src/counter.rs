//! Numbering: one script gives a number and keeps the creation that got it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chat_core::{
    PortError,
    model::{
        Admission, Creation, DeadLetterId, Epoch, Number, NumberRange, Position, Sequence, Shard,
        Sighting, Submission, Timestamp, Uid,
    },
    ports::{
        Counter, Lease, Numbering, Overload, Pending, PendingPage, PendingPlace, Placement, Seed,
        Seeding, Settlement, Tokens, UnknownSequence,
    },
};
use tokio::time::sleep;

use crate::{
    RedisConfig,
    admission::{Admissions, Open},
    error::Failure,
    keys::{Keys, chat_number, chats_of, position, sequence_name},
    nodes::Nodes,
    pending::PendingReader,
    reply,
    scripts::{Call, Scripts, millis},
    settling::Settler,
};

/// When to retry if too much is waiting to be stored.
const STORED_AFTER: Duration = Duration::from_secs(1);

/// When to retry if there are too many idempotency keys, whose count falls by the hour.
const KEYS_GO_AFTER: Duration = Duration::from_mins(5);

/// The pause before a retry of what a shard's migration prevented.
const MIGRATING: Duration = Duration::from_millis(20);

/// The operation that errors name.
const NUMBERING: &str = "number a creation";

/// Gives numbers, by one run of a script for all creations of a shard that come together.
///
/// A server that restarted gives none until the repository has admitted it.
pub struct RedisCounter {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    admissions: Admissions,
    pending: PendingReader,
    settler: Settler,
    enqueues: bool,
    idle: Duration,
    answer_timeout: Duration,
}

impl RedisCounter {
    pub(crate) fn new(
        config: &RedisConfig,
        nodes: &Arc<Nodes>,
        keys: &Arc<Keys>,
        scripts: &Arc<Scripts>,
        tokens: Arc<dyn Tokens>,
    ) -> Self {
        Self {
            admissions: Admissions::new(nodes, keys, scripts, tokens, config.limits),
            pending: PendingReader::new(nodes, keys, scripts, config.enqueues),
            settler: Settler::new(nodes, keys, scripts, config.idle),
            nodes: Arc::clone(nodes),
            answer_timeout: config.answer_timeout,
            keys: Arc::clone(keys),
            scripts: Arc::clone(scripts),
            enqueues: config.enqueues,
            idle: config.idle,
        }
    }

    /// The call of the script that numbers; `scripts/create.lua` lists its keys and arguments.
    fn creating(&self, shard: Shard, submission: &Submission, over: Option<Overload>) -> Call {
        let draft = &submission.draft;
        let sequence = draft.sequence();
        let mut call = Call::on([
            self.keys.of(&chats_of(&sequence), 'c'),
            self.keys.of(&sequence, 'c'),
            self.keys.of(&sequence, 'p'),
        ]);
        call.add(draft.encode());
        call.add(sequence_name(&sequence));
        call.add(draft.uid.to_bytes().as_slice());
        if let Some(key) = &submission.key {
            call.add_key(self.keys.of_key(sequence.application(), key));
            call.add_key(self.keys.of_shard(shard, 'n'));
            call.add(submission.digest().as_bytes().as_slice());
            call.add(draft.created_at.as_micros());
        } else {
            call.add("");
            call.add("");
        }
        // Sent all the same: a key that was used before is answered even under overload.
        call.with(over.map_or("", overload_letter))
    }

    /// Parses what the script that numbers said; `None` if the shard is in another epoch.
    fn numbering(
        &self,
        shard: Shard,
        open: &Open,
        sequence: &Sequence,
        answer: &[u8],
    ) -> Result<Option<Numbering>, Failure> {
        let strange = || Failure::Strange("an outcome of a numbering");
        let text = std::str::from_utf8(answer).map_err(|_| strange())?;
        let first = *answer.first().ok_or_else(strange)?;
        let rest = text.get(1..).unwrap_or_default();
        let numbering = match first {
            b'0'..=b'9' => {
                let (number, position) = accepted(text).ok_or_else(strange)?;
                self.admissions.saw(shard, position);
                Numbering::Accepted {
                    number,
                    epoch: open.epoch,
                    placement: self.placement(),
                }
            }
            b'R' => {
                let (number, created_at) = rest.split_once(' ').ok_or_else(strange)?;
                let micros = created_at.parse().map_err(|_| strange())?;
                Numbering::Replayed {
                    number: Number::parse(number).map_err(|_| strange())?,
                    created_at: Timestamp::from_micros(micros),
                }
            }
            b'K' => Numbering::KeyReused,
            b'G' => Numbering::Gone,
            b'O' => overloaded(rest).ok_or_else(strange)?,
            b'U' => {
                let (which, lease) = rest.split_at_checked(1).ok_or_else(strange)?;
                let chats = chats_of(sequence);
                let leased = lease.split_once(' ');
                let leased = leased
                    .map(|(lease, highest)| Some((lease.parse().ok()?, highest.parse().ok()?)));
                let leased = leased
                    .map(|leased| leased.ok_or_else(strange))
                    .transpose()?;
                Numbering::Unknown(UnknownSequence {
                    sequence: if which == "c" { chats } else { *sequence },
                    shard,
                    epoch: open.epoch,
                    lease: leased.map(|(lease, _)| Lease(lease)),
                    highest_pending: leased.map_or(0, |(_, highest)| highest),
                })
            }
            b'E' => return Ok(None),
            b'X' => return Err(Failure::told(rest)),
            _ => return Err(strange()),
        };
        Ok(Some(numbering))
    }

    /// Numbers in an open shard; `None` if it turns out not to be open any more.
    async fn number(
        &self,
        shard: Shard,
        open: &Arc<Open>,
        submission: &Submission,
        over: Option<Overload>,
    ) -> Result<Option<Numbering>, Failure> {
        let call = self.creating(shard, submission, over);
        let answer = open.server.batcher.ask(&open.create, call).await;
        let sequence = submission.draft.sequence();
        let numbering = answer
            .and_then(reply::bytes)
            .and_then(|answer| self.numbering(shard, open, &sequence, &answer.unwrap_or_default()));
        match numbering {
            Ok(numbering) => Ok(numbering),
            Err(failure) if failure.is("NOSCRIPT") => Ok(None),
            Err(failure) => {
                if failure.is("READONLY") {
                    self.admissions.shut(shard, open);
                }
                if self.nodes.has_moved(&failure).await {
                    Ok(None)
                } else {
                    Err(failure)
                }
            }
        }
    }

    fn placement(&self) -> Placement {
        if self.enqueues {
            Placement::Enqueued
        } else {
            Placement::Remembered
        }
    }

    async fn plant(&self, seed: &Seed) -> Result<Seeding, PortError> {
        const SEEDING: &str = "seed a sequence";
        let shard = self.keys.shard_of(&seed.sequence);
        let open = self.admissions.opened(shard).await?;
        let Some(open) = open.filter(|open| open.epoch == seed.epoch) else {
            return Ok(Seeding::Refused);
        };
        let chats = chats_of(&seed.sequence);
        let keys = [
            self.keys.of_shard(shard, 'e'),
            self.keys.of(&seed.sequence, 'c'),
            self.keys.of(&seed.sequence, 'l'),
            self.keys.of(&seed.sequence, 'p'),
            self.keys.of(&chats, 'p'),
        ];
        let call = Call::on(keys)
            .with(seed.lease.0)
            .with(seed.last)
            .with(millis(self.idle))
            .with(chat_number(&seed.sequence));
        let command = call.by_hash(&open.seed);
        match open.server.shared.ask(&command).await.map(reply::number) {
            Ok(Ok(planted)) if planted > 0 => Ok(Seeding::Seeded),
            Ok(Ok(_)) => Ok(Seeding::Refused),
            Err(failure) if failure.is("NOSCRIPT") || self.nodes.has_moved(&failure).await => {
                self.admissions.shut(shard, &open);
                Ok(Seeding::Refused)
            }
            Ok(Err(failure)) | Err(failure) => Err(failure.of(SEEDING)),
        }
    }
}

/// How the script that numbers names an overload.
fn overload_letter(over: Overload) -> &'static str {
    match over {
        Overload::Backlog => "b",
        Overload::Sequence => "s",
        Overload::Keys => "k",
    }
}

/// Parses such a name.
fn overloaded(letter: &str) -> Option<Numbering> {
    let (by, retry_after) = match letter {
        "b" => (Overload::Backlog, STORED_AFTER),
        "s" => (Overload::Sequence, STORED_AFTER),
        "k" => (Overload::Keys, KEYS_GO_AFTER),
        _ => return None,
    };
    Some(Numbering::Overloaded { by, retry_after })
}

/// The number of an accepted creation, and its place in the stream.
fn accepted(text: &str) -> Option<(Number, Position)> {
    let (number, id) = text.split_once(' ')?;
    Some((Number::parse(number).ok()?, position(id)?))
}

#[async_trait]
impl Counter for RedisCounter {
    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        let shard = self.keys.shard_of(&submission.draft.sequence());
        let give_up = Instant::now() + self.answer_timeout;
        loop {
            if let Some(open) = self.admissions.opened(shard).await? {
                let over = self.admissions.overload(submission.key.is_some());
                match self.number(shard, &open, submission, over).await {
                    Ok(Some(numbering)) => return Ok(numbering),
                    Ok(None) => self.admissions.shut(shard, &open),
                    // The shard is migrating, which ends soon, and nothing was done: retry.
                    Err(failure) if failure.is_of_migration() && Instant::now() < give_up => {
                        sleep(MIGRATING).await;
                        continue;
                    }
                    Err(failure) => return Err(failure.of(NUMBERING)),
                }
            }
            return Ok(Numbering::Closed(shard));
        }
    }

    async fn confirm(
        &self,
        sequence: &Sequence,
        number: Number,
        uid: Uid,
    ) -> Result<(), PortError> {
        if self.enqueues {
            return Ok(());
        }
        let shard = self.keys.shard_of(sequence);
        let pending = self.keys.of(sequence, 'p');
        let call = Call::on([pending, self.keys.of_shard(shard, 'f')])
            .with(number.get())
            .with(uid.to_bytes().as_slice());
        let confirmed = self.nodes.run(shard, &self.scripts.confirm, &call).await;
        confirmed
            .map(drop)
            .map_err(|failure| failure.of("confirm a creation"))
    }

    async fn seed(&self, seed: &Seed) -> Result<Seeding, PortError> {
        self.plant(seed).await
    }

    async fn release_lease(&self, sequence: &Sequence, lease: Lease) -> Result<(), PortError> {
        let shard = self.keys.shard_of(sequence);
        let call = Call::on([self.keys.of(sequence, 'l')]).with(lease.0);
        let given = self
            .nodes
            .run(shard, &self.scripts.release_lease, &call)
            .await;
        given
            .map(drop)
            .map_err(|failure| failure.of("release a lease"))
    }

    async fn sight(&self, shard: Shard) -> Result<Sighting, PortError> {
        self.admissions.sight(shard).await
    }

    async fn open(&self, admission: &Admission) -> Result<bool, PortError> {
        let opened = self.admissions.open(admission).await;
        opened.map_err(|failure| failure.of("open a shard"))
    }

    async fn close(&self, shard: Shard, epoch: Epoch) -> Result<(), PortError> {
        self.admissions.close(shard, epoch);
        Ok(())
    }

    async fn mark_deleted(&self, sequence: &Sequence) -> Result<(), PortError> {
        let shard = self.keys.shard_of(sequence);
        let call = Call::on([self.keys.of(sequence, 'c')]).with(millis(self.idle));
        let marked = self
            .nodes
            .run(shard, &self.scripts.mark_deleted, &call)
            .await;
        marked
            .map(drop)
            .map_err(|failure| failure.of("mark a sequence deleted"))
    }

    async fn pending(
        &self,
        sequence: &Sequence,
        number: Number,
    ) -> Result<Option<Creation>, PortError> {
        let read = self.pending.one(sequence, number).await;
        read.map_err(|failure| failure.of("read a pending creation"))
    }

    async fn pending_page(
        &self,
        sequence: &Sequence,
        range: &NumberRange,
        limit: usize,
    ) -> Result<PendingPage, PortError> {
        let read = self.pending.page(sequence, range, limit).await;
        read.map_err(|failure| failure.of("read pending creations"))
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, PortError> {
        let settled = self.settler.settle(settlements, epochs).await;
        settled.map_err(|failure| failure.of("settle creations"))
    }

    async fn point_to_letter(
        &self,
        sequence: &Sequence,
        number: Number,
        uid: Uid,
        letter: Option<DeadLetterId>,
    ) -> Result<(), PortError> {
        let shard = self.keys.shard_of(sequence);
        let pending = self.keys.of(sequence, 'p');
        let call = Call::on([pending, self.keys.of_shard(shard, 'd')])
            .with(number.get())
            .with(uid.to_bytes().as_slice())
            .with(letter.as_ref().map_or("", DeadLetterId::as_str));
        let pointed = self
            .nodes
            .run(shard, &self.scripts.point_to_letter, &call)
            .await;
        pointed
            .map(drop)
            .map_err(|failure| failure.of("point a creation to its dead letter"))
    }

    async fn pending_since(
        &self,
        before: Timestamp,
        after: Option<PendingPlace>,
        limit: usize,
    ) -> Result<Vec<Pending>, PortError> {
        let listed = self.pending.since(before, after, limit).await;
        listed.map_err(|failure| failure.of("list pending creations"))
    }

    fn settle_acknowledges(&self) -> bool {
        self.enqueues
    }

    fn leaves_publishing(&self) -> bool {
        !self.enqueues
    }

    async fn check(&self) -> Result<(), PortError> {
        self.nodes.check().await
    }
}
