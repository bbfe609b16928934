//! The laws of [`Repository`](crate::ports::Repository).

mod letters;
mod notes;
mod numbers;
mod rows;
mod things;
mod together;

pub use letters::{
    dead_letter_is_kept_once, letter_that_failed_again_stays, letters_are_paged,
    removed_letter_is_gone,
};
pub use notes::{
    audit_repairs_nothing_that_is_right, changes_leave_outbox_rows,
    chat_on_its_way_hides_nothing_from_the_index, noted_changes_come_out, one_holder_has_the_job,
    outbox_rows_are_claimed_once, purging_frees_no_number, released_rows_are_free,
    scan_finds_every_live_message,
};
pub use numbers::{
    admission_is_remembered, basis_is_the_highest_number, basis_leaps_in_a_new_epoch,
    numbers_hold_to_their_end, overtaken_sighting_is_not_admitted, positions_never_go_back,
    report_tells_the_epochs, shard_count_is_fixed_once, stale_epoch_gets_no_basis,
};
pub use rows::{
    another_uid_is_a_repeat, concurrent_batches_agree, counts_follow_rows, late_create_stands_back,
    message_may_come_before_its_chat, nothing_lives_under_deleted, old_creates_are_not_inserted,
    one_of_many_deletions_wins, storing_again_changes_nothing, versions_rise,
};
pub use things::{
    applications_are_listed_by_id, deleted_application_keeps_its_id, range_and_limit_hold,
    slice_judges_the_asked_numbers, stored_is_found, taken_token_is_answered,
};

pub use together::{
    absent_application_is_told, cut_off_store_leaves_all_or_nothing,
    twins_of_a_batch_are_stored_once,
};

/// Mounts the laws of the repository as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __repository_contract {
    ($maker:expr) => {
        $crate::__laws!(
            repository,
            $maker,
            [
                taken_token_is_answered,
                applications_are_listed_by_id,
                deleted_application_keeps_its_id,
                stored_is_found,
                range_and_limit_hold,
                slice_judges_the_asked_numbers,
                storing_again_changes_nothing,
                another_uid_is_a_repeat,
                message_may_come_before_its_chat,
                counts_follow_rows,
                late_create_stands_back,
                one_of_many_deletions_wins,
                nothing_lives_under_deleted,
                old_creates_are_not_inserted,
                versions_rise,
                concurrent_batches_agree,
                twins_of_a_batch_are_stored_once,
                absent_application_is_told,
                cut_off_store_leaves_all_or_nothing,
                numbers_hold_to_their_end,
                basis_is_the_highest_number,
                basis_leaps_in_a_new_epoch,
                stale_epoch_gets_no_basis,
                admission_is_remembered,
                overtaken_sighting_is_not_admitted,
                shard_count_is_fixed_once,
                report_tells_the_epochs,
                positions_never_go_back,
                changes_leave_outbox_rows,
                outbox_rows_are_claimed_once,
                released_rows_are_free,
                noted_changes_come_out,
                scan_finds_every_live_message,
                chat_on_its_way_hides_nothing_from_the_index,
                one_holder_has_the_job,
                audit_repairs_nothing_that_is_right,
                purging_frees_no_number,
                dead_letter_is_kept_once,
                removed_letter_is_gone,
                letters_are_paged,
                letter_that_failed_again_stays,
            ]
        );
    };
}
