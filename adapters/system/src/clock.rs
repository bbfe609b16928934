//! The wall clock, which never runs back here.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use chat_core::{model::Timestamp, ports::Clock};

/// Tells the machine's time.
///
/// A wall clock is set back now and then; this one then stands still until the other has caught up,
/// so that what happens later in the process never looks earlier.
#[derive(Debug)]
pub struct SystemClock {
    highest: AtomicI64,
}

impl SystemClock {
    /// Starts at the wall clock's time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            highest: AtomicI64::new(i64::MIN),
        }
    }

    /// Answers `micros`, or what was answered before where that was later.
    fn not_before_the_last(&self, micros: i64) -> Timestamp {
        // One atomic has one order of changes, which every thread sees, so nothing stronger is needed.
        let earlier = self.highest.fetch_max(micros, Ordering::Relaxed);
        Timestamp::from_micros(earlier.max(micros))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that the others are told of"
    )]
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.not_before_the_last(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_while_the_wall_clock_runs_back() {
        let clock = SystemClock::new();
        let told: Vec<i64> = [5, 9, 3, 8, 10]
            .into_iter()
            .map(|micros| clock.not_before_the_last(micros).as_micros())
            .collect();
        assert_eq!(told, [5, 9, 9, 9, 10]);
    }

    #[test]
    fn tells_a_time_of_this_century() {
        let year_2020 = Timestamp::from_micros(1_577_836_800_000_000);
        assert!(SystemClock::new().now() > year_2020);
    }
}
