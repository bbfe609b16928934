//! The numbering protocol under an explicit-state model checker, which visits every reachable state.
//!
//! The model is one shard with two sequences, the chats of an application and the messages of its chat 1;
//! two processes of the API, workers, the database, and one or two servers that count.
//! Each step of each process is an action by itself, and so is each fault; the checker tries every
//! interleaving within the bounds of a [scope](scopes::Scope), and shows the shortest path to a
//! state that breaks a [promise](properties). Which epoch a server may number in is decided by the
//! project's own [`ShardRecord::admit`](chat_core::model::ShardRecord::admit).
//! A [weakened](variants::Weakness) protocol must be caught, each by the promise that it breaks; and the
//! sights, without which a run would prove little, must occur: two primaries that number by turns, say.
//!
//! Left out is what has no bearing on numbering: texts, idempotency keys, bytes that wait, and shards
//! beside this one. A batch is one creation, since batches of one do all that larger ones do, in more
//! orders. Sequences hold one or two pending creations instead of 65,536, and an epoch leaps that far.
//! A server is asked who it is in the step that numbers, where the adapter relies on an answer for a
//! second; [`Weakness::CopiesNotAsked`] shows what happens to a caller slower than two changes of roles.
//!
//! The ordinary run visits all states of small scopes. `CHAT_MODEL_DEPTH=<steps>` visits larger
//! ones, with one more of everything that may happen, and goes so many steps deep.
//! `--nocapture` shows how many states there were.

mod actions;
mod api;
mod numbering;
mod properties;
mod scopes;
mod state;
mod variants;
mod worker;

use std::{collections::BTreeMap, time::Instant};

use actions::Action;
use numbering::Numbering;
use properties::{
    DELETED_STAYS, KEPT, LIMITED, LOSS_NOTICED, NO_GAP, NUMBERED_ONCE, READABLE, ROW_STANDS,
    SETTLED_IS_STORED,
};
use scopes::{
    BEGINNING, CREATING, DELETING, FAILING_OVER, FLAPPING, FORGETTING, FORGETTING_ONE_OVER,
    FORGETTING_OVER, FRESH, KEEPING, LOSING, LOSING_MORE, PARTED, READING, Scope, TAKING_OVER,
    UNNOTED,
};
use stateright::{Checker as _, Expectation, HasDiscoveries, Model as _};
use variants::{Weakness, Weaknesses};

/// The fewest states that a run must visit to prove anything.
const FEWEST_STATES: usize = 20_000;

/// What a run found: each broken promise and each sight, with the shortest path to it.
struct Findings {
    ways: BTreeMap<&'static str, Vec<Action>>,
    states: usize,
}

