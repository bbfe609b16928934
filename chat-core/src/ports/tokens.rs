//! Randomness as an argument, so that tests can repeat it.

use crate::model::{ApplicationToken, Uid};

/// Makes tokens and uids, which nobody can guess and which are never made twice.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::tokens`, one test per law:
///
/// 1. `tokens_use_the_whole_alphabet`: every letter and digit turns up, so 32 of them hold 190 bits.
/// 2. `tokens_and_uids_differ`: no two of many are the same.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait Tokens: Send + Sync {
    /// Makes an application's token.
    fn application_token(&self) -> ApplicationToken;

    /// Makes a creation's uid.
    fn uid(&self) -> Uid;
}
