//! The circuit breaker of an account: blocks polling while the API refuses the key or limits the
//! rate, so that many avatars of one key do not flood the API.
//!
//! It has no queue and decides nothing about a single avatar; it says when the key may be used
//! again, and whether one poll must succeed first.

use std::time::Duration;

use crate::domain::polling::backoff::Backoff;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::polling::poll_failure::{FailureKind, PollFailure};
use crate::domain::polling::watch::Watch;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;

/// What one observation says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiSignal {
    /// The API responded about the avatar.
    Success,
    /// The API refused the key.
    Unauthorized,
    /// The API refused this poll.
    Forbidden {
        /// Whether the key showed that avatar before, so that this may be about the key.
        shown: bool,
    },
    /// The API limits the rate.
    Throttled {
        /// The requested delay, if any.
        retry_after: Option<Duration>,
    },
    /// The API endpoint is misconfigured, so that no requests may be sent there.
    WrongEndpoint,
    /// No usable response: says nothing about the key.
    NoResponse,
}

impl ApiSignal {
    /// The signal of an observation of an avatar; `before` is its watch before it.
    pub fn of(seen: &Observation, before: &Watch) -> Self {
        let denied = |failure: &PollFailure| failure.kind == FailureKind::Denied;
        match Self::from(seen) {
            Self::Forbidden { .. } => Self::Forbidden {
                shown: before.observed.is_some() && !before.failure.as_ref().is_some_and(denied),
            },
            signal => signal,
        }
    }
}

impl From<&Observation> for ApiSignal {
    fn from(seen: &Observation) -> Self {
        match seen {
            Observation::Seen(_) | Observation::Missing { .. } => Self::Success,
            Observation::Denied { denial: Denial::Key, .. } => Self::Unauthorized,
            Observation::Denied { denial: Denial::Avatar, .. } => Self::Forbidden { shown: false },
            Observation::Throttled { retry_after, .. } => {
                Self::Throttled { retry_after: *retry_after }
            }
            Observation::Failed { fault: PollError::Misrouted, .. } => Self::WrongEndpoint,
            Observation::Failed {
                fault:
                    PollError::Unresolved
                    | PollError::Unreachable
                    | PollError::InvalidResponse
                    | PollError::UnknownEncoding,
                ..
            }
            | Observation::Failed {
                fault: PollError::RequestRejected | PollError::Local, ..
            } => Self::NoResponse,
        }
    }
}

/// The state of a key. A new breaker allows polling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    blocked_until: Option<Monotonic>,
    refusals: u32,
    forbidden: u32,
    throttles: u32,
}

impl CircuitBreaker {
    /// Applies one observation. A response about an avatar resets it. A refusal blocks the key for
    /// a growing delay, as do several consecutive forbidden polls that succeeded before. A rate
    /// limit blocks it as long as requested, or for a growing delay. Other failures change nothing.
    #[must_use]
    pub fn observe(
        mut self,
        signal: ApiSignal,
        now: Monotonic,
        backoff: &BreakerBackoff,
        random: RandomBits,
    ) -> Self {
        match signal {
            ApiSignal::Success => {
                // Polls that were in flight when it was tripped do not reset it.
                if self.allows(now) {
                    self = Self::default();
                }
            }
            ApiSignal::Unauthorized | ApiSignal::WrongEndpoint => self.trip(now, backoff, random),
            ApiSignal::Forbidden { shown } => {
                // Avatars that the key never showed may belong to others, however many.
                if shown || self.refusals > 0 {
                    self.forbidden = self.forbidden.saturating_add(1);
                    if self.forbidden >= FORBIDDEN_IN_A_ROW {
                        self.trip(now, backoff, random);
                    }
                }
            }
            ApiSignal::Throttled { retry_after } => {
                if self.allows(now) {
                    self.throttles = self.throttles.saturating_add(1);
                }
                let own = backoff.throttled.delay(self.throttles, random);
                self.block(now.plus(own.max(retry_after.unwrap_or_default())));
            }
            ApiSignal::NoResponse => {}
        }
        self
    }

    /// Whether the key may be used at `now`.
    pub fn allows(&self, now: Monotonic) -> bool {
        self.blocked_until.is_none_or(|until| now >= until)
    }

    /// When the key may be used again, if it was blocked.
    pub fn retry_at(&self) -> Option<Monotonic> {
        self.blocked_until
    }

    /// Whether the key is refused, or the endpoint is misconfigured.
    pub fn is_unauthorized(&self) -> bool {
        self.refusals > 0
    }

    /// Whether a single poll must succeed before others.
    pub fn is_half_open(&self) -> bool {
        self.refusals > 0 || self.throttles > 0
    }

