//! The state of the model: servers, the database, callers, workers, and a ledger of the numbers given.

use std::fmt;

/// How many creations the ledger has room for.
pub(crate) const ROOM: usize = 8;

/// The two sequences of one shard: the chats of an application, and the messages of its chat 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Sequence {
    Chats,
    Messages,
}

impl Sequence {
    pub(crate) const ALL: [Self; 2] = [Self::Chats, Self::Messages];
}

/// A set of creations, each by its place in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Set(u8);

impl Set {
    pub(crate) fn of(at: usize) -> Self {
        Self(1 << at)
    }

    pub(crate) fn has(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }

    pub(crate) fn add(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.0 &= !(1 << at);
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..ROOM).filter(move |at| self.has(*at))
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A creation that was answered with a number. Its place in the ledger is its uid, and one less than
/// the position of its entry in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Creation {
    pub(crate) sequence: Sequence,
    pub(crate) number: u8,
    pub(crate) epoch: u8,
}

/// What stands where a server keeps the shard's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mark {
    Missing,
    Nonce(u8),
    Epoch(u8),
}

/// What a server holds under a sequence's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Counter {
    Unknown,
    Deleted,
    Last { epoch: u8, number: u8 },
}

impl Counter {
    /// The last number, where the sequence is known in an epoch.
    pub(crate) fn known(self, in_epoch: u8) -> Option<u8> {
        match self {
            Self::Last { epoch, number } if epoch == in_epoch => Some(number),
            _ => None,
        }
    }
}

/// What a server holds, and what its disk or a replica may hold of an earlier moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Data {
    pub(crate) mark: Mark,
    /// Whether it is noted that another server has copied this data.
    pub(crate) followed: bool,
    pub(crate) counters: [Counter; 2],
    /// Who holds the lease to seed each sequence: 0 for nobody, else one more than the caller's index.
    pub(crate) leases: [u8; 2],
    /// Creations that are pending, each with its entry in the stream.
    pub(crate) pending: Set,
    /// Those of them that have a dead letter, and are delivered no more.
    pub(crate) aside: Set,
    /// The last id that the stream gave.
    pub(crate) position: u8,
}

impl Data {
    pub(crate) const NOTHING: Self = Self {
        mark: Mark::Missing,
        followed: false,
        counters: [Counter::Unknown; 2],
        leases: [0; 2],
        pending: Set(0),
        aside: Set(0),
        position: 0,
    };
}

/// One run of a server, and how often it took its data from another one in that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) run: u8,
    pub(crate) copied: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// There is no such server.
    None,
    Replica,
    Primary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) role: Role,
    pub(crate) identity: Identity,
    /// Whether it took over from another one in this run.
    pub(crate) promoted: bool,
    pub(crate) data: Data,
}

/// What the database remembers of the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) address: usize,
    pub(crate) identity: Identity,
    pub(crate) epoch: u8,
    pub(crate) mark: Mark,
    pub(crate) position: u8,
}

impl Record {
    /// The part of it that a later admission is compared with.
    pub(crate) fn read(&self) -> Read {
        Read {
            address: self.address,
            identity: self.identity,
            epoch: self.epoch,
        }
    }
}

/// What the row of a sequence's owner says of its numbers; epoch 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) last: u8,
    pub(crate) epoch: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Parent {
    Absent,
    Live,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Database {
    pub(crate) record: Option<Record>,
    /// The application's row.
    pub(crate) chats: Row,
    /// The row of chat 1, which is a place-holder while the chat is absent.
    pub(crate) messages: Option<Row>,
    pub(crate) chat: Parent,
    pub(crate) stored: Set,
    /// Creations below the deleted chat.
    pub(crate) dropped: Set,
    pub(crate) letters: Set,
}

impl Database {
    pub(crate) fn epoch(&self) -> u8 {
        self.record.map_or(1, |record| record.epoch)
    }

    /// What the database answers for: as a row, as dropped, or as a dead letter.
    pub(crate) fn answers_for(&self) -> Set {
        self.stored.with(self.dropped).with(self.letters)
    }
}

/// What an admission compares of a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Read {
    pub(crate) address: usize,
    pub(crate) identity: Identity,
    pub(crate) epoch: u8,
}

/// What a caller saw of a server that it does not know to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sighting {
    pub(crate) address: usize,
    pub(crate) identity: Identity,
    pub(crate) mark: Mark,
    pub(crate) complete: bool,
    pub(crate) position: u8,
    /// The record as it was read before; nothing where it does not matter.
    pub(crate) read: Option<Read>,
}

