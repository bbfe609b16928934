//! What a process of the API does: numbering, admission, seeding, deleting.

use chat_core::model::{
    Epoch, EpochMark, Incarnation, Position, Shard, ShardRecord, Sighting as Sighted,
};

use crate::{
    actions::is_full,
    numbering::Numbering,
    state::{
        Api, Counter, Creation, Deletion, Identity, Mark, Parent, Read, Record, Row, Sequence, Set,
        Sighting, State, Step,
    },
    variants::Weakness,
};

impl Numbering {
    /// Whether the script that an API knows runs on a server: the run has its text, which names run and
    /// epoch, the epoch is the shard's, and the server's data was not replaced by a copy since.
    pub(crate) fn serves(&self, state: &State, api: usize, server: usize) -> bool {
        let Some((identity, epoch)) = state.apis[api].open else {
            return false;
        };
        let own = state.servers[server].identity;
        let is_run = identity.run == own.run || self.lacks(Weakness::AdmissionNotAsked);
        let is_copy = identity.copied == own.copied
            || self.lacks(Weakness::AdmissionNotAsked)
            || self.lacks(Weakness::CopiesNotAsked);
        is_run && is_copy && state.servers[server].data.mark == Mark::Epoch(epoch)
    }

    pub(crate) fn create(
        &self,
        state: &mut State,
        (api, server): (usize, usize),
        sequence: Sequence,
    ) -> Option<()> {
        let (_, epoch) = state.apis[api].open?;
        // A message needs the application's sequence and its chat's.
        let needed = match sequence {
            Sequence::Chats => &Sequence::ALL[..1],
            Sequence::Messages => &Sequence::ALL[..],
        };
        let mut last = 0;
        for needed in needed {
            match state.servers[server].data.counters[*needed as usize] {
                Counter::Deleted => return None,
                counter => match counter.known(epoch) {
                    Some(number) => last = number,
                    None if self.lacks(Weakness::StartsByItself) => last = 0,
                    None => {
                        let sequence = *needed;
                        let highest = state.highest_pending(server, sequence);
                        let data = &mut state.servers[server].data;
                        data.leases[sequence as usize] = lease_of(api);
                        state.apis[api].step = Step::Leased {
                            sequence,
                            epoch,
                            highest,
                        };
                        return Some(());
                    }
                },
            }
        }
        if is_full(self, state, server, sequence) && !self.lacks(Weakness::LimitIgnored) {
            return None;
        }
        let number = last + 1;
        let creation = Creation {
            sequence,
            number,
            epoch,
        };
        // Before a number is given, it is noted that another server follows this one.
        if state.has_replica(server) && !self.lacks(Weakness::ReplicasNotNoted) {
            state.servers[server].data.followed = true;
        }
        let data = &mut state.servers[server].data;
        data.counters[sequence as usize] = Counter::Last { epoch, number };
        if self.lacks(Weakness::CountsAndEnqueuesApart) {
            state.apis[api].step = Step::Drew(creation);
            state.left.creations -= 1;
        } else {
            state.left.creations -= 1;
            self.remember(state, server, creation);
        }
        Some(())
    }

    /// Leaves a nonce where the mark is missing, and looks at the server.
    pub(crate) fn sight(&self, state: &mut State, api: usize, server: usize) {
        let has_replica = state.has_replica(server);
        let read = match state.apis[api].step {
            Step::Reading(read) => read,
            _ => None,
        };
        let Self { scope, .. } = self;
        let own = &mut state.servers[server];
        if own.data.mark == Mark::Missing && !self.lacks(Weakness::LeavesNoNonce) {
            own.data.mark = Mark::Nonce(state.nonces);
            state.nonces += 1;
        }
        let complete = scope.always_synced && !own.data.followed && !has_replica && !own.promoted;
        let sighting = Sighting {
            address: if scope.has_addresses { server } else { 0 },
            identity: own.identity,
            mark: own.data.mark,
            complete,
            position: own.data.position,
            read,
        };
        state.apis[api] = Api {
            open: None,
            step: Step::Sighted(sighting),
        };
    }

