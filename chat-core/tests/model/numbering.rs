//! The model: which states there are, and what each action makes of one.

use stateright::{Model, Property};

use crate::{
    actions::{self, Action, replica},
    api::{delete, lease_of},
    properties,
    scopes::Scope,
    state::{Api, Counter, Data, Identity, Record, Role, State, Step, Worker},
    variants::{Weakness, Weaknesses},
    worker::{read_row, read_row_again, refuse, set_aside},
};

/// The protocol within a scope.
pub(crate) struct Numbering {
    pub(crate) scope: Scope,
    pub(crate) weaknesses: Weaknesses,
}

impl Numbering {
    /// Whether a part of the protocol is left out.
    pub(crate) fn lacks(&self, weakness: Weakness) -> bool {
        self.weaknesses.has(weakness)
    }

    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Create {
                api,
                server,
                sequence,
            } => self.create(state, (api, server), sequence)?,
            Action::Enqueue { api, server } => {
                let Step::Drew(creation) = state.apis[api].step else {
                    return None;
                };
                self.remember(state, server, creation);
                state.apis[api].step = Step::Idle;
            }
            Action::ReadRecord { api } => {
                let read = state.database.record.as_ref().map(Record::read);
                state.apis[api].step = Step::Reading(read);
            }
            Action::Sight { api, server } => self.sight(state, api, server),
            Action::Admit { api } => self.admit(state, api)?,
            Action::Open { api, server } => self.open(state, api, server)?,
            Action::Look { api, server } => self.look(state, api, server)?,
            Action::Prove { api } => self.prove(state, api)?,
            Action::Seed { api, server } => self.seed(state, api, server)?,
            Action::GiveBack { api, server } => give_back(state, api, server)?,
            Action::GiveUp { api } => state.apis[api].step = Step::Idle,
            Action::Delete { api, server } => delete(state, api, server),
            Action::MarkDeleted { api, server } => self.mark_deleted(state, api, server)?,
            Action::Take { worker, server, at } => self.take(state, worker, (server, at)),
            Action::Store { worker } => self.store(state, worker)?,
            Action::Settle { worker, server } => self.settle(state, worker, server)?,
            Action::SetAside { worker, server } => set_aside(state, worker, server)?,
            Action::Refuse { worker } => refuse(state, worker)?,
            Action::DropLetter { worker, at } => self.drop_letter(state, worker, at),
            Action::Crash { worker } => state.workers[worker] = Worker::Idle,
            Action::ReadRow { at } => read_row(state, at)?,
            Action::ReadPending { server } => self.read_pending(state, server)?,
            Action::ReadRowAgain => read_row_again(state)?,
            _ => fail(state, action)?,
        }
        Some(())
    }
}

impl Numbering {
    /// Sorts interchangeable processes, so that states that differ in their order alone are visited once.
    fn order(&self, state: &mut State) {
        state.workers[..self.scope.workers].sort_unstable();
        if !self.scope.is_pinned && state.apis[1] < state.apis[0] {
            state.apis.swap(0, 1);
            let held = state.servers.iter_mut().map(|server| &mut server.data);
            for data in held.chain(&mut state.disk) {
                for lease in &mut data.leases {
                    *lease = [0, 2, 1][usize::from(*lease)];
                }
            }
        }
    }
}

impl Model for Numbering {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let is_noted = self.scope.is_noted && !self.lacks(Weakness::ReplicasNotNoted);
        vec![self.scope.start(is_noted)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions::list(self, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        self.order(&mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(&self.scope)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.database.epoch() <= self.scope.most_epochs
    }
}

fn give_back(state: &mut State, api: usize, server: usize) -> Option<()> {
    let Step::Vain(sequence) = state.apis[api].step else {
        return None;
    };
    let lease = &mut state.servers[server].data.leases[sequence as usize];
    if *lease == lease_of(api) {
        *lease = 0;
    }
    state.apis[api].step = Step::Idle;
    Some(())
}

/// Applies a fault, which no process of the system takes part in.
fn fail(state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Expire { server, sequence } | Action::LoseKey { server, sequence } => {
            state.left.forgets -= 1;
            state.servers[server].data.counters[sequence as usize] = Counter::Unknown;
            return Some(());
        }
        Action::LosePending { server, at } => {
            state.left.forgets -= 1;
            state.servers[server].data.pending.remove(at);
            return Some(());
        }
        Action::Sync => {
            state.disk = Some(state.servers[0].data);
            return Some(());
        }
        Action::Replicate => {
            let server = replica(state)?;
            state.servers[server].data = state.servers[1 - server].data;
            return Some(());
        }
        _ => state.left.faults -= 1,
    }
    match action {
        Action::Die { api } => {
            state.apis[api] = Api {
                open: None,
                step: Step::Idle,
            };
        }
        Action::Restart { server } => start_again(state, server),
        Action::PowerCut => {
            state.servers[0].data = state.disk.take()?;
            start_again(state, 0);
        }
        Action::Flush { server } => {
            state.servers[server].data = Data::NOTHING;
            state.disk = None;
        }
        Action::Promote { server } => {
            state.servers[server].role = Role::Primary;
            state.servers[server].promoted = true;
        }
        Action::Demote { server } => {
            let data = state.servers[1 - server].data;
            let own = &mut state.servers[server];
            own.role = Role::Replica;
            own.identity.copied += 1;
            own.data = data;
        }
        _ => return None,
    }
    Some(())
}

fn start_again(state: &mut State, server: usize) {
    state.runs += 1;
    let own = &mut state.servers[server];
    own.identity = Identity {
        run: state.runs,
        copied: 0,
    };
    own.promoted = false;
}
