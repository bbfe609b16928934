//! How much of the world a run looks at: who is there, what may fail, and how often.

use crate::state::{
    Api, Counter, Creation, Data, Database, Deletion, Identity, Left, Mark, Parent, ROOM, Reader,
    Record, Role, Row, Sequence, Server, Set, State, Step, Worker, Wrongs,
};

/// A kind of fault that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server starts again with everything.
    Restart,
    /// The server starts again with what had reached its disk.
    PowerCut,
    /// All keys are deleted.
    Flush,
    /// The replica, which lags, becomes a primary while the old one goes on; either may follow the other.
    FailOver,
    /// A process of the API ends.
    Die,
    /// Keys that are lost may be marks of deletion as well.
    LoseMarks,
}

/// What a run looks at; within it every order of all steps is tried.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own, and is named where it is set"
)]
pub(crate) struct Scope {
    /// Whether a server brings each write to its disk before it answers.
    pub(crate) always_synced: bool,
    /// Whether chat 1 is there at the start, and both processes of the API may number.
    pub(crate) is_warm: bool,
    /// Whether each process of the API always reaches the same one of two servers.
    pub(crate) is_pinned: bool,
    /// Whether the two servers have an address each; else both are reached by the same one.
    pub(crate) has_addresses: bool,
    /// Whether it is noted at the start that there is a replica.
    pub(crate) is_noted: bool,
    pub(crate) workers: usize,
    pub(crate) reads: bool,
    pub(crate) sequences: &'static [Sequence],
    /// How many creations of one sequence may be pending, and how far an epoch's first proof leaps;
    /// 65,536 in production.
    pub(crate) limit: u8,
    pub(crate) creations: u8,
    pub(crate) deletions: u8,
    /// How often the database may refuse a creation as such.
    pub(crate) letters: u8,
    pub(crate) forgets: u8,
    pub(crate) faults: u8,
    pub(crate) faults_of: &'static [Fault],
    /// States beyond this epoch are not visited.
    pub(crate) most_epochs: u8,
}

/// A server that keeps everything through its restarts, with chat 1 there.
pub(crate) const KEEPING: Scope = Scope {
    always_synced: true,
    is_warm: true,
    is_pinned: false,
    is_noted: true,
    has_addresses: false,
    workers: 2,
    reads: false,
    sequences: &Sequence::ALL,
    limit: 2,
    creations: 2,
    deletions: 0,
    letters: 0,
    forgets: 1,
    faults: 2,
    faults_of: &[Fault::Restart, Fault::Die],
    most_epochs: 3,
};

/// The same with more creations, and one worker.
pub(crate) const CREATING: Scope = Scope {
    workers: 1,
    creations: 3,
    ..KEEPING
};

/// The same from the very start, before there is an epoch or a chat.
pub(crate) const FRESH: Scope = Scope {
    is_warm: false,
    faults_of: &[Fault::Restart, Fault::Die],
    creations: 2,
    ..CREATING
};

/// The same with somebody who reads what was answered.
pub(crate) const READING: Scope = Scope {
    reads: true,
    creations: 2,
    faults: 1,
    ..CREATING
};

/// The same with a chat that is deleted and creations that the database refuses; any key may go.
pub(crate) const DELETING: Scope = Scope {
    creations: 2,
    deletions: 1,
    letters: 1,
    forgets: 2,
    faults: 0,
    faults_of: &[Fault::Restart, Fault::LoseMarks],
    ..CREATING
};

/// A server that may lose its last writes, or everything.
pub(crate) const LOSING: Scope = Scope {
    always_synced: false,
    workers: 1,
    limit: 1,
    forgets: 0,
    faults_of: &[Fault::PowerCut, Fault::Flush],
    ..KEEPING
};

/// The same with losses that coincide with a lost key or a dead letter.
pub(crate) const LOSING_MORE: Scope = Scope {
    sequences: &[Sequence::Chats],
    limit: 2,
    letters: 1,
    forgets: 1,
    faults: 1,
    creations: 3,
    ..LOSING
};

/// A primary with a replica that lags, takes over, and leaves the old one in service.
pub(crate) const FAILING_OVER: Scope = Scope {
    workers: 1,
    sequences: &[Sequence::Chats],
    limit: 1,
    creations: 3,
    forgets: 0,
    faults: 1,
    faults_of: &[Fault::FailOver],
    ..KEEPING
};

/// The same with both sequences, where each process of the API reaches one of the servers.
pub(crate) const PARTED: Scope = Scope {
    is_pinned: true,
    sequences: &Sequence::ALL,
    letters: 1,
    ..FAILING_OVER
};

