//! A clock that stands still until it is moved.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use async_trait::async_trait;

use crate::{model::Timestamp, ports::Clock};

/// Tells the time that a test has set.
///
/// Sleeping moves it on, so that nothing really waits.
#[derive(Debug)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// Starts at 2020-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self {
            micros: AtomicI64::new(1_577_836_800_000_000),
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}
