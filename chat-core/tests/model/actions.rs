//! What may happen next: each step of each process by itself, and each fault.

use crate::{
    numbering::Numbering,
    scopes::Fault,
    state::{Counter, Mark, Parent, Role, Sequence, State, Step, Worker},
    variants::Weakness,
};

/// One thing that happens at once.
///
/// A process may reach any primary with any step of its own, since it reconnects whenever a connection
/// breaks. A database or a server that cannot be reached is a step that is not taken, and
/// [`GiveUp`](Self::GiveUp) is the timeout of the caller who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Create {
        api: usize,
        server: usize,
        sequence: Sequence,
    },
    /// The second half of a create that counts and enqueues apart.
    Enqueue {
        api: usize,
        server: usize,
    },
    ReadRecord {
        api: usize,
    },
    Sight {
        api: usize,
        server: usize,
    },
    Admit {
        api: usize,
    },
    Open {
        api: usize,
        server: usize,
    },
    Look {
        api: usize,
        server: usize,
    },
    Prove {
        api: usize,
    },
    Seed {
        api: usize,
        server: usize,
    },
    GiveBack {
        api: usize,
        server: usize,
    },
    /// The caller times out, and the process drops what it did for it.
    GiveUp {
        api: usize,
    },
    /// The process ends, and another one begins that knows nothing.
    Die {
        api: usize,
    },
    Delete {
        api: usize,
        server: usize,
    },
    MarkDeleted {
        api: usize,
        server: usize,
    },

    /// The entry is delivered, perhaps not for the first time.
    Take {
        worker: usize,
        server: usize,
        at: usize,
    },
    Store {
        worker: usize,
    },
    Settle {
        worker: usize,
        server: usize,
    },
    SetAside {
        worker: usize,
        server: usize,
    },
    /// What the worker holds cannot be stored.
    Refuse {
        worker: usize,
    },
    /// An operator gives a dead letter up.
    DropLetter {
        worker: usize,
        at: usize,
    },
    /// The worker dies; what it held is delivered to others.
    Crash {
        worker: usize,
    },

    ReadRow {
        at: usize,
    },
    ReadPending {
        server: usize,
    },
    ReadRowAgain,

    /// A counter that nothing pending needs expires.
    Expire {
        server: usize,
        sequence: Sequence,
    },
    /// A counter is deleted, whatever is pending.
    LoseKey {
        server: usize,
        sequence: Sequence,
    },
    LosePending {
        server: usize,
        at: usize,
    },
    /// The server starts again with all that it had.
    Restart {
        server: usize,
    },
    /// What the server holds reaches its disk.
    Sync,
    /// The server starts again with what had reached its disk.
    PowerCut,
    /// All keys are deleted.
    Flush {
        server: usize,
    },
    /// The replica receives what its primary holds.
    Replicate,
    /// The replica becomes a primary; the other server goes on as one.
    Promote {
        server: usize,
    },
    /// A primary becomes a replica of the other one, and takes its data.
    Demote {
        server: usize,
    },
}

/// Lists what may happen, some of it perhaps without an effect.
pub(crate) fn list(model: &Numbering, state: &State, actions: &mut Vec<Action>) {
    // When nothing can be created any more, no caller can do harm.
    if state.left.creations > 0 || state.left.deletions > 0 {
        for api in 0..state.apis.len() {
            of_api(model, state, api, actions);
        }
    }
    for worker in 0..model.scope.workers {
        of_worker(state, worker, actions);
    }
    if model.scope.reads {
        of_reader(state, actions);
    }
    faults(model, state, actions);
}

fn primaries(state: &State) -> impl Iterator<Item = usize> {
    (0..state.servers.len()).filter(|server| state.is_primary(*server))
}

fn of_api(model: &Numbering, state: &State, api: usize, actions: &mut Vec<Action>) {
    let step = state.apis[api].step;
    if step != Step::Idle {
        actions.push(Action::GiveUp { api });
    }
    if let Step::Sighted(_) = step {
        actions.push(Action::Admit { api });
        return;
    }
    if let Step::Looked { .. } = step {
        actions.push(Action::Prove { api });
        return;
    }
    if matches!(step, Step::Leased { .. }) && model.lacks(Weakness::SeedsFromDatabaseFirst) {
        actions.push(Action::Prove { api });
        return;
    }
    for server in primaries(state).filter(|it| !model.scope.is_pinned || *it == api) {
        match step {
            Step::Idle if model.serves(state, api, server) => {
                if state.left.creations > 0 {
                    let create = |sequence| Action::Create {
                        api,
                        server,
                        sequence,
                    };
                    actions.extend(model.scope.sequences.iter().copied().map(create));
                }
                let is_there =
                    state.database.chat == Parent::Live || state.pending_chat(server).is_some();
                if state.left.deletions > 0 && is_there && state.database.chat != Parent::Gone {
                    actions.push(Action::Delete { api, server });
                }
            }
            Step::Idle if !model.lacks(Weakness::AdmitsTheOvertaken) => {
                actions.push(Action::ReadRecord { api });
            }
            Step::Idle | Step::Reading(_) => actions.push(Action::Sight { api, server }),
            Step::Drew(_) => actions.push(Action::Enqueue { api, server }),
            Step::Admitted { .. } => actions.push(Action::Open { api, server }),
            Step::Leased { .. } | Step::ProvedFirst { .. } => {
                actions.push(Action::Look { api, server });
            }
            Step::Proved { .. } => actions.push(Action::Seed { api, server }),
            Step::Vain(_) => actions.push(Action::GiveBack { api, server }),
            Step::Buries { .. } => actions.push(Action::MarkDeleted { api, server }),
            Step::Sighted(_) | Step::Looked { .. } => {}
        }
    }
}

