//! Time as an argument, so that tests decide what time it is.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::Timestamp;

/// Tells the time, and waits.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::clock`, one test per law:
///
/// 1. `never_runs_back`: a later call answers the same moment or a later one.
/// 2. `sleeps_at_least`: after `sleep(d)` at least `d` has passed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Clock: Send + Sync {
    /// Tells the current time.
    fn now(&self) -> Timestamp;

    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
}
