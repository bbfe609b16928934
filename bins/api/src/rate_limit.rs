//! How often one application may ask.

use std::num::NonZeroU32;

use chat_core::model::ApplicationToken;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

use crate::error::Problem;

/// How many applications are remembered before those are forgotten that have not asked for a second, and
/// so have their full allowance again.
const MOST: usize = 100_000;

/// Limits each application to a rate of requests a second, in bursts of up to one second's worth.
///
/// It is the generic cell rate algorithm, a leaky bucket that keeps one number for each application. Unknown
/// tokens are limited as known ones are, since telling them apart is part of the work that is to be limited.
pub(crate) struct RateLimit<C: Clock = DefaultClock>(Limiter<C>);

type Limiter<C> = RateLimiter<
    ApplicationToken,
    HashMapStateStore<ApplicationToken>,
    C,
    NoOpMiddleware<<C as Clock>::Instant>,
>;

impl RateLimit {
    /// Allows so many requests a second.
    pub(crate) fn per_second(requests: NonZeroU32) -> Self {
        Self::by(requests, DefaultClock::default())
    }
}

impl<C: Clock> RateLimit<C> {
    fn by(requests: NonZeroU32, clock: C) -> Self {
        let state = HashMapStateStore::default();
        Self(RateLimiter::new(Quota::per_second(requests), state, clock))
    }

    /// Lets a request of an application pass, or says when the next one may.
    pub(crate) fn admit(&self, application: &ApplicationToken) -> Result<(), Problem> {
        if self.0.len() >= MOST {
            self.0.retain_recent();
        }
        self.0
            .check_key(application)
            .map_err(|until| Problem::too_many_requests(until.wait_time_from(self.0.clock().now())))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat_core::memory::Memory;
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::error::Code;

    #[test]
    fn each_application_has_as_many_a_second_as_are_set() {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::by(NonZeroU32::new(10).unwrap(), clock.clone());
        let tokens = Memory::new().ports().tokens;
        let (one, other) = (tokens.application_token(), tokens.application_token());
        for _ in 0..2 {
            for _ in 0..10 {
                limit.admit(&one).unwrap();
            }
            let refused = limit.admit(&one).unwrap_err();
            assert_eq!(refused.code(), Code::TooManyRequests);
            limit.admit(&other).unwrap();
            clock.advance(Duration::from_millis(100));
            limit.admit(&one).unwrap();
            limit.admit(&one).unwrap_err();
            clock.advance(Duration::from_secs(1));
        }
    }

    #[test]
    fn who_could_ask_as_often_as_any_is_forgotten() {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::by(NonZeroU32::MIN, clock.clone());
        let tokens = Memory::new().ports().tokens;
        for _ in 0..3 {
            for _ in 0..MOST {
                limit.admit(&tokens.application_token()).unwrap();
            }
            assert!(limit.0.len() <= MOST);
            clock.advance(Duration::from_secs(2));
        }
    }
}