    /// Has the domain decide, under the lock of the record.
    pub(crate) fn admit(&self, state: &mut State, api: usize) -> Option<()> {
        let Step::Sighted(sighting) = state.apis[api].step else {
            return None;
        };
        let known = state.database.record;
        let read = match known {
            Some(known) if self.lacks(Weakness::AdmitsTheOvertaken) => Some(known.read()),
            _ => sighting.read,
        };
        // Whoever has been overtaken begins anew.
        let Some(mut record) = decide(known, read, &sighting) else {
            state.apis[api].step = Step::Idle;
            return Some(());
        };
        if let Some(known) = known
            && self.lacks(Weakness::EpochStays)
        {
            record.epoch = known.epoch;
        }
        if self.lacks(Weakness::ForgetsReplacedMarks) {
            record.mark = sighting.mark;
        }
        state.database.record = Some(record);
        state.apis[api].step = Step::Admitted {
            identity: sighting.identity,
            mark: sighting.mark,
            epoch: record.epoch,
        };
        Some(())
    }

    /// Installs an admitted epoch, where the server and its mark are what was sighted.
    pub(crate) fn open(&self, state: &mut State, api: usize, server: usize) -> Option<()> {
        let Step::Admitted {
            identity,
            mark,
            epoch,
        } = state.apis[api].step
        else {
            return None;
        };
        let is_noted = state.has_replica(server) && !self.lacks(Weakness::ReplicasNotNoted);
        let own = &mut state.servers[server];
        let holds = own.identity == identity && own.data.mark == mark;
        if holds {
            if mark != Mark::Epoch(epoch) {
                own.data.mark = Mark::Epoch(epoch);
                own.data.followed = false;
            }
            own.data.followed |= is_noted;
        }
        state.apis[api] = Api {
            open: holds.then_some((identity, epoch)),
            step: Step::Idle,
        };
        Some(())
    }

    /// Reads whether a sequence's chat is pending; or what is pending of the sequence, if the database was read
    /// first; or both, if the lease told nothing.
    pub(crate) fn look(&self, state: &mut State, api: usize, server: usize) -> Option<()> {
        let step = state.apis[api].step;
        state.apis[api].step = match step {
            Step::ProvedFirst {
                sequence,
                epoch,
                last,
            } => Step::Proved {
                sequence,
                epoch,
                last: last.max(state.highest_pending(server, sequence)),
            },
            Step::Leased {
                sequence,
                epoch,
                highest,
            } => Step::Looked {
                sequence,
                epoch,
                highest: if self.lacks(Weakness::LeasesTellNothing) {
                    state.highest_pending(server, sequence)
                } else {
                    highest
                },
                alive: alive(state, server, sequence),
            },
            _ => return None,
        };
        Some(())
    }

    /// Has the database prove up to where numbers may have been given, in one transaction.
    pub(crate) fn prove(&self, state: &mut State, api: usize) -> Option<()> {
        let (sequence, epoch, highest, alive) = match state.apis[api].step {
            Step::Looked {
                sequence,
                epoch,
                highest,
                alive,
            } => (sequence, epoch, highest, alive),
            // Only where the database is read first.
            Step::Leased {
                sequence, epoch, ..
            } => (sequence, epoch, 0, 0),
            _ => return None,
        };
        if state.database.epoch() != epoch && !self.lacks(Weakness::ProvesInAnyEpoch) {
            state.apis[api] = Api {
                open: state.apis[api].open.filter(|(_, open)| *open != epoch),
                step: Step::Idle,
            };
            return Some(());
        }
        let database = &mut state.database;
        let row = match (sequence, database.chat) {
            (Sequence::Chats, _) => Some(database.chats),
            (Sequence::Messages, Parent::Gone) => {
                state.apis[api].step = Step::Buries { answers: false };
                return Some(());
            }
            (Sequence::Messages, Parent::Absent) if alive == 0 => {
                state.apis[api].step = Step::Vain(sequence);
                return Some(());
            }
            (Sequence::Messages, _) => database.messages,
        };
        let born = Row {
            last: 0,
            epoch: alive,
        };
        let mut row = row.unwrap_or(born);
        if row.epoch < epoch {
            let leaps = row.epoch != 0 && !self.lacks(Weakness::NeverLeaps);
            row = Row {
                last: row.last + if leaps { self.scope.limit } else { 0 },
                epoch,
            };
            if !self.lacks(Weakness::LeapNotStored) {
                match sequence {
                    Sequence::Chats => database.chats = row,
                    Sequence::Messages => database.messages = Some(row),
                }
            }
        }
        let last = row.last.max(highest);
        let lacks_order = self.lacks(Weakness::SeedsFromDatabaseFirst);
        state.apis[api].step = if lacks_order {
            Step::ProvedFirst {
                sequence,
                epoch,
                last,
            }
        } else {
            Step::Proved {
                sequence,
                epoch,
                last,
            }
        };
        Some(())
    }

