//! Exponential backoff after consecutive failures: the only user of the `backoff` crate.
//!
//! The delays are computed once by the crate, when the type is built; randomness and time are
//! passed in, so the n-th delay is always the same before jitter. Nothing here sleeps or retries.
//!
//! The crate is not maintained (RUSTSEC-2025-0012); only [`Backoff::new`] would change with another
//! one.

use std::time::Duration;

use ::backoff::ExponentialBackoffBuilder;
use ::backoff::backoff::Backoff as _;

use crate::domain::random::RandomBits;

/// Delays that grow by a factor from `initial` to `max`, with jitter as a fraction.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    ladder: Vec<Duration>,
    jitter: f64,
}

/// Why the parameters are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackoffError {
    /// The first delay is zero.
    #[error("`initial` must be longer than nothing")]
    InitialZero,
    /// The maximum is shorter than the first delay.
    #[error("`max` must not be shorter than `initial`")]
    MaxBelowInitial,
    /// The delays would shrink, or grow too fast.
    #[error("`multiplier` must be between 1.0 and 100.0")]
    Multiplier,
    /// The jitter is not a fraction.
    #[error("`jitter` must be between 0.0 and 1.0")]
    Jitter,
}

impl Backoff {
    /// Delays of `initial`, `initial * multiplier` and so on up to `max`; each is lengthened or
    /// shortened by up to the fraction `jitter`, and never exceeds `max`.
    ///
    /// # Errors
    /// When the numbers are out of range: see [`BackoffError`].
    pub fn new(
        initial: Duration,
        max: Duration,
        multiplier: f64,
        jitter: f64,
    ) -> Result<Self, BackoffError> {
        if initial.is_zero() {
            return Err(BackoffError::InitialZero);
        }
        if max < initial {
            return Err(BackoffError::MaxBelowInitial);
        }
        if !(1.0..=100.0).contains(&multiplier) {
            return Err(BackoffError::Multiplier);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(BackoffError::Jitter);
        }
        let mut steps = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial)
            .with_max_interval(max)
            .with_multiplier(multiplier)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        let mut ladder = Vec::new();
        while ladder.len() < LADDER_MAX && ladder.last().is_none_or(|last| *last < max) {
            // The crate varies a delay by up to a nanosecond even without jitter; its base does not
            // vary.
            ladder.push(steps.current_interval.min(max));
            steps.next_backoff();
        }
        Ok(Self { ladder, jitter })
    }

    /// The delay after `failures` consecutive failures, counted from one; the last delay is used
    /// for all further ones.
    pub fn delay(&self, failures: u32, random: RandomBits) -> Duration {
        let rung = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let base = self.ladder.get(rung).or(self.ladder.last()).copied().unwrap_or_default();
        random.jitter(base, self.jitter).min(self.max())
    }

    /// The same delays, limited to `max`.
    #[must_use]
    pub fn capped(&self, max: Duration) -> Self {
        let ladder = self.ladder.iter().map(|wait| (*wait).min(max)).collect();
        Self { ladder, jitter: self.jitter }
    }

    /// The growing delays, before jitter.
    pub fn delays(&self) -> &[Duration] {
        &self.ladder
    }

    /// The jitter as a fraction, `0.0` to `1.0`.
    pub const fn jitter(&self) -> f64 {
        self.jitter
    }

    /// The maximum delay.
    pub fn max(&self) -> Duration {
        self.ladder.last().copied().unwrap_or_default()
    }
}

/// The maximum number of delays: with a multiplier near one they would be endless.
const LADDER_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF: RandomBits = RandomBits::new(1 << 127);

    #[test]
    fn waits_double_up_to_the_longest_and_stay_there() {
        let backoff =
            Backoff::new(Duration::from_secs(2), Duration::from_secs(300), 2.0, 0.3).unwrap();
        let waits: Vec<u64> = (1..=10).map(|n| backoff.delay(n, HALF).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.delay(0, HALF), backoff.delay(1, HALF));
        assert_eq!(backoff.delay(u32::MAX, HALF).as_secs(), 300);
    }

    #[test]
    fn the_same_numbers_make_the_same_waits() {
        // So long that what is drawn within a nanosecond would often be rounded up.
        let (initial, max) = (Duration::from_secs(1_000_000), Duration::from_secs(40_000_000));
        let make = || Backoff::new(initial, max, 2.0, 0.3).unwrap();
        assert_eq!(make().delays().last(), Some(&max));
        for _ in 0..200 {
            assert_eq!(make(), make());
        }
    }

    #[test]
    fn numbers_that_make_no_backoff_are_refused() {
        let check = |initial, max, multiplier, jitter, expected| {
            let made = Backoff::new(
                Duration::from_secs(initial),
                Duration::from_secs(max),
                multiplier,
                jitter,
            );
            assert_eq!(made.unwrap_err(), expected);
        };
        check(0, 5, 2.0, 0.3, BackoffError::InitialZero);
        check(9, 5, 2.0, 0.3, BackoffError::MaxBelowInitial);
        check(1, 5, 0.5, 0.3, BackoffError::Multiplier);
        check(1, 5, f64::NAN, 0.3, BackoffError::Multiplier);
        check(1, 5, 2.0, 1.5, BackoffError::Jitter);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_longest_nor_shorter_than_the_jitter_allows(
            initial_ms in 1u64..10_000,
            factor in 1u64..1_000,
            multiplier in 1.0f64..10.0,
            failures: u32,
            bits: u128,
        ) {
            let initial = Duration::from_millis(initial_ms);
            let max = Duration::from_millis(initial_ms * factor);
            let backoff = Backoff::new(initial, max, multiplier, 0.3).unwrap();
            let wait = backoff.delay(failures, RandomBits::new(bits));
            prop_assert!(wait <= max.max(backoff.max()));
            prop_assert!(wait.as_secs_f64() >= initial.as_secs_f64() * 0.69);
        }
    }
}