    fn trip(&mut self, now: Monotonic, backoff: &BreakerBackoff, random: RandomBits) {
        if self.allows(now) {
            self.refusals = self.refusals.saturating_add(1);
            self.block(now.plus(backoff.denied.delay(self.refusals, random)));
        }
    }

    fn block(&mut self, until: Monotonic) {
        self.blocked_until = self.blocked_until.max(Some(until));
    }
}

/// The growing delays of a breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerBackoff {
    /// After a refusal of the key, which lasts longer than seconds.
    pub denied: Backoff,
    /// After a rate limit without a requested delay.
    pub throttled: Backoff,
}

/// The number of consecutive forbidden polls, allowed before, that are taken as a refusal of the
/// key.
const FORBIDDEN_IN_A_ROW: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: RandomBits = RandomBits::new(1 << 127);
    const FORBIDDEN: ApiSignal = ApiSignal::Forbidden { shown: true };

    fn backoff() -> BreakerBackoff {
        let backoff = |initial, max| {
            Backoff::new(Duration::from_secs(initial), Duration::from_secs(max), 2.0, 0.0).unwrap()
        };
        BreakerBackoff { denied: backoff(60, 3600), throttled: backoff(2, 300) }
    }

    fn throttled(retry_after_s: Option<u64>) -> ApiSignal {
        ApiSignal::Throttled { retry_after: retry_after_s.map(Duration::from_secs) }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1000)
    }

    #[test]
    fn refusals_block_for_growing_delays() {
        let mut breaker = CircuitBreaker::default();
        let mut now = at(0);
        let mut delays_s = Vec::new();
        for _ in 0..8 {
            breaker = breaker.observe(ApiSignal::Unauthorized, now, &backoff(), HALF);
            let retry_at = breaker.retry_at().unwrap();
            delays_s.push(retry_at.since(now).as_secs());
            assert!(!breaker.allows(now));
            now = retry_at;
            assert!(breaker.allows(now) && breaker.is_half_open());
        }
        assert_eq!(delays_s, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn many_refusals_at_once_count_as_one() {
        let breaker = (0..100).fold(CircuitBreaker::default(), |breaker, _| {
            breaker.observe(ApiSignal::Unauthorized, at(1), &backoff(), HALF)
        });
        assert_eq!(breaker.retry_at(), Some(at(61)));
    }

    #[test]
    fn a_success_resets_the_breaker_but_a_late_one_does_not() {
        let closed =
            CircuitBreaker::default().observe(ApiSignal::Unauthorized, at(0), &backoff(), HALF);
        let late = closed.clone().observe(ApiSignal::Success, at(1), &backoff(), HALF);
        assert_eq!(late, closed);
        let probed = closed.observe(ApiSignal::Success, at(60), &backoff(), HALF);
        assert_eq!(probed, CircuitBreaker::default());
    }

    #[test]
    fn a_requested_delay_is_a_minimum() {
        let check = |asked, expected_s| {
            let breaker =
                CircuitBreaker::default().observe(throttled(asked), at(0), &backoff(), HALF);
            assert_eq!(breaker.retry_at(), Some(at(expected_s)), "for {asked:?}");
        };
        check(None, 2);
        check(Some(1), 2);
        check(Some(90), 90);
    }

    #[test]
    fn one_forbidden_avatar_does_not_block_the_others() {
        let poll =
            |breaker: CircuitBreaker, signal| breaker.observe(signal, at(0), &backoff(), HALF);
        let mut breaker = CircuitBreaker::default();
        for _ in 0..10 {
            breaker = poll(poll(breaker, FORBIDDEN), FORBIDDEN);
            assert!(breaker.allows(at(0)) && !breaker.is_half_open());
            breaker = poll(breaker, ApiSignal::Success);
        }
        for _ in 0..3 {
            breaker = poll(breaker, FORBIDDEN);
        }
        assert_eq!(breaker.retry_at(), Some(at(60)));
        // From now on all are refused, and one poll after the other keeps it tripped.
        let probed =
            breaker.observe(ApiSignal::Forbidden { shown: false }, at(60), &backoff(), HALF);
        assert_eq!(probed.retry_at(), Some(at(180)));
    }

    #[test]
    fn avatars_that_the_key_never_showed_say_nothing_about_it() {
        let strange = ApiSignal::Forbidden { shown: false };
        let poll = |breaker: CircuitBreaker, _| breaker.observe(strange, at(0), &backoff(), HALF);
        assert_eq!((0..10).fold(CircuitBreaker::default(), poll), CircuitBreaker::default());
    }

    #[test]
    fn no_answer_says_nothing_about_the_key() {
        let breaker =
            CircuitBreaker::default().observe(ApiSignal::NoResponse, at(0), &backoff(), HALF);
        assert_eq!(breaker, CircuitBreaker::default());
    }
}
