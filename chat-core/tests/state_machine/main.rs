//! The promises of numbering and keeping, checked on the ports in memory over random schedules.
//!
//! A case is a list of steps: callers and workers begin, take one step to the next point where they
//! wait, or crash there, while counters expire, restart and lose what they had.
//! After each step the ledger compares what the ports hold with what was answered.
//! A failing case is shrunk and printed with its seed; `CHAT_SEED=<seed>` runs that seed again, and
//! `CHAT_STATE_MACHINE_SECONDS` says how long to go on with new ones.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

mod actors;
mod ledger;
mod steps;
mod world;

#[path = "../weakened/mod.rs"]
mod weakened;

use std::time::{Duration, Instant};

use chat_core::{
    memory::{CounterLimits, Memory},
    ports::Ports,
};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use steps::{Faults, Step, steps};
use world::World;

/// How many cases one seed makes.
const CASES: u32 = 200;

/// How to change the ports before a case.
type Weaken = fn(Ports) -> Ports;

/// What is run.
#[derive(Clone, Copy)]
struct Setup {
    faults: Faults,
    /// Whether counter and queue are of one technology.
    together: bool,
    weaken: Weaken,
}

fn memory(setup: Setup) -> Memory {
    let limits = CounterLimits {
        pending: 12,
        ..CounterLimits::default()
    };
    if setup.together {
        Memory::paced(limits)
    } else {
        Memory::paced_apart(limits)
    }
}

fn run_case(setup: Setup, steps: &[Step]) -> Result<(), String> {
    let memory = memory(setup);
    let ports = (setup.weaken)(memory.ports());
    World::new(memory, ports, setup.faults).run(steps)
}

/// Runs the cases of one seed; the error tells the shortest failing case.
fn run_seed(setup: Setup, seed: u64) -> Result<(), String> {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_time: 20_000,
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let cases = steps(setup.faults);
    let outcome = runner.run(&cases, |steps| {
        run_case(setup, &steps).map_err(TestCaseError::fail)
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, steps) => format!("{reason}\nseed {seed}, steps {steps:#?}"),
        TestError::Abort(reason) => format!("seed {seed} was given up: {reason}"),
    })
}

/// Runs seed after seed for as long as asked, or the one seed that is asked for.
fn run(setup: Setup) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    if let Some(seed) = number("CHAT_SEED") {
        run_seed(setup, seed).unwrap_or_else(|failure| panic!("{failure}"));
        return;
    }
    let time = Duration::from_secs(number("CHAT_STATE_MACHINE_SECONDS").unwrap_or(10));
    let began = Instant::now();
    let mut seed = u64::from(std::process::id()) << 20;
    let mut cases = 0;
    while cases == 0 || began.elapsed() < time {
        run_seed(setup, seed).unwrap_or_else(|failure| panic!("{failure}"));
        seed += 1;
        cases += CASES;
    }
    eprintln!("{cases} cases held in {:.0?}", began.elapsed());
}

/// Looks for a case that a weakened set of ports fails.
fn catches(setup: Setup, expected: &str) {
    for seed in 0..100 {
        if let Err(failure) = run_seed(setup, seed) {
            assert!(
                failure.contains(expected),
                "caught, but not for `{expected}`: {failure}"
            );
            return;
        }
    }
    panic!("no case showed the weakness in 100 seeds of {CASES} cases");
}

const STRICT: Setup = Setup {
    faults: Faults::Lossless,
    together: true,
    weaken: |ports| ports,
};
const APART: Setup = Setup {
    together: false,
    ..STRICT
};
const LOSSY: Setup = Setup {
    faults: Faults::Lossy,
    ..STRICT
};

#[test]
fn nothing_is_lost_or_repeated_or_skipped() {
    run(STRICT);
}

#[test]
fn nothing_is_lost_or_repeated_or_skipped_with_a_queue_apart() {
    run(APART);
}

#[test]
fn no_number_is_repeated_although_the_counter_loses_data() {
    run(LOSSY);
}

mod catches {
    //! A deliberately weakened adapter is caught, each by the promise that it breaks.

    use super::{APART, LOSSY, STRICT, Setup, catches, run_case};
    use crate::{
        steps::{Deed, Step},
        weakened,
    };

    #[test]
    fn a_read_then_written_counter() {
        catches(
            Setup {
                weaken: weakened::reads_then_writes,
                ..STRICT
            },
            "was given twice",
        );
    }

    /// Chance hardly finds this schedule: a seeder stalls with what it read, another one seeds, a
    /// number is given, stored and settled, the counter expires, and only then the first one goes on.
    #[test]
    fn a_seed_that_ignores_its_lease() {
        const CHATS_AND_MESSAGES: usize = 1;
        let send = || {
            Step::Begin(Deed::Send {
                api: 0,
                chat: 0,
                key: None,
            })
        };
        let store = || Step::Begin(Deed::Store { worker: 0 });
        let mut steps = vec![
            Step::Begin(Deed::CreateChat { api: 0, key: None }),
            Step::Finish(0),
            store(),
            Step::Finish(0),
            Step::Expire(CHATS_AND_MESSAGES),
            send(),
        ];
        // Create, pending owner and basis are two steps each; then it is about to seed.
        steps.extend((0..6).map(|_| Step::Go(0)));
        steps.extend([
            Step::Wait(2_000),
            send(),
            Step::Finish(1),
            store(),
            Step::Finish(1),
        ]);
        steps.extend([Step::Expire(CHATS_AND_MESSAGES), send()]);
        steps.extend((0..3).map(|_| Step::Go(1)));
        steps.push(Step::Finish(0));

        run_case(STRICT, &steps).unwrap();
        let weak = Setup {
            weaken: weakened::seeds_with_any_lease,
            ..STRICT
        };
        let failure = run_case(weak, &steps).unwrap_err();
        assert!(failure.contains("was given twice"), "{failure}");
    }

    #[test]
    fn a_basis_that_is_read_before_pending() {
        catches(
            Setup {
                weaken: weakened::proves_from_the_past,
                ..STRICT
            },
            "was given twice",
        );
    }

    #[test]
    fn a_new_epoch_without_a_leap() {
        catches(
            Setup {
                weaken: weakened::never_leaps,
                ..LOSSY
            },
            "was given twice",
        );
    }

    #[test]
    fn a_counter_that_settles_before_the_commit() {
        catches(
            Setup {
                weaken: weakened::settles_when_received,
                ..APART
            },
            "is nowhere",
        );
    }

    #[test]
    fn a_repository_that_stores_redeliveries_again() {
        catches(
            Setup {
                weaken: weakened::stores_redeliveries_again,
                ..STRICT
            },
            "has a gap",
        );
    }

    #[test]
    fn a_late_create_that_overwrites() {
        catches(
            Setup {
                weaken: weakened::late_creates_overwrite,
                ..STRICT
            },
            "came back",
        );
    }

    #[test]
    fn a_page_that_shows_what_was_not_issued() {
        catches(
            Setup {
                weaken: weakened::issues_everything,
                ..STRICT
            },
            "was skipped",
        );
    }
}
