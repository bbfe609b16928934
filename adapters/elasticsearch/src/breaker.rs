//! A circuit breaker: a server that is known to be down is not asked.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::error::Failure;

/// How many failures in a row open the breaker.
const FAILURES: u32 = 5;

/// How long a request that its caller abandoned must have taken to count as a failure.
const PATIENCE: Duration = Duration::from_millis(500);

/// The first pause, doubled with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause: after an outage, search must have caught up within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Lets requests through while the server answers.
///
/// After some failures in a row it opens: nothing passes for a while, then a single probe.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until when nothing is let through.
    barred_until: Option<Instant>,
    /// When the server answered last.
    answered_at: Option<Instant>,
    /// Whether a probe is under way.
    is_probed: bool,
}

/// Permission for one request; its holder reports the outcome, and a late drop counts as a failure.
#[derive(Debug)]
pub(crate) struct Leave<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    since: Instant,
    is_told: bool,
}

impl Breaker {
    /// Asks for permission to send a request.
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
            since: Instant::now(),
            is_told: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// Says whether this is the one request that probes whether the server is back.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Notes that the server has answered.
    pub(crate) fn answered(mut self) {
        self.is_told = true;
        let mut state = self.breaker.lock();
        if state.barred_until.is_some() {
            tracing::info!("Elasticsearch answers again");
        }
        state.failures = 0;
        state.barred_until = None;
        state.answered_at = Some(Instant::now());
    }

    /// Notes that the server has not answered.
    pub(crate) fn failed(mut self) {
        self.is_told = true;
        self.fail();
    }

    fn fail(&self) {
        let mut state = self.breaker.lock();
        // Others got answers meanwhile: the server is up, and only this request was too much for it.
        if state.answered_at.is_some_and(|at| at > self.since) {
            return;
        }
        // Requests that were let through before the breaker opened tell nothing new.
        if state.barred_until.is_some() && !self.is_probe {
            return;
        }
        // Once the breaker is open, only probes get here.
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return;
        }
        if state.barred_until.is_none() {
            tracing::warn!(
                "Elasticsearch does not answer: searches fail until it does, everything else works"
            );
        }
        let doubled = (state.failures - FAILURES).min(10);
        let pause = (FIRST_PAUSE * 2_u32.pow(doubled)).min(LONGEST_PAUSE);
        state.barred_until = Some(Instant::now() + with_jitter(pause));
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.is_told && self.since.elapsed() >= PATIENCE {
            self.fail();
        }
        if self.is_probe {
            self.breaker.lock().is_probed = false;
        }
    }
}

/// Shortens a pause at random, by up to half, so that many clients do not come back in step.
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
    async fn callers_who_give_up_waiting_are_failures_too() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            drop(breaker.leave().unwrap());
        }
        for _ in 0..FAILURES {
            let leave = breaker.leave().expect("nobody waited for long so far");
            tokio::time::advance(PATIENCE).await;
            drop(leave);
        }
        assert!(breaker.leave().is_err());
        tokio::time::advance(FIRST_PAUSE).await;
        let probe = breaker.leave().unwrap();
        tokio::time::advance(PATIENCE).await;
        drop(probe);
        assert!(breaker.leave().is_err(), "the next would wait as long");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_for_a_server_that_answers_others_is_no_absence() {
        let breaker = Breaker::default();
        for _ in 0..2 * FAILURES {
            let slow = breaker.leave().unwrap();
            tokio::time::advance(PATIENCE).await;
            breaker.leave().unwrap().answered();
            slow.failed();
            assert!(breaker.leave().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_fail_together_make_one_short_pause() {
        let breaker = Breaker::default();
        let many: Vec<Leave> = (0..64).map(|_| breaker.leave().unwrap()).collect();
        many.into_iter().for_each(Leave::failed);
        tokio::time::advance(FIRST_PAUSE).await;
        breaker.leave().expect("the first pause is over").failed();
        tokio::time::advance(FIRST_PAUSE * 2).await;
        assert!(breaker.leave().is_ok(), "the second pause is over");
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
