//! A law is trusted once it has caught an adapter that breaks it.
//!
//! Each test here plays a law on a deliberately weakened adapter, and expects it to fail.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

mod weakened;

use std::panic::AssertUnwindSafe;

use chat_core::{
    contract::{
        counter::{self, Forgetful},
        queue, repository, search,
    },
    memory::Memory,
    ports::Ports,
};

/// Plays a law on weakened ports, repeatedly, as some weaknesses show only by chance.
fn catches<L: Future<Output = ()>>(weaken: fn(Ports) -> Ports, law: fn(Ports) -> L) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    // The law must pass on sound ports, or its failure below would prove nothing.
    runtime.block_on(law(Memory::new().ports()));
    let caught = (0..20).any(|_| {
        let ports = weaken(Memory::new().ports());
        std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(law(ports)))).is_err()
    });
    assert!(caught, "the law let the weakened adapter pass");
}

macro_rules! catch {
    ($($name:ident: $port:ident::$law:ident on $($weakened:ident)::+;)+) => {
        $(
            #[test]
            fn $name() {
                catches(weakened::$($weakened)::+, $port::$law);
            }
        )+
    };
}

catch! {
    a_counter_that_starts_by_itself: counter::never_starts_by_itself on starts_by_itself;
    a_counter_that_reads_then_writes: counter::never_repeats on reads_then_writes;
    a_counter_that_lacks_the_application:
        counter::sequences_are_independent on lacks_the_application;
    a_counter_that_takes_any_lease: counter::seed_needs_its_lease on seeds_with_any_lease;
    a_counter_that_seeds_over_and_over: counter::seed_never_lowers on seeds_over_and_over;
    a_counter_that_revives: counter::deleted_stays_deleted on revives;
    a_counter_that_looks_keys_up_first: counter::same_key_same_answer on looks_keys_up_first;
    a_counter_that_ignores_digests:
        counter::key_of_another_request_is_refused on ignores_digests;
    a_counter_that_shares_keys: counter::keys_belong_to_an_application on shares_keys;
    a_counter_that_uses_keys_up: counter::refused_create_keeps_its_key_free on uses_keys_up;
    a_counter_that_forgets_keys: counter::key_outlives_its_chat on forgets_keys;
    a_counter_that_reads_keys_of_the_dead:
        counter::deleted_application_answers_no_key on looks_keys_up_first;
    a_counter_that_settles_by_number: counter::settling_spares_another_uid on settles_by_number;
    a_counter_that_settles_in_any_epoch:
        counter::older_epoch_does_not_settle on settles_in_any_epoch;
    a_counter_that_issues_everything:
        counter::pending_page_tells_what_was_issued on issues_everything;
    a_counter_that_keeps_leases:
        counter::lease_given_back_is_handed_out_at_once on pending::keeps_leases;
    a_counter_that_forgets_what_is_delivered:
        counter::acknowledged_stays_pending on pending::forgets_what_is_delivered;
    a_counter_that_reads_whole_pages:
        counter::pending_page_is_bounded_in_bytes on pending::reads_whole_pages;
    a_counter_that_hides_the_rest: counter::pending_page_is_bounded_in_bytes on pending::hides_the_rest;
    a_counter_that_draws_and_enqueues_apart:
        counter::cut_off_create_leaves_no_gap on draws_then_enqueues;

    a_queue_that_hands_out_twice: queue::one_consumer_at_a_time on hands_out_twice;
    a_queue_that_loses_what_was_taken: queue::unacknowledged_comes_again on acknowledges_at_once;
    a_queue_that_buries_the_dead_with_their_work:
        queue::leaving_hands_over on acknowledges_at_once;

    a_repository_that_counts_deliveries:
        repository::storing_again_changes_nothing on counts_deliveries;
    a_repository_that_counts_races:
        repository::concurrent_batches_agree on stores_redeliveries_again;
    a_repository_that_swallows_repeats:
        repository::another_uid_is_a_repeat on swallows_repeats;
    a_repository_that_looks_then_deletes:
        repository::one_of_many_deletions_wins on looks_then_deletes;
    a_repository_that_lets_late_creates_overwrite:
        repository::late_create_stands_back on late_creates_overwrite;
    a_repository_that_takes_twins_for_repeats:
        repository::twins_of_a_batch_are_stored_once on storing::takes_twins_for_repeats;
    a_repository_that_counts_twins: repository::twins_of_a_batch_are_stored_once on counts_deliveries;
    a_repository_that_takes_absent_for_deleted:
        repository::absent_application_is_told on storing::takes_absent_for_deleted;
    a_repository_that_remembers_epochs:
        repository::report_tells_the_epochs on storing::remembers_epochs;
    a_repository_that_turns_back: repository::positions_never_go_back on storing::turns_back;
    a_repository_that_leaps_above_the_end:
        repository::numbers_hold_to_their_end on storing::leaps_above_the_end;
    a_repository_that_never_leaps: repository::basis_leaps_in_a_new_epoch on never_leaps;
    a_repository_that_admits_the_overtaken:
        repository::overtaken_sighting_is_not_admitted on storing::admits_the_overtaken;
    a_repository_that_proves_from_the_past:
        repository::basis_is_the_highest_number on proves_from_the_past;
    an_outbox_that_everybody_may_claim:
        repository::outbox_rows_are_claimed_once on claims_for_all;
    an_outbox_that_takes_nothing_back: repository::released_rows_are_free on keeps_what_is_released;
    a_repository_that_wants_chats_first:
        repository::chat_on_its_way_hides_nothing_from_the_index on wants_chats_first;
    a_repository_that_removes_what_failed_again:
        repository::letter_that_failed_again_stays on storing::removes_unseen;
    a_repository_that_notes_outside_the_transaction:
        repository::cut_off_store_leaves_all_or_nothing on storing::notes_afterwards;
    a_job_that_two_hold: repository::one_holder_has_the_job on claims_for_all;
}