fn of_worker(state: &State, worker: usize, actions: &mut Vec<Action>) {
    match state.workers[worker] {
        Worker::Idle => {
            // Idle workers are interchangeable, so only the first one acts.
            if state.workers[..worker].contains(&Worker::Idle) {
                return;
            }
            for server in primaries(state) {
                let data = &state.servers[server].data;
                let delivered = data.pending.without(data.aside).iter();
                actions.extend(delivered.map(|at| Action::Take { worker, server, at }));
            }
            let letters = state.database.letters.without(state.database.stored).iter();
            let is_free = |at: &usize| !is_taken(state, *at);
            let letters = letters.filter(is_free);
            actions.extend(letters.map(|at| Action::DropLetter { worker, at }));
        }
        Worker::Holds { .. } => {
            actions.push(Action::Store { worker });
            if state.left.letters > 0 {
                actions.push(Action::Refuse { worker });
            }
            actions.push(Action::Crash { worker });
        }
        Worker::Stored { .. } => {
            let settle = |server| Action::Settle { worker, server };
            actions.extend(primaries(state).map(settle));
            actions.push(Action::Crash { worker });
        }
        Worker::SetsAside { .. } => {
            let set_aside = |server| Action::SetAside { worker, server };
            actions.extend(primaries(state).map(set_aside));
            actions.push(Action::Crash { worker });
        }
    }
}

fn of_reader(state: &State, actions: &mut Vec<Action>) {
    use crate::state::Reader;
    match state.reader {
        // Reading what was answered last shows as much as reading anything else.
        Reader::Idle => {
            let last = state.created().last();
            actions.extend(last.map(|(at, _)| Action::ReadRow { at }));
        }
        Reader::NoRow(_) => {
            actions.extend(primaries(state).map(|server| Action::ReadPending { server }));
        }
        Reader::NotPending(_) => actions.push(Action::ReadRowAgain),
        Reader::Nowhere => {}
    }
}

fn faults(model: &Numbering, state: &State, actions: &mut Vec<Action>) {
    let may = |fault| model.scope.faults_of.contains(&fault);
    for server in primaries(state) {
        let data = &state.servers[server].data;
        if state.left.forgets > 0 {
            for sequence in Sequence::ALL {
                let counter = data.counters[sequence as usize];
                if !matches!(counter, Counter::Unknown)
                    && (counter != Counter::Deleted || may(Fault::LoseMarks))
                {
                    actions.push(if is_needed(state, server, sequence) {
                        Action::LoseKey { server, sequence }
                    } else {
                        Action::Expire { server, sequence }
                    });
                }
            }
            if model.lacks(Weakness::PendingExpires) {
                let pending = data.pending.iter();
                actions.extend(pending.map(|at| Action::LosePending { server, at }));
            }
        }
        if state.left.faults > 0 {
            if may(Fault::Restart) {
                actions.push(Action::Restart { server });
            }
            if may(Fault::Flush) && data.mark != Mark::Missing {
                actions.push(Action::Flush { server });
            }
            if may(Fault::FailOver) && state.is_primary(1 - server) {
                actions.push(Action::Demote { server });
            }
        }
    }
    if state.left.faults > 0 && may(Fault::Die) {
        let living = (0..state.apis.len()).filter(|api| state.apis[*api].open.is_some());
        actions.extend(living.map(|api| Action::Die { api }));
    }
    if state.left.faults > 0 && may(Fault::PowerCut) {
        match state.disk {
            None if state.servers[0].data.mark != Mark::Missing => actions.push(Action::Sync),
            None => {}
            Some(_) => actions.push(Action::PowerCut),
        }
    }
    if let Some(server) = replica(state) {
        if state.servers[server].data != state.servers[1 - server].data {
            actions.push(Action::Replicate);
        }
        if state.left.faults > 0 {
            actions.push(Action::Promote { server });
        }
    }
}

/// The replica, where there is one.
pub(crate) fn replica(state: &State) -> Option<usize> {
    let mut roles = state.servers.iter().map(|server| server.role);
    roles.position(|role| role == Role::Replica)
}

/// Whether something pending keeps a counter from expiring.
pub(crate) fn is_needed(state: &State, server: usize, sequence: Sequence) -> bool {
    !state.pending(server, sequence).is_empty()
        || sequence == Sequence::Messages && state.pending_chat(server).is_some()
}

/// Whether another creation's row has the number of one that is not stored.
pub(crate) fn is_taken(state: &State, at: usize) -> bool {
    let own = state.creation(at);
    let others = state.database.stored.iter().filter(|other| *other != at);
    let mut others = others.map(|other| state.creation(other));
    others.any(|other| other.sequence == own.sequence && other.number == own.number)
}

/// Whether a sequence holds as much on a server as it may.
pub(crate) fn is_full(model: &Numbering, state: &State, server: usize, of: Sequence) -> bool {
    state.pending(server, of).iter().count() >= model.scope.limit.into()
}