/// How far a process of the API is with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    Idle,
    /// Only where counting and enqueueing are apart: it has a number and nothing else.
    Drew(Creation),
    /// It has read the record.
    Reading(Option<Read>),
    Sighted(Sighting),
    Admitted {
        identity: Identity,
        mark: Mark,
        epoch: u8,
    },
    /// It was given the lease to seed, and told the highest number that is pending.
    Leased {
        sequence: Sequence,
        epoch: u8,
        highest: u8,
    },
    /// It has read whether the chat's creation is pending: `alive` is its epoch, 0 for none.
    Looked {
        sequence: Sequence,
        epoch: u8,
        highest: u8,
        alive: u8,
    },
    /// Only where the database is read first.
    ProvedFirst {
        sequence: Sequence,
        epoch: u8,
        last: u8,
    },
    /// It knows up to where numbers may have been given.
    Proved {
        sequence: Sequence,
        epoch: u8,
        last: u8,
    },
    /// There is nothing that the sequence could belong to, so it gives its lease back.
    Vain(Sequence),
    /// The chat is deleted in the database, and its key is to be marked.
    Buries {
        answers: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Api {
    /// Which run it may number on, and in which epoch.
    pub(crate) open: Option<(Identity, u8)>,
    pub(crate) step: Step,
}

/// How far a worker is with an entry; `epoch` is the shard's as the database told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Worker {
    Idle,
    Holds { at: u8, epoch: u8 },
    Stored { at: u8, epoch: u8 },
    SetsAside { at: u8 },
}

/// How far the reader of a creation that was answered is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reader {
    Idle,
    NoRow(u8),
    NotPending(u8),
    Nowhere,
}

/// How far the deletion of chat 1 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Deletion {
    None,
    Stored,
    Answered,
}

/// What may not happen, noted in the step in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Wrongs {
    /// A number was given in the epoch of something that is lost.
    pub(crate) loss_unnoticed: bool,
    /// A message was accepted after the deletion of its chat was answered.
    pub(crate) created_in_deleted: bool,
    /// Something was settled that the database does not answer for.
    pub(crate) settled_unstored: bool,
}

/// How much may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Left {
    pub(crate) creations: u8,
    pub(crate) faults: u8,
    pub(crate) forgets: u8,
    pub(crate) deletions: u8,
    pub(crate) letters: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) servers: [Server; 2],
    /// What the first server would come back with after a power cut.
    pub(crate) disk: Option<Data>,
    pub(crate) database: Database,
    pub(crate) apis: [Api; 2],
    pub(crate) workers: [Worker; 2],
    pub(crate) reader: Reader,
    pub(crate) ledger: [Option<Creation>; ROOM],
    pub(crate) deletion: Deletion,
    pub(crate) wrongs: Wrongs,
    pub(crate) left: Left,
    /// How many runs and nonces there were.
    pub(crate) runs: u8,
    pub(crate) nonces: u8,
}

impl State {
    pub(crate) fn created(&self) -> impl Iterator<Item = (usize, Creation)> {
        let given = self.ledger.iter().enumerate();
        given.filter_map(|(at, creation)| Some((at, (*creation)?)))
    }

    pub(crate) fn all_created(&self) -> Set {
        self.created()
            .fold(Set::default(), |all, (at, _)| all.with(Set::of(at)))
    }

    pub(crate) fn creation(&self, at: usize) -> Creation {
        self.ledger[at].expect("what is kept was created")
    }

    pub(crate) fn is_primary(&self, server: usize) -> bool {
        self.servers[server].role == Role::Primary
    }

    /// Whether another server follows this one.
    pub(crate) fn has_replica(&self, server: usize) -> bool {
        self.servers[1 - server].role == Role::Replica
    }

    /// What is pending of a sequence on a server.
    pub(crate) fn pending(&self, server: usize, sequence: Sequence) -> Set {
        let pending = self.servers[server].data.pending;
        let of_sequence = |at: &usize| self.creation(*at).sequence == sequence;
        let own = pending.iter().filter(of_sequence);
        own.fold(Set::default(), |all, at| all.with(Set::of(at)))
    }

    pub(crate) fn highest_pending(&self, server: usize, sequence: Sequence) -> u8 {
        let pending = self.pending(server, sequence);
        let numbers = pending.iter().map(|at| self.creation(at).number);
        numbers.max().unwrap_or(0)
    }

    /// Chat 1, where its creation is pending on a server.
    pub(crate) fn pending_chat(&self, server: usize) -> Option<usize> {
        let chats = self.pending(server, Sequence::Chats);
        chats.iter().find(|at| self.creation(*at).number == 1)
    }
}
