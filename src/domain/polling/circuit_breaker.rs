//! The gate of one API key: closed for a while when the key is refused or told to slow down, so
//! that one key with a thousand avatars does not hammer.
//!
//! It holds no queue and decides nothing about a single avatar; it only says when the key may
//! be used again, and whether one look must go first.

use std::time::Duration;

use crate::domain::polling::backoff::Backoff;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::polling::poll_failure::{FailureKind, PollFailure};
use crate::domain::polling::watch::Watch;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;

/// What one observation says about the key that it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiSignal {
    /// The API answered about the avatar.
    Success,
    /// The API refused the key.
    Unauthorized,
    /// The API refused this one look.
    Forbidden {
        /// Whether the key had shown that avatar up to now, so that this may be about the key.
        shown: bool,
    },
    /// The API asks for fewer requests.
    Throttled {
        /// How long it asks us to stay away, if it says so.
        retry_after: Option<Duration>,
    },
    /// The way to the API is wrong, so that nothing must be sent there.
    WrongEndpoint,
    /// No usable answer: nothing is known about the key.
    NoResponse,
}

impl ApiSignal {
    /// What an observation of an avatar says, as the avatar was known before.
    pub fn of(seen: &Observation, before: &Watch) -> Self {
        let denied = |trouble: &PollFailure| trouble.kind == FailureKind::Denied;
        match Self::from(seen) {
            Self::Forbidden { .. } => Self::Forbidden {
                shown: before.observed.is_some() && !before.failure.as_ref().is_some_and(denied),
            },
            welcome => welcome,
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

/// What is known about a key's welcome. A new gate is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    blocked_until: Option<Monotonic>,
    refusals: u32,
    forbidden: u32,
    throttles: u32,
}

impl CircuitBreaker {
    /// The gate after one more observation. An answer about an avatar opens it; a refusal closes
    /// it for a wait that grows with each, and so do several looks in a row that are forbidden and
    /// were not before; a request
    /// to slow down for as long as asked, or for a wait that grows. A failure to get an answer
    /// says nothing about the key.
    #[must_use]
    pub fn observe(
        mut self,
        welcome: ApiSignal,
        now: Monotonic,
        waits: &BreakerBackoff,
        roll: RandomBits,
    ) -> Self {
        match welcome {
            ApiSignal::Success => {
                // Looks that were under way when another one closed the gate do not open it.
                if self.allows(now) {
                    self = Self::default();
                }
            }
            ApiSignal::Unauthorized | ApiSignal::WrongEndpoint => self.trip(now, waits, roll),
            ApiSignal::Forbidden { shown } => {
                // Avatars that the key never showed may be somebody else's, however many.
                if shown || self.refusals > 0 {
                    self.forbidden = self.forbidden.saturating_add(1);
                    if self.forbidden >= FORBIDDEN_IN_A_ROW {
                        self.trip(now, waits, roll);
                    }
                }
            }
            ApiSignal::Throttled { retry_after } => {
                if self.allows(now) {
                    self.throttles = self.throttles.saturating_add(1);
                }
                let own = waits.throttled.delay(self.throttles, roll);
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

    /// When the key may be used again, if it was closed.
    pub fn retry_at(&self) -> Option<Monotonic> {
        self.blocked_until
    }

    /// Whether the key is refused, or the way is wrong, as far as is known.
    pub fn is_unauthorized(&self) -> bool {
        self.refusals > 0
    }

    /// Whether a single look must go first and show that the key works again.
    pub fn is_half_open(&self) -> bool {
        self.refusals > 0 || self.throttles > 0
    }

    fn trip(&mut self, now: Monotonic, waits: &BreakerBackoff, roll: RandomBits) {
        if self.allows(now) {
            self.refusals = self.refusals.saturating_add(1);
            self.block(now.plus(waits.denied.delay(self.refusals, roll)));
        }
    }

    fn block(&mut self, until: Monotonic) {
        self.blocked_until = self.blocked_until.max(Some(until));
    }
}

/// The growing waits of a gate.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerBackoff {
    /// After a refusal of the key: it will not mend itself in seconds.
    pub denied: Backoff,
    /// After a request to slow down that does not say for how long.
    pub throttled: Backoff,
}

/// So many looks that were allowed and are forbidden, with no answer between them, are about the
/// key and not about avatars.
const FORBIDDEN_IN_A_ROW: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: RandomBits = RandomBits::new(1 << 127);
    const FORBIDDEN: ApiSignal = ApiSignal::Forbidden { shown: true };

    fn waits() -> BreakerBackoff {
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
    fn refusals_close_the_gate_for_longer_and_longer() {
        let mut gate = CircuitBreaker::default();
        let mut now = at(0);
        let mut opens = Vec::new();
        for _ in 0..8 {
            gate = gate.observe(ApiSignal::Unauthorized, now, &waits(), HALF);
            let opens_at = gate.retry_at().unwrap();
            opens.push(opens_at.since(now).as_secs());
            assert!(!gate.allows(now));
            now = opens_at;
            assert!(gate.allows(now) && gate.is_half_open());
        }
        assert_eq!(opens, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn many_refusals_at_once_count_as_one() {
        let gate = (0..100).fold(CircuitBreaker::default(), |gate, _| {
            gate.observe(ApiSignal::Unauthorized, at(1), &waits(), HALF)
        });
        assert_eq!(gate.retry_at(), Some(at(61)));
    }

    #[test]
    fn an_answer_opens_the_gate_but_a_late_one_does_not() {
        let closed =
            CircuitBreaker::default().observe(ApiSignal::Unauthorized, at(0), &waits(), HALF);
        let late = closed.clone().observe(ApiSignal::Success, at(1), &waits(), HALF);
        assert_eq!(late, closed);
        let probed = closed.observe(ApiSignal::Success, at(60), &waits(), HALF);
        assert_eq!(probed, CircuitBreaker::default());
    }

    #[test]
    fn a_wish_to_slow_down_is_a_floor() {
        let check = |asked, expected_s| {
            let gate = CircuitBreaker::default().observe(throttled(asked), at(0), &waits(), HALF);
            assert_eq!(gate.retry_at(), Some(at(expected_s)), "for {asked:?}");
        };
        check(None, 2);
        check(Some(1), 2);
        check(Some(90), 90);
    }

    #[test]
    fn one_forbidden_avatar_does_not_shut_out_the_others() {
        let look = |gate: CircuitBreaker, welcome| gate.observe(welcome, at(0), &waits(), HALF);
        let mut gate = CircuitBreaker::default();
        for _ in 0..10 {
            gate = look(look(gate, FORBIDDEN), FORBIDDEN);
            assert!(gate.allows(at(0)) && !gate.is_half_open());
            gate = look(gate, ApiSignal::Success);
        }
        for _ in 0..3 {
            gate = look(gate, FORBIDDEN);
        }
        assert_eq!(gate.retry_at(), Some(at(60)));
        // From now on none is shown, and one look after the other keeps the gate shut.
        let probed = gate.observe(ApiSignal::Forbidden { shown: false }, at(60), &waits(), HALF);
        assert_eq!(probed.retry_at(), Some(at(180)));
    }

    #[test]
    fn avatars_that_the_key_never_showed_say_nothing_about_it() {
        let strange = ApiSignal::Forbidden { shown: false };
        let look = |gate: CircuitBreaker, _| gate.observe(strange, at(0), &waits(), HALF);
        assert_eq!((0..10).fold(CircuitBreaker::default(), look), CircuitBreaker::default());
    }

    #[test]
    fn no_answer_says_nothing_about_the_key() {
        let gate = CircuitBreaker::default().observe(ApiSignal::NoResponse, at(0), &waits(), HALF);
        assert_eq!(gate, CircuitBreaker::default());
    }
}