/// Servers that follow each other by turns.
pub(crate) const FLAPPING: Scope = Scope {
    is_pinned: true,
    creations: 2,
    faults: 3,
    ..FAILING_OVER
};

/// A replica that takes over and starts again, so that it shows no trace of that.
pub(crate) const TAKING_OVER: Scope = Scope {
    faults: 2,
    faults_of: &[Fault::FailOver, Fault::Restart],
    ..FLAPPING
};

/// Keys are lost twice, and nothing else happens.
pub(crate) const FORGETTING: Scope = Scope {
    forgets: 2,
    faults: 0,
    creations: 2,
    ..CREATING
};

/// A chat and its messages begin, and a key is lost.
pub(crate) const BEGINNING: Scope = Scope {
    faults: 0,
    creations: 3,
    ..FRESH
};

/// A key is lost while a replica takes over.
pub(crate) const FORGETTING_OVER: Scope = Scope {
    forgets: 1,
    ..FAILING_OVER
};

/// The same with less to create, so that every state can be looked at.
pub(crate) const FORGETTING_ONE_OVER: Scope = Scope {
    creations: 2,
    ..FORGETTING_OVER
};

/// A replica that is not noted yet takes over and starts again.
pub(crate) const UNNOTED: Scope = Scope {
    is_noted: false,
    ..TAKING_OVER
};

impl Scope {
    /// The same with more of everything, for as long as one likes to wait.
    pub(crate) fn enlarged(self) -> Self {
        Self {
            creations: self.creations + 1,
            forgets: self.forgets + 1,
            faults: self.faults + 1,
            most_epochs: self.most_epochs + 1,
            ..self
        }
    }

    /// Whether nothing that was answered may get lost here.
    pub(crate) fn is_lossless(&self) -> bool {
        let loses = [Fault::PowerCut, Fault::Flush, Fault::FailOver];
        !self.faults_of.iter().any(|fault| loses.contains(fault))
    }

    pub(crate) fn has_replica(&self) -> bool {
        self.faults_of.contains(&Fault::FailOver)
    }

    /// The one state that everything begins with.
    pub(crate) fn start(&self, is_noted: bool) -> State {
        let server = Server {
            role: Role::Primary,
            identity: Identity { run: 0, copied: 0 },
            promoted: false,
            data: Data::NOTHING,
        };
        let role = if self.has_replica() {
            Role::Replica
        } else {
            Role::None
        };
        let other = Server {
            role,
            identity: Identity { run: 1, copied: 0 },
            ..server
        };
        let api = Api {
            open: None,
            step: Step::Idle,
        };
        let mut state = State {
            servers: [server, other],
            disk: None,
            database: Database {
                record: None,
                chats: Row { last: 0, epoch: 0 },
                messages: None,
                chat: Parent::Absent,
                stored: Set::default(),
                dropped: Set::default(),
                letters: Set::default(),
            },
            apis: [api; 2],
            workers: [Worker::Idle; 2],
            reader: Reader::Idle,
            ledger: [None; ROOM],
            deletion: Deletion::None,
            wrongs: Wrongs::default(),
            left: Left {
                creations: self.creations,
                faults: self.faults,
                forgets: self.forgets,
                deletions: self.deletions,
                letters: self.letters,
            },
            runs: 1,
            nonces: 0,
        };
        if self.is_warm {
            self.warm(&mut state, is_noted);
        }
        state
    }

    /// Chat 1 was created in the first epoch, stored and settled.
    fn warm(&self, state: &mut State, is_noted: bool) {
        let identity = state.servers[0].identity;
        let of = |number| Counter::Last { epoch: 1, number };
        let data = Data {
            mark: Mark::Epoch(1),
            followed: self.has_replica() && is_noted,
            counters: [of(1), of(0)],
            position: 1,
            ..Data::NOTHING
        };
        state.servers[0].data = data;
        if self.has_replica() {
            state.servers[1].data = data;
        }
        state.nonces = 1;
        state.ledger[0] = Some(Creation {
            sequence: Sequence::Chats,
            number: 1,
            epoch: 1,
        });
        state.database = Database {
            record: Some(Record {
                address: 0,
                identity,
                epoch: 1,
                mark: Mark::Nonce(0),
                position: 1,
            }),
            chats: Row { last: 1, epoch: 1 },
            messages: Some(Row { last: 0, epoch: 1 }),
            chat: Parent::Live,
            stored: Set::of(0),
            ..state.database
        };
        for api in &mut state.apis {
            api.open = Some((identity, 1));
        }
    }
}