/// A system with a counter in memory that forgets.
fn forgetful(weaken: fn(Ports) -> Ports) -> Forgetful {
    let memory = Memory::new();
    let ports = weaken(memory.ports());
    let forget = move |sequence| {
        memory.counter.forget(&sequence);
        Box::pin(std::future::ready(())) as _
    };
    let forget = Box::new(forget);
    Forgetful { ports, forget }
}

#[test]
fn a_counter_that_skips_when_seeded() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let law = |weaken| runtime.block_on(counter::forgotten_sequence_goes_on(forgetful(weaken)));
    law(|ports| ports);
    for weaken in [
        weakened::pending::skips_when_seeded,
        weakened::proves_from_the_past,
    ] {
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| law(weaken))).is_err());
    }
}

#[test]
fn a_counter_whose_leases_tell_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let law = |weaken| runtime.block_on(counter::lease_tells_what_is_pending(forgetful(weaken)));
    law(|ports| ports);
    let weak = || law(weakened::leases_tell_nothing);
    assert!(std::panic::catch_unwind(AssertUnwindSafe(weak)).is_err());
}

macro_rules! catch_search {
    ($($name:ident: $law:ident on $weakened:ident;)+) => {
        $(
            #[test]
            fn $name() {
                catches(weakened::searches::$weakened, |ports| search::$law(ports.search));
            }
        )+
    };
}

catch_search! {
    an_index_that_searches_everywhere: nothing_outside_the_chat on searches_everywhere;
    an_index_that_finds_whole_words: words_are_found_by_their_parts on finds_whole_words;
    an_index_that_knows_latin_alone: every_script_is_searched on finds_whole_words;
    an_index_that_forgives_nothing: typos_are_forgiven on forgives_nothing;
    an_index_that_turns_the_order_round: better_matches_come_first on turns_the_order_round;
    an_index_that_repeats_the_last_hit: pages_are_stable on repeats_the_last_hit;
    an_index_in_which_the_last_wins: older_version_stands_back on takes_the_last;
    an_index_that_revives: deleted_is_gone on takes_the_last;
    an_index_that_leaves_orphans: deleted_parent_takes_all on leaves_orphans;
    an_index_that_guesses: missing_generation_is_an_error on guesses_generations;
}
