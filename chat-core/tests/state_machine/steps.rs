//! What can happen in a case.

use proptest::prelude::*;

/// Which faults a case may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Crashes, expiry, stray deletion of a counter, restarts that keep everything, redelivery.
    Lossless,
    /// Also roll-backs and flushes: what was answered may be lost, but no number is given twice.
    Lossy,
}

/// One step; indices are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Somebody begins to do something.
    Begin(Deed),
    /// Somebody goes on until they have to wait.
    Go(usize),
    /// Somebody goes on until they are done.
    Finish(usize),
    /// Somebody is gone, whatever they were at.
    Crash(usize),
    /// A sequence expires, if nothing pending needs it.
    Expire(usize),
    /// A sequence's counter is deleted, whatever needs it.
    Forget(usize),
    /// The counter's server restarts, and comes back with everything.
    Restart,
    /// All that consumers hold is handed out again.
    Redeliver,
    /// Time passes.
    Wait(u16),
    /// The counter's server writes a copy of itself.
    Snapshot,
    /// The counter's server comes back as its last copy.
    RollBack,
    /// The counter's server loses everything.
    Flush,
}

/// What somebody does; `api` says through which of two processes.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    CreateChat {
        api: usize,
        key: Option<u8>,
    },
    Send {
        api: usize,
        chat: usize,
        key: Option<u8>,
    },
    ReadChat {
        api: usize,
        chat: usize,
    },
    Read {
        api: usize,
        message: usize,
    },
    List {
        api: usize,
        chat: usize,
        limit: u16,
        descending: bool,
    },
    Update {
        api: usize,
        message: usize,
    },
    Delete {
        api: usize,
        message: usize,
    },
    DeleteChat {
        api: usize,
        chat: usize,
    },
    Store {
        worker: usize,
    },
    Audit,
}

fn deed() -> impl Strategy<Value = Deed> {
    let api = 0..2_usize;
    let any = 0..64_usize;
    let key = prop_oneof![4 => Just(None), 1 => (0..4_u8).prop_map(Some)];
    prop_oneof![
        2 => (api.clone(), key.clone()).prop_map(|(api, key)| Deed::CreateChat { api, key }),
        8 => (api.clone(), any.clone(), key)
            .prop_map(|(api, chat, key)| Deed::Send { api, chat, key }),
        1 => (api.clone(), any.clone()).prop_map(|(api, chat)| Deed::ReadChat { api, chat }),
        2 => (api.clone(), any.clone()).prop_map(|(api, message)| Deed::Read { api, message }),
        3 => (api.clone(), any.clone(), 1..4_u16, proptest::bool::ANY).prop_map(
            |(api, chat, limit, descending)| Deed::List { api, chat, limit, descending }
        ),
        2 => (api.clone(), any.clone()).prop_map(|(api, message)| Deed::Update { api, message }),
        2 => (api.clone(), any.clone()).prop_map(|(api, message)| Deed::Delete { api, message }),
        1 => (api, any).prop_map(|(api, chat)| Deed::DeleteChat { api, chat }),
        5 => (0..2_usize).prop_map(|worker| Deed::Store { worker }),
        1 => Just(Deed::Audit),
    ]
}

fn step(faults: Faults) -> BoxedStrategy<Step> {
    let any = 0..64_usize;
    let lossless = prop_oneof![
        20 => deed().prop_map(Step::Begin),
        40 => any.clone().prop_map(Step::Go),
        14 => any.clone().prop_map(Step::Finish),
        4 => any.clone().prop_map(Step::Crash),
        4 => any.clone().prop_map(Step::Expire),
        2 => any.prop_map(Step::Forget),
        1 => Just(Step::Restart),
        2 => Just(Step::Redeliver),
        2 => (0..5_000_u16).prop_map(Step::Wait),
    ];
    match faults {
        Faults::Lossless => lossless.boxed(),
        Faults::Lossy => prop_oneof![
            85 => lossless,
            3 => Just(Step::Snapshot),
            3 => Just(Step::RollBack),
            1 => Just(Step::Flush),
        ]
        .boxed(),
    }
}

/// The cases to run.
pub(crate) fn steps(faults: Faults) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(faults), 20..160)
}