/// Visits all states, or those within so many steps, until every property in `ends` was found broken.
fn explore(model: Numbering, ends: &[&'static str], depth: Option<usize>) -> Findings {
    let began = Instant::now();
    let ends = HasDiscoveries::AllOf(ends.iter().copied().collect());
    let mut builder = model.checker().threads(1).finish_when(ends);
    if let Some(depth) = depth {
        builder = builder.target_max_depth(depth);
    }
    let checker = builder.spawn_bfs().join();
    let states = checker.unique_state_count();
    eprintln!(
        "{}: {states} states, {} steps between them, up to {} deep, in {:.1?}",
        std::thread::current().name().unwrap_or_default(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    let discoveries = checker.discoveries().into_iter();
    let ways = discoveries.map(|(name, path)| (name, path.into_actions()));
    Findings {
        ways: ways.collect(),
        states,
    }
}

/// How deep the long run goes; `None` for the ordinary one.
fn depth() -> Option<usize> {
    let depth = std::env::var("CHAT_MODEL_DEPTH").ok()?;
    Some(
        depth
            .parse()
            .expect("CHAT_MODEL_DEPTH is a number of steps"),
    )
}

/// Checks that no state of a scope breaks a promise, and that each sight occurs in one.
fn holds(scope: Scope) {
    let depth = depth();
    let model = Numbering {
        scope: depth.map_or(scope, |_| scope.enlarged()),
        weaknesses: Weaknesses::default(),
    };
    let properties = model.properties();
    // No property has this name, so that the run does not end before it has visited all states.
    let findings = explore(model, &["the end"], depth);
    for property in properties {
        let is_promise = property.expectation == Expectation::Always;
        match findings.ways.get(property.name) {
            Some(way) if is_promise => panic!("it does not hold that {}: {way:#?}", property.name),
            None if !is_promise && depth.is_none() => panic!("nowhere {}", property.name),
            _ => {}
        }
    }
    let states = findings.states;
    assert!(
        states >= FEWEST_STATES || depth.is_some(),
        "only {states} states"
    );
}

/// Looks for a state in which a weakened protocol breaks a promise.
fn catches(scope: Scope, weaknesses: &[Weakness], promise: &'static str) {
    let model = Numbering {
        scope,
        weaknesses: Weaknesses::new(weaknesses),
    };
    let findings = explore(model, &[promise], None);
    let way = findings.ways.get(promise);
    let way = way.unwrap_or_else(|| panic!("nothing shows that it does not hold that {promise}"));
    eprintln!("it does not hold that {promise}: {way:?}");
}

macro_rules! hold {
    ($($name:ident: $scope:expr;)+) => {
        $(
            #[test]
            fn $name() {
                holds($scope);
            }
        )+
    };
}

hold! {
    no_restart_leaves_a_gap: KEEPING;
    nothing_is_lost_repeated_or_skipped: CREATING;
    nothing_is_lost_repeated_or_skipped_from_the_start: FRESH;
    what_was_answered_is_read_at_once: READING;
    nothing_is_created_in_what_was_deleted: DELETING;
    no_number_is_repeated_after_losses: LOSING;
    no_number_is_repeated_after_losses_of_keys_as_well: LOSING_MORE;
    no_number_is_repeated_by_two_primaries: FAILING_OVER;
    no_number_is_repeated_by_two_primaries_that_lose_keys: FORGETTING_ONE_OVER;
    no_number_is_repeated_by_two_primaries_for_callers_of_one_each: PARTED;
    no_number_is_repeated_by_servers_that_change_places: FLAPPING;
    no_number_is_repeated_by_a_replica_that_took_over_and_started_again: TAKING_OVER;
}

macro_rules! catch {
    ($($name:ident: $promise:ident on $scope:expr, $($weakness:ident)+;)+) => {
        $(
            #[test]
            fn $name() {
                catches($scope, &[$(Weakness::$weakness),+], $promise);
            }
        )+
    };
}

catch! {
    counting_and_enqueueing_apart: NO_GAP on CREATING, CountsAndEnqueuesApart;
    counting_and_enqueueing_apart_where_keys_are_lost:
        NUMBERED_ONCE on CREATING, CountsAndEnqueuesApart;
    a_sequence_that_starts_by_itself: NUMBERED_ONCE on CREATING, StartsByItself;
    a_seeder_that_reads_the_database_first: NUMBERED_ONCE on CREATING, SeedsFromDatabaseFirst;
    a_seeder_without_a_lease: NUMBERED_ONCE on FORGETTING, SeedsWithoutLease;
    a_new_chat_that_leaves_leases: NUMBERED_ONCE on BEGINNING, NewChatsLeaveLeases;
    a_deletion_that_leaves_leases: DELETED_STAYS on DELETING, DeletionsLeaveLeases;
    a_deletion_that_takes_the_key_away:
        DELETED_STAYS on DELETING, DeletesTheKey DeletionsLeaveLeases;
    storing_that_forgets_last_numbers: NUMBERED_ONCE on CREATING, ForgetsLastNumbers;
    settling_before_the_commit: KEPT on CREATING, SettlesBeforeCommit;
    pending_that_expires: KEPT on CREATING, PendingExpires;
    a_reader_that_asks_the_database_once: READABLE on READING, ReadsDatabaseOnce;
    a_sighting_that_a_restart_has_overtaken: NO_GAP on KEEPING, AdmitsTheOvertaken;
    a_mark_that_is_forgotten_once_replaced: NO_GAP on FRESH, ForgetsReplacedMarks;

    a_run_that_was_not_admitted: NUMBERED_ONCE on LOSING, AdmissionNotAsked;
    a_run_that_was_not_admitted_hides_the_loss: LOSS_NOTICED on LOSING, AdmissionNotAsked;
    an_epoch_that_stays: NUMBERED_ONCE on LOSING, EpochStays;
    an_epoch_that_stays_hides_the_loss: LOSS_NOTICED on LOSING, EpochStays;
    losses_that_look_alike: NUMBERED_ONCE on LOSING, LeavesNoNonce;
    an_epoch_without_a_leap: NUMBERED_ONCE on LOSING, NeverLeaps;
    a_leap_that_is_not_stored: NUMBERED_ONCE on LOSING, LeapNotStored;

    a_proof_for_any_epoch: NUMBERED_ONCE on FORGETTING_OVER, ProvesInAnyEpoch;
    a_lease_that_tells_nothing: NUMBERED_ONCE on FORGETTING_ONE_OVER, LeasesTellNothing;
    settling_in_any_epoch: NUMBERED_ONCE on FAILING_OVER, SettlesInAnyEpoch;
    an_epoch_from_before_the_transaction: NUMBERED_ONCE on FAILING_OVER, RemembersEpochs;
    a_dropped_letter_that_asks_for_no_epoch: NUMBERED_ONCE on PARTED, DropsInAnyEpoch;
    a_limit_that_is_ignored: LIMITED on LOSING, LimitIgnored;
    a_limit_that_two_primaries_ignore: NUMBERED_ONCE on FAILING_OVER, LimitIgnored;
    data_that_were_copied_meanwhile: NUMBERED_ONCE on FLAPPING, CopiesNotAsked;
    a_replica_that_nobody_notes: NUMBERED_ONCE on TAKING_OVER, ReplicasNotNoted;
    a_repeat_that_is_taken_for_stored:
        SETTLED_IS_STORED on FLAPPING, CopiesNotAsked ReadsRowsAffected;
}

/// Where a number is repeated after all, the database decides: the first row stands, and the second
/// creation is set aside and reported.
#[test]
fn a_repeat_is_not_swallowed() {
    let model = Numbering {
        scope: FLAPPING,
        weaknesses: Weaknesses::new(&[Weakness::CopiesNotAsked]),
    };
    let findings = explore(model, &["the end"], None);
    assert!(findings.ways.contains_key(NUMBERED_ONCE));
    assert!(!findings.ways.contains_key(ROW_STANDS));
    assert!(!findings.ways.contains_key(SETTLED_IS_STORED));
}

mod limits {
    //! What the protocol does not promise, and what it would take.

    use super::*;

    /// A replica that joined while nothing was created has no note of it in its data. Started again as a
    /// primary behind the same address it looks like the server that came back with everything.
    #[test]
    fn a_replica_that_came_in_silence_is_taken_for_its_primary_behind_one_address() {
        catches(UNNOTED, &[], NUMBERED_ONCE);
    }

    #[test]
    fn a_replica_that_came_in_silence_is_known_by_its_own_address() {
        let scope = Scope {
            has_addresses: true,
            ..UNNOTED
        };
        holds(scope);
    }
}
