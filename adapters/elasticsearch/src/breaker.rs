//! A breaker: what is known to be away is not asked.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::error::Failure;

/// How many failures in a row it takes.
const FAILURES: u32 = 5;

/// The first pause, doubled with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause; what was missed meanwhile must be found again within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Lets requests through while the server answers.
///
/// After some failures in a row nothing is let through for a while, then one request, to see.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until when nothing is let through.
    barred_until: Option<Instant>,
    /// Whether somebody is on the way to see.
    is_probed: bool,
}

/// Leave to ask once; whoever has it tells how it went.
#[derive(Debug)]
pub(crate) struct Leave<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    /// Asks for leave.
    pub(crate) fn leave(&self) -> Result<Leave<'_>, Failure> {
        let mut state = self.lock();
        let is_probe = match state.barred_until {
            None => false,
            Some(until) if Instant::now() >= until && !state.is_probed => true,
            Some(_) => return Err(Failure::LeftAlone),
        };
        state.is_probed |= is_probe;
        Ok(Leave {
            breaker: self,
            is_probe,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// Notes that the server has answered.
    pub(crate) fn answered(self) {
        let mut state = self.breaker.lock();
        if state.barred_until.is_some() {
            tracing::info!("Elasticsearch answers again");
        }
        state.failures = 0;
        state.barred_until = None;
    }

    /// Notes that it has not.
    pub(crate) fn failed(self) {
        let mut state = self.breaker.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return;
        }
        // Those who were let through before have nothing new to tell.
        if state.barred_until.is_some() && !self.is_probe {
            return;
        }
        if state.barred_until.is_none() {
            tracing::warn!("Elasticsearch does not answer: searches fail, all else goes on");
        }
        let doubled = (state.failures - FAILURES).min(10);
        let pause = (FIRST_PAUSE * 2_u32.pow(doubled)).min(LONGEST_PAUSE);
        state.barred_until = Some(Instant::now() + with_jitter(pause));
        // Each further probe counts one.
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.lock().is_probed = false;
        }
    }
}

/// A pause of at least half that long, so that many do not come back in step.
pub(crate) fn with_jitter(pause: Duration) -> Duration {
    let share = u32::try_from(RandomState::new().hash_one(()) % 1_024).unwrap_or(0);
    pause / 2 + pause * share / 2_048
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.leave().unwrap().failed();
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_passes_after_failures_in_a_row() {
        assert!(matches!(broken().leave(), Err(Failure::LeftAlone)));
        let breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                breaker.leave().unwrap().failed();
            }
            breaker.leave().unwrap().answered();
        }
        assert!(breaker.leave().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_goes_to_see_and_the_rest_wait_for_it() {
        let breaker = broken();
        tokio::time::advance(FIRST_PAUSE).await;
        let probe = breaker.leave().unwrap();
        assert!(breaker.leave().is_err());
        probe.answered();
        assert!(breaker.leave().is_ok() && breaker.leave().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_given_up_lets_the_next_go() {
        let breaker = broken();
        tokio::time::advance(FIRST_PAUSE).await;
        drop(breaker.leave().unwrap());
        assert!(breaker.leave().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_a_bound() {
        let breaker = broken();
        for _ in 0..20 {
            tokio::time::advance(LONGEST_PAUSE).await;
            breaker.leave().expect("the longest pause is over").failed();
        }
        tokio::time::advance(LONGEST_PAUSE / 3).await;
        assert!(breaker.leave().is_err());
    }
}
