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

/// What one observation says about the API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySignal {
    /// The API responded about the avatar.
    Success,
    /// The API refused the key.
    Unauthorized,
    /// The API refused this poll.
    Forbidden {
        /// Whether the key showed that avatar before, so that this may be about the key.
        shown_before: bool,
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

impl KeySignal {
    /// The signal of an observation of an avatar; `before` is its watch before it.
    pub fn of(observation: &Observation, before: &Watch) -> Self {
        let denied = |failure: &PollFailure| failure.kind == FailureKind::Denied;
        match Self::from(observation) {
            Self::Forbidden { .. } => Self::Forbidden {
                shown_before: before.observed.is_some()
                    && !before.failure.as_ref().is_some_and(denied),
            },
            signal => signal,
        }
    }
}

impl From<&Observation> for KeySignal {
    fn from(observation: &Observation) -> Self {
        match observation {
            Observation::Seen(_) | Observation::Missing { .. } => Self::Success,
            Observation::Denied { denial: Denial::Key, .. } => Self::Unauthorized,
            Observation::Denied { denial: Denial::Avatar, .. } => {
                Self::Forbidden { shown_before: false }
            }
            Observation::Throttled { retry_after, .. } => {
                Self::Throttled { retry_after: *retry_after }
            }
            Observation::Failed { fault: PollError::Misrouted, .. } => Self::WrongEndpoint,
            Observation::Failed {
                fault:
                    PollError::Unresolved
                    | PollError::Unreachable
                    | PollError::InvalidResponse
                    | PollError::UnknownEncoding
                    | PollError::RequestRejected
                    | PollError::Local,
                ..
            } => Self::NoResponse,
        }
    }
}

/// Decides when an API key may be used. A new breaker allows polling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    blocked_until: Option<Monotonic>,
    refusals: u32,
    forbidden: u32,
    throttles: u32,
}

impl CircuitBreaker {
    /// Applies one observation. A response about an avatar resets it. A refusal blocks the key for
    /// a growing delay, as do several consecutive forbidden polls of avatars that the key showed
    /// before. A rate limit blocks it as long as requested, or for a growing delay. Other failures
    /// change nothing.
    #[must_use]
    pub fn observe(
        mut self,
        signal: KeySignal,
        now: Monotonic,
        backoff: &BreakerBackoff,
        random: RandomBits,
    ) -> Self {
        match signal {
            KeySignal::Success => {
                // Polls that were in flight when it was tripped do not reset it.
                if self.allows(now) {
                    self = Self::default();
                }
            }
            KeySignal::Unauthorized | KeySignal::WrongEndpoint => self.trip(now, backoff, random),
            KeySignal::Forbidden { shown_before } => {
                // Avatars that the key never showed may belong to others, however many.
                if shown_before || self.refusals > 0 {
                    self.forbidden = self.forbidden.saturating_add(1);
                    if self.forbidden >= FORBIDDEN_IN_A_ROW {
                        self.trip(now, backoff, random);
                    }
                }
            }
            KeySignal::Throttled { retry_after } => {
                if self.allows(now) {
                    self.throttles = self.throttles.saturating_add(1);
                }
                let own = backoff.throttled.delay(self.throttles, random);
                self.block(now.plus(own.max(retry_after.unwrap_or_default())));
            }
            KeySignal::NoResponse => {}
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
    pub fn is_blocked(&self) -> bool {
        self.refusals > 0
    }

    /// Whether a refusal or a rate limit was not followed by a success: one poll must succeed
    /// before others.
    pub fn is_tripped(&self) -> bool {
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
    /// After a refusal of the key. Somebody must act, so it takes minutes or longer.
    pub denied: Backoff,
    /// After a rate limit without a requested delay.
    pub throttled: Backoff,
}

/// The number of consecutive forbidden polls of avatars that the key showed before; together they
/// count as a refusal of the key.
const FORBIDDEN_IN_A_ROW: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: RandomBits = RandomBits::new(1 << 127);
    const FORBIDDEN: KeySignal = KeySignal::Forbidden { shown_before: true };

    fn backoff() -> BreakerBackoff {
        let backoff = |initial, max| {
            Backoff::new(Duration::from_secs(initial), Duration::from_secs(max), 2.0, 0.0).unwrap()
        };
        BreakerBackoff { denied: backoff(60, 3600), throttled: backoff(2, 300) }
    }

    fn throttled(retry_after_s: Option<u64>) -> KeySignal {
        KeySignal::Throttled { retry_after: retry_after_s.map(Duration::from_secs) }
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
            breaker = breaker.observe(KeySignal::Unauthorized, now, &backoff(), HALF);
            let retry_at = breaker.retry_at().unwrap();
            delays_s.push(retry_at.since(now).as_secs());
            assert!(!breaker.allows(now));
            now = retry_at;
            assert!(breaker.allows(now) && breaker.is_tripped());
        }
        assert_eq!(delays_s, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn many_refusals_at_once_count_as_one() {
        let breaker = (0..100).fold(CircuitBreaker::default(), |breaker, _| {
            breaker.observe(KeySignal::Unauthorized, at(1), &backoff(), HALF)
        });
        assert_eq!(breaker.retry_at(), Some(at(61)));
    }

    #[test]
    fn a_success_resets_the_breaker_but_a_late_one_does_not() {
        let tripped =
            CircuitBreaker::default().observe(KeySignal::Unauthorized, at(0), &backoff(), HALF);
        let late = tripped.clone().observe(KeySignal::Success, at(1), &backoff(), HALF);
        assert_eq!(late, tripped);
        let probed = tripped.observe(KeySignal::Success, at(60), &backoff(), HALF);
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
            assert!(breaker.allows(at(0)) && !breaker.is_tripped());
            breaker = poll(breaker, KeySignal::Success);
        }
        for _ in 0..3 {
            breaker = poll(breaker, FORBIDDEN);
        }
        assert_eq!(breaker.retry_at(), Some(at(60)));
        // From now on all are refused, and one poll after the other keeps it tripped.
        let probed =
            breaker.observe(KeySignal::Forbidden { shown_before: false }, at(60), &backoff(), HALF);
        assert_eq!(probed.retry_at(), Some(at(180)));
    }

    #[test]
    fn avatars_that_the_key_never_showed_say_nothing_about_it() {
        let never_shown = KeySignal::Forbidden { shown_before: false };
        let poll =
            |breaker: CircuitBreaker, _| breaker.observe(never_shown, at(0), &backoff(), HALF);
        assert_eq!((0..10).fold(CircuitBreaker::default(), poll), CircuitBreaker::default());
    }

    #[test]
    fn no_response_says_nothing_about_the_key() {
        let breaker =
            CircuitBreaker::default().observe(KeySignal::NoResponse, at(0), &backoff(), HALF);
        assert_eq!(breaker, CircuitBreaker::default());
    }
}
