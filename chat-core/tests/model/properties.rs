//! What must hold in every state, and what must occur somewhere for a run to prove anything.

use stateright::Property;

use crate::{
    actions::is_full,
    numbering::Numbering,
    scopes::{Fault, Scope},
    state::{Creation, Deletion, Mark, Reader, Role, Sequence, State, Step, Worker},
};

pub(crate) const NUMBERED_ONCE: &str = "a number is given once";
pub(crate) const NO_GAP: &str = "numbers have no gap where nothing may be lost";
pub(crate) const NO_GAP_IN_EPOCH: &str = "numbers of one epoch have no gap";
pub(crate) const KEPT: &str = "what was answered is pending or in the database";
pub(crate) const READABLE: &str = "what was answered is found by whoever reads it";
pub(crate) const LOSS_NOTICED: &str = "nothing is numbered in the epoch of something lost";
pub(crate) const SETTLED_IS_STORED: &str = "only what the database answers for is settled";
pub(crate) const LIMITED: &str = "no more than the limit is pending";
pub(crate) const CHAT_FIRST: &str = "a message belongs to a chat that was created";
pub(crate) const DELETED_STAYS: &str = "nothing is created in what was deleted";
pub(crate) const ROW_STANDS: &str = "the first row of a number stands";

/// The properties of a scope: what must always hold, and what must occur somewhere.
pub(crate) fn all(scope: &Scope) -> Vec<Property<Numbering>> {
    let mut all = promises(scope);
    all.extend(sights(scope));
    all
}

fn promises(scope: &Scope) -> Vec<Property<Numbering>> {
    let mut all = vec![
        Property::always(NUMBERED_ONCE, |_, state| is_numbered_once(state)),
        Property::always(NO_GAP_IN_EPOCH, |_, state| {
            Sequence::ALL
                .iter()
                .all(|it| has_no_gap_in_epochs(state, *it))
        }),
        Property::always(LOSS_NOTICED, |_, state: &State| {
            !state.wrongs.loss_unnoticed
        }),
        Property::always(SETTLED_IS_STORED, |_, state: &State| {
            !state.wrongs.settled_unstored
        }),
        Property::always(LIMITED, is_limited),
        Property::always(CHAT_FIRST, |_, state| has_chat_first(state)),
        Property::always(ROW_STANDS, |_, state: &State| {
            let stored = state.database.stored;
            is_each_once(state, |at| stored.has(at))
        }),
    ];
    if scope.is_lossless() {
        all.push(Property::always(KEPT, |_, state| is_kept(state)));
        all.push(Property::always(NO_GAP, |_, state| {
            Sequence::ALL.iter().all(|it| has_no_gap(state, *it))
        }));
    }
    if scope.reads {
        all.push(Property::always(READABLE, |_, state: &State| {
            state.reader != Reader::Nowhere
        }));
    }
    if scope.deletions > 0 {
        all.push(Property::always(DELETED_STAYS, |_, state: &State| {
            !state.wrongs.created_in_deleted
        }));
    }
    all
}

