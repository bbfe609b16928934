//! The laws of [`Counter`](crate::ports::Counter).

mod cut_off;
mod forgetting;
mod keys;
mod numbering;
mod pending;

pub use cut_off::cut_off_create_leaves_no_gap;
pub use forgetting::{
    Forget, Forgetful, forgotten_sequence_goes_on, lease_ends_once_known,
    lease_tells_what_is_pending,
};
pub use keys::{
    deleted_application_answers_no_key, key_of_another_request_is_refused, key_outlives_its_chat,
    keys_belong_to_an_application, refused_create_keeps_its_key_free, same_key_same_answer,
};
pub use numbering::{
    deleted_stays_deleted, lease_given_back_is_handed_out_at_once, never_repeats,
    never_starts_by_itself, new_chat_starts_at_one, seed_needs_its_lease, seed_never_lowers,
    sequences_are_independent,
};
pub use pending::{
    accepted_is_pending_until_settled, acknowledged_stays_pending, older_epoch_does_not_settle,
    pending_page_is_bounded_in_bytes, pending_page_tells_what_was_issued, set_aside_stays_pending,
    settling_spares_another_uid, settling_twice_is_harmless, unconfirmed_are_listed,
};

/// How many callers race each other.
const CALLERS: usize = 16;

/// How many creations each of them makes.
const EACH: usize = 50;

/// Mounts the laws of the counter as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __counter_contract {
    ($maker:expr) => {
        $crate::__laws!(
            counter,
            $maker,
            [
                never_starts_by_itself,
                never_repeats,
                sequences_are_independent,
                seed_never_lowers,
                seed_needs_its_lease,
                new_chat_starts_at_one,
                deleted_stays_deleted,
                same_key_same_answer,
                key_of_another_request_is_refused,
                keys_belong_to_an_application,
                refused_create_keeps_its_key_free,
                key_outlives_its_chat,
                deleted_application_answers_no_key,
                accepted_is_pending_until_settled,
                settling_twice_is_harmless,
                settling_spares_another_uid,
                pending_page_tells_what_was_issued,
                older_epoch_does_not_settle,
                set_aside_stays_pending,
                unconfirmed_are_listed,
                lease_given_back_is_handed_out_at_once,
                acknowledged_stays_pending,
                pending_page_is_bounded_in_bytes,
                cut_off_create_leaves_no_gap,
            ]
        );
    };
}

/// Mounts the laws of a counter that can be made to forget; the argument answers a
/// [`Forgetful`] in the place of ports.
#[doc(hidden)]
#[macro_export]
macro_rules! __counter_forgetting_contract {
    ($maker:expr) => {
        $crate::__laws!(
            counter,
            $maker,
            [
                forgotten_sequence_goes_on,
                lease_ends_once_known,
                lease_tells_what_is_pending,
            ]
        );
    };
}