    /// Runs the script that seeds, where it is known and the caller still holds the lease.
    pub(crate) fn seed(&self, state: &mut State, api: usize, server: usize) -> Option<()> {
        let Step::Proved {
            sequence,
            epoch,
            last,
        } = state.apis[api].step
        else {
            return None;
        };
        state.apis[api].step = Step::Idle;
        let is_open = state.apis[api].open.is_some_and(|(_, open)| open == epoch);
        if !is_open || !self.serves(state, api, server) {
            return Some(());
        }
        let highest = state.highest_pending(server, sequence);
        let data = &mut state.servers[server].data;
        let counter = data.counters[sequence as usize];
        let holds = data.leases[sequence as usize] == lease_of(api)
            || self.lacks(Weakness::SeedsWithoutLease);
        if holds && counter != Counter::Deleted && counter.known(epoch).is_none() {
            let number = last.max(highest);
            data.counters[sequence as usize] = Counter::Last { epoch, number };
            data.leases[sequence as usize] = 0;
        }
        Some(())
    }

    pub(crate) fn mark_deleted(&self, state: &mut State, api: usize, server: usize) -> Option<()> {
        let Step::Buries { answers } = state.apis[api].step else {
            return None;
        };
        self.bury(state, server);
        if answers {
            state.deletion = Deletion::Answered;
        }
        state.apis[api].step = Step::Idle;
        Some(())
    }

    /// Marks the messages of the chat deleted on a server.
    pub(crate) fn bury(&self, state: &mut State, server: usize) {
        let data = &mut state.servers[server].data;
        data.counters[Sequence::Messages as usize] = if self.lacks(Weakness::DeletesTheKey) {
            Counter::Unknown
        } else {
            Counter::Deleted
        };
        if !self.lacks(Weakness::DeletionsLeaveLeases) {
            data.leases[Sequence::Messages as usize] = 0;
        }
    }

    /// Keeps a creation as pending and enqueued, and answers its number.
    pub(crate) fn remember(&self, state: &mut State, server: usize, creation: Creation) {
        let at = state.created().count();
        let data = &state.servers[server].data;
        let kept = data.pending.with(state.database.answers_for());
        let is_lost =
            |(at, earlier): (usize, Creation)| earlier.epoch == creation.epoch && !kept.has(at);
        let loses = state.created().any(is_lost);
        state.wrongs.loss_unnoticed |= loses;
        if creation.sequence == Sequence::Messages && state.deletion == Deletion::Answered {
            state.wrongs.created_in_deleted = true;
        }
        state.ledger[at] = Some(creation);
        let data = &mut state.servers[server].data;
        data.pending.add(at);
        data.position = position(at);
        if creation.sequence == Sequence::Chats && creation.number == 1 {
            // The new chat's own sequence is known from now on, and nobody else need seed it.
            let messages = &mut data.counters[Sequence::Messages as usize];
            if *messages == Counter::Unknown {
                *messages = Counter::Last {
                    epoch: creation.epoch,
                    number: 0,
                };
            }
            if !self.lacks(Weakness::NewChatsLeaveLeases) {
                data.leases[Sequence::Messages as usize] = 0;
            }
        }
    }
}

/// How a lease to seed names the API that holds it.
pub(crate) fn lease_of(api: usize) -> u8 {
    1 + u8::from(api == 1)
}