/// What must occur somewhere, since a scope without it would prove little.
fn sights(scope: &Scope) -> Vec<Property<Numbering>> {
    let may = |fault| scope.faults_of.contains(&fault);
    let mut all = vec![
        Property::sometimes("a limit is reached", |model, state| {
            Sequence::ALL.iter().any(|it| is_full(model, state, 0, *it))
        }),
        Property::sometimes("what is stored is pending still", |_, state: &State| {
            let stored = state.database.stored;
            !stored
                .without(stored.without(state.servers[0].data.pending))
                .is_empty()
        }),
        Property::sometimes("all is created that may be", |_, state: &State| {
            state.left.creations == 0
        }),
    ];
    if scope.sequences.len() > 1 {
        all.push(Property::sometimes("both sequences number", |_, state| {
            let numbers = |it: &Sequence| drawn(state, *it).next().is_some();
            Sequence::ALL.iter().all(numbers)
        }));
    }
    if scope.workers > 1 {
        all.push(Property::sometimes(
            "an entry is delivered to two workers",
            |_, state: &State| {
                let [
                    Worker::Holds { at: one, .. },
                    Worker::Holds { at: other, .. },
                ] = state.workers
                else {
                    return false;
                };
                one == other
            },
        ));
    }
    if scope.forgets > 0 && !scope.has_replica() {
        all.push(Property::sometimes(
            "a seeder stalls while another one seeds",
            |_, state| is_overtaken(state),
        ));
    }
    if scope.deletions > 0 {
        all.push(Property::sometimes(
            "a deletion is answered",
            |_, state: &State| state.deletion == Deletion::Answered,
        ));
    }
    if !scope.is_lossless() {
        let takes_data_away = !scope.has_replica() || scope.faults > 1;
        if takes_data_away {
            all.push(Property::sometimes(
                "something answered is lost",
                |_, state| !is_kept(state),
            ));
        }
        all.push(Property::sometimes(
            "a later epoch numbers",
            |_, state: &State| state.created().any(|(_, creation)| creation.epoch > 1),
        ));
    } else if may(Fault::Restart) && scope.faults > 0 {
        all.push(Property::sometimes(
            "another run numbers",
            |_, state: &State| {
                let run = state.servers[0].identity.run;
                let is_open = state
                    .apis
                    .iter()
                    .any(|api| api.open.is_some_and(|it| it.0.run == run));
                run > 1 && is_open && state.left.creations == 0
            },
        ));
    }
    if scope.has_replica() {
        all.push(Property::sometimes(
            "two primaries number by turns",
            |_, state: &State| {
                let epochs: Vec<u8> = state.created().map(|(_, it)| it.epoch).collect();
                let is_back = |pair: &[u8]| pair[1] < pair[0];
                let are_two = state.servers.iter().all(|it| it.role == Role::Primary);
                are_two && epochs.windows(2).any(is_back)
            },
        ));
        all.push(Property::sometimes(
            "a worker finds a server behind",
            |_, state: &State| {
                let Mark::Epoch(own) = state.servers[0].data.mark else {
                    return false;
                };
                let is_behind =
                    |it: &Worker| matches!(it, Worker::Stored { epoch, .. } if own < *epoch);
                state.workers.iter().any(is_behind)
            },
        ));
    }
    all
}

fn is_each_once(state: &State, counts: impl Fn(usize) -> bool) -> bool {
    let counted = || state.created().filter(|(at, _)| counts(*at));
    counted().all(|(at, one)| {
        counted().all(|(other_at, other)| {
            at == other_at || one.sequence != other.sequence || one.number != other.number
        })
    })
}

fn is_numbered_once(state: &State) -> bool {
    is_each_once(state, |_| true)
}

/// The numbers that were drawn of a sequence, also where nothing else was done yet.
fn drawn(state: &State, sequence: Sequence) -> impl Iterator<Item = Creation> {
    let drawing = state.apis.iter().filter_map(|api| match api.step {
        Step::Drew(creation) => Some(creation),
        _ => None,
    });
    let all = state.created().map(|(_, creation)| creation).chain(drawing);
    all.filter(move |creation| creation.sequence == sequence)
}

fn has_no_gap(state: &State, sequence: Sequence) -> bool {
    let highest = drawn(state, sequence).map(|it| it.number).max();
    (1..=highest.unwrap_or(0)).all(|number| drawn(state, sequence).any(|it| it.number == number))
}

fn has_no_gap_in_epochs(state: &State, sequence: Sequence) -> bool {
    drawn(state, sequence).all(|one| {
        let own = || drawn(state, sequence).filter(|it| it.epoch == one.epoch);
        let is_lowest = own().all(|it| one.number <= it.number);
        is_lowest || own().any(|it| it.number + 1 == one.number)
    })
}

fn is_kept(state: &State) -> bool {
    let pending = state
        .servers
        .iter()
        .fold(state.database.answers_for(), |all, it| {
            all.with(it.data.pending)
        });
    state.all_created().without(pending).is_empty()
}

fn is_limited(model: &Numbering, state: &State) -> bool {
    (0..state.servers.len()).all(|server| {
        let most = model.scope.limit.into();
        let is_within = |it: &Sequence| state.pending(server, *it).iter().count() <= most;
        Sequence::ALL.iter().all(is_within)
    })
}

fn has_chat_first(state: &State) -> bool {
    let mut chats = state.created().map(|(_, creation)| creation);
    drawn(state, Sequence::Messages).next().is_none()
        || chats.any(|it| it.sequence == Sequence::Chats && it.number == 1)
}

/// Whether an API still means to seed a sequence that is known by now.
fn is_overtaken(state: &State) -> bool {
    state.apis.iter().any(|api| match api.step {
        Step::Proved {
            sequence, epoch, ..
        } => {
            let counter = state.servers[0].data.counters[sequence as usize];
            counter.known(epoch).is_some()
        }
        _ => false,
    })
}
