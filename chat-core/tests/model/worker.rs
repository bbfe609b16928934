//! What a worker does with an entry, and what a reader finds: taking, storing, settling, reading.

use crate::{
    actions::is_taken,
    api::{insert, position},
    numbering::Numbering,
    state::{Mark, Parent, Reader, Sequence, State, Worker},
    variants::Weakness,
};

impl Numbering {
    pub(crate) fn take(&self, state: &mut State, worker: usize, (server, at): (usize, usize)) {
        let epoch = if self.lacks(Weakness::RemembersEpochs) {
            state.database.epoch()
        } else {
            0
        };
        if self.lacks(Weakness::SettlesBeforeCommit) {
            state.servers[server].data.pending.remove(at);
        }
        let at = small(at);
        state.workers[worker] = Worker::Holds { at, epoch };
    }

    /// Stores what a worker holds in one transaction, which also tells the shard's epoch.
    pub(crate) fn store(&self, state: &mut State, worker: usize) -> Option<()> {
        let Worker::Holds { at, epoch: known } = state.workers[worker] else {
            return None;
        };
        let uid = usize::from(at);
        let creation = state.creation(uid);
        let in_deleted =
            creation.sequence == Sequence::Messages && state.database.chat == Parent::Gone;
        let is_stored = state.database.stored.has(uid);
        let is_taken = !is_stored && is_taken(state, uid);
        let mut is_set_aside = false;
        if in_deleted {
            if !is_stored {
                state.database.dropped.add(uid);
            }
        } else if is_taken {
            is_set_aside = !self.lacks(Weakness::ReadsRowsAffected);
        } else if !is_stored {
            insert(state, uid, !self.lacks(Weakness::ForgetsLastNumbers));
        }
        if let Some(record) = &mut state.database.record {
            record.position = record.position.max(position(uid));
        }
        let epoch = if self.lacks(Weakness::RemembersEpochs) {
            known
        } else {
            state.database.epoch()
        };
        state.workers[worker] = if is_set_aside {
            state.database.letters.add(uid);
            Worker::SetsAside { at }
        } else {
            Worker::Stored { at, epoch }
        };
        Some(())
    }

    /// Gives a dead letter up: its number gets a tombstone, and its pending creation is settled next.
    pub(crate) fn drop_letter(&self, state: &mut State, worker: usize, at: usize) {
        state.database.letters.remove(at);
        insert(state, at, !self.lacks(Weakness::ForgetsLastNumbers));
        let epoch = if self.lacks(Weakness::DropsInAnyEpoch) {
            0
        } else {
            state.database.epoch()
        };
        let at = small(at);
        state.workers[worker] = Worker::Stored { at, epoch };
    }

    /// Settles what is done, unless the server is behind the epoch that the database told.
    pub(crate) fn settle(&self, state: &mut State, worker: usize, server: usize) -> Option<()> {
        let Worker::Stored { at, epoch } = state.workers[worker] else {
            return None;
        };
        let at = usize::from(at);
        state.workers[worker] = Worker::Idle;
        let own = match state.servers[server].data.mark {
            Mark::Epoch(own) => own,
            Mark::Missing | Mark::Nonce(_) => 0,
        };
        if own < epoch && !self.lacks(Weakness::SettlesInAnyEpoch) {
            return Some(());
        }
        let data = &mut state.servers[server].data;
        if data.pending.has(at) && !state.database.answers_for().has(at) {
            state.wrongs.settled_unstored = true;
        }
        data.pending.remove(at);
        data.aside.remove(at);
        if state.database.dropped.has(at) {
            self.bury(state, server);
        }
        Some(())
    }
}

/// The database refuses what a worker holds, so it gets a dead letter.
pub(crate) fn refuse(state: &mut State, worker: usize) -> Option<()> {
    let Worker::Holds { at, .. } = state.workers[worker] else {
        return None;
    };
    if state.database.answers_for().has(at.into()) {
        return None;
    }
    state.database.letters.add(at.into());
    state.left.letters -= 1;
    state.workers[worker] = Worker::SetsAside { at };
    Some(())
}

/// Points what is pending to its dead letter, and ends its delivery.
pub(crate) fn set_aside(state: &mut State, worker: usize, server: usize) -> Option<()> {
    let Worker::SetsAside { at } = state.workers[worker] else {
        return None;
    };
    let data = &mut state.servers[server].data;
    if data.pending.has(usize::from(at)) {
        data.aside.add(usize::from(at));
    }
    state.workers[worker] = Worker::Idle;
    Some(())
}

pub(crate) fn read_row(state: &mut State, at: usize) -> Option<()> {
    if state.database.answers_for().has(at) {
        return None;
    }
    state.reader = Reader::NoRow(small(at));
    Some(())
}

impl Numbering {
    pub(crate) fn read_pending(&self, state: &mut State, server: usize) -> Option<()> {
        let Reader::NoRow(at) = state.reader else {
            return None;
        };
        let is_pending = state.servers[server].data.pending.has(at.into());
        state.reader = if is_pending {
            Reader::Idle
        } else if self.lacks(Weakness::ReadsDatabaseOnce) {
            Reader::Nowhere
        } else {
            Reader::NotPending(at)
        };
        Some(())
    }
}

pub(crate) fn read_row_again(state: &mut State) -> Option<()> {
    let Reader::NotPending(at) = state.reader else {
        return None;
    };
    state.reader = if state.database.answers_for().has(at.into()) {
        Reader::Idle
    } else {
        Reader::Nowhere
    };
    Some(())
}

fn small(at: usize) -> u8 {
    u8::try_from(at).expect("the ledger has little room")
}