/// The epoch of the pending creation of a sequence's chat, 0 where none is pending.
fn alive(state: &State, server: usize, sequence: Sequence) -> u8 {
    let chat = match sequence {
        Sequence::Chats => None,
        Sequence::Messages => state.pending_chat(server),
    };
    chat.map_or(0, |at| state.creation(at).epoch)
}

/// The place of a creation's entry in the stream, which rises over all servers, as time does.
pub(crate) fn position(at: usize) -> u8 {
    u8::try_from(at + 1).expect("the ledger has little room")
}

/// Deletes the chat in the database; one that is only pending first gets a row with its uid.
pub(crate) fn delete(state: &mut State, api: usize, server: usize) {
    if let (Parent::Absent, Some(chat)) = (state.database.chat, state.pending_chat(server)) {
        insert(state, chat, true);
    }
    state.database.chat = Parent::Gone;
    state.deletion = Deletion::Stored;
    state.left.deletions -= 1;
    state.apis[api].step = Step::Buries { answers: true };
}

/// Inserts the row of a creation, and counts it into what it belongs to.
pub(crate) fn insert(state: &mut State, at: usize, counts: bool) {
    let creation = state.creation(at);
    let database = &mut state.database;
    database.stored = database.stored.with(Set::of(at));
    let none = Row { last: 0, epoch: 0 };
    let raised = |row: Row, number: u8| Row {
        last: if counts {
            row.last.max(number)
        } else {
            row.last
        },
        epoch: row.epoch.max(creation.epoch),
    };
    match creation.sequence {
        Sequence::Chats => {
            database.chats = raised(database.chats, creation.number);
            if creation.number == 1 {
                database.messages = Some(raised(database.messages.unwrap_or(none), 0));
                database.chat = Parent::Live;
            }
        }
        Sequence::Messages => {
            database.messages = Some(raised(database.messages.unwrap_or(none), creation.number));
        }
    }
}

/// Asks the project's own rule which epoch a sighted server may number in.
fn decide(known: Option<Record>, read: Option<Read>, sighting: &Sighting) -> Option<Record> {
    let incarnation = |of: Identity| Incarnation(format!("{}/{}", of.run, of.copied));
    let place = |position: u8| Position {
        major: position.into(),
        minor: 0,
    };
    let mark = |mark: Mark| match mark {
        Mark::Missing => EpochMark::Missing { nonce: u64::MAX },
        Mark::Nonce(nonce) => EpochMark::Missing {
            nonce: nonce.into(),
        },
        Mark::Epoch(epoch) => EpochMark::Installed(Epoch::new(epoch.into())),
    };
    let known_record = known.map(|known| ShardRecord {
        address: known.address.to_string(),
        incarnation: incarnation(known.identity),
        epoch: Epoch::new(known.epoch.into()),
        mark: mark(known.mark),
        position: place(known.position),
    });
    // The rest of what was read is not looked at.
    let read_record = read.map(|read| ShardRecord {
        address: read.address.to_string(),
        incarnation: incarnation(read.identity),
        epoch: Epoch::new(read.epoch.into()),
        mark: mark(Mark::Missing),
        position: place(0),
    });
    let sighted = Sighted {
        shard: Shard::ONLY,
        address: sighting.address.to_string(),
        incarnation: incarnation(sighting.identity),
        mark: mark(sighting.mark),
        complete: sighting.complete,
        position: place(sighting.position),
    };
    let decided = ShardRecord::admit(known_record.as_ref(), read_record.as_ref(), &sighted)?;
    let small = |number: u64| u8::try_from(number).expect("the model's numbers are small");
    Some(Record {
        address: sighting.address,
        identity: sighting.identity,
        epoch: small(decided.epoch.get()),
        mark: match decided.mark {
            EpochMark::Missing { nonce: u64::MAX } => Mark::Missing,
            EpochMark::Missing { nonce } => Mark::Nonce(small(nonce)),
            EpochMark::Installed(epoch) => Mark::Epoch(small(epoch.get())),
        },
        position: small(decided.position.major),
    })
}
