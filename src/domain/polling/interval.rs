//! The polling interval: the delay before an avatar is polled again.
//!
//! During a training, it is a fraction of the training's age, so that a notification is late in
//! proportion; other statuses have a fixed interval. Failures have a backoff.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::polling::backoff::Backoff;

/// The intervals of `[poll]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PollIntervals {
    /// While `TRAINING`, and in an unrecognized status, which may be a part of a training.
    pub training: TrainingInterval,
    /// While `NOT_TRAINED`.
    pub not_trained: Duration,
    /// After `IDLE`, `TRAINING_FAILED` or `REFUSED`.
    pub settled: SettledIntervals,
    /// While the API responds that there is no such avatar.
    pub missing: Duration,
    /// After consecutive failures.
    pub backoff: Backoff,
    /// The maximum random reduction of an interval as a fraction, `0.0` to `1.0`, which spreads the
    /// polls of many avatars; intervals are never lengthened.
    pub jitter: f64,
}

/// The intervals after an outcome, which grow in steps: a retraining is most likely soon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledIntervals {
    steps: Vec<SettledStep>,
    last: Option<Duration>,
}

/// An interval that applies for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledStep {
    /// The interval.
    pub every: Duration,
    /// How long it applies, from the end of the step before.
    pub lasts: Duration,
}

/// The interval during a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingInterval {
    /// The minimum.
    pub min: Duration,
    /// The maximum; not below `min`.
    pub max: Duration,
    /// The interval as a fraction of the training's age, `0.0` to `1.0`.
    pub age_fraction: f64,
    /// Whether the durations of past trainings are used.
    pub adaptive: bool,
}

impl PollIntervals {
    /// The delay after observing `status`, when it or its training has lasted for `age`; `None` is
    /// never.
    pub fn delay(&self, status: &Status, age: Duration) -> Option<Duration> {
        match status {
            Status::Training | Status::Unrecognized(_) => Some(self.training.delay(age)),
            Status::NotTrained => Some(self.not_trained),
            Status::TrainingFailed | Status::Idle | Status::Refused => self.settled.delay(age),
        }
    }
}

impl SettledIntervals {
    /// The intervals of `steps`, one after another, and then `last`; `None` is never.
    pub fn new(steps: Vec<SettledStep>, last: Option<Duration>) -> Self {
        Self { steps, last }
    }

    /// The same interval at any age; `None` is never.
    pub fn always(interval: Option<Duration>) -> Self {
        Self { steps: Vec::new(), last: interval }
    }

    /// The delay when the outcome is `age` old; `None` is never.
    pub fn delay(&self, age: Duration) -> Option<Duration> {
        let mut begins = Duration::ZERO;
        let step = self.steps.iter().find(|step| {
            begins = begins.saturating_add(step.lasts);
            age < begins
        });
        step.map(|step| step.every).or(self.last)
    }

    /// The steps before the last interval.
    pub fn steps(&self) -> &[SettledStep] {
        &self.steps
    }

    /// The interval after all steps; `None` is never.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }
}

impl TrainingInterval {
    /// The delay when the training has lasted for `age`: from `min` to `max`.
    pub fn delay(self, age: Duration) -> Duration {
        let share = Duration::try_from_secs_f64(age.as_secs_f64() * self.age_fraction);
        share.unwrap_or(self.max).clamp(self.min, self.max.max(self.min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn intervals(settled: Option<u64>) -> PollIntervals {
        PollIntervals {
            training: TrainingInterval {
                min: Duration::from_secs(5),
                max: Duration::from_secs(60),
                age_fraction: 0.1,
                adaptive: false,
            },
            not_trained: Duration::from_secs(61),
            settled: SettledIntervals::always(settled.map(Duration::from_secs)),
            missing: Duration::from_secs(900),
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(300), 2.0, 0.3)
                .unwrap(),
            jitter: 0.0,
        }
    }

    #[test]
    fn a_training_is_polled_after_a_tenth_of_its_age() {
        let check = |age_s, expected_s| {
            let wait = intervals(None).delay(&Status::Training, Duration::from_secs(age_s));
            assert_eq!(wait, Some(Duration::from_secs(expected_s)), "at {age_s} s");
        };
        check(0, 5);
        check(50, 5);
        check(300, 30);
        check(600, 60);
        check(12 * 3600, 60);
    }

    #[test]
    fn every_other_status_has_one_interval() {
        let check = |status: &str, settled, expected_s: Option<u64>| {
            let wait = intervals(settled).delay(&Status::from_name(status), Duration::from_secs(9));
            assert_eq!(wait, expected_s.map(Duration::from_secs), "for `{status}`");
        };
        check("NOT_TRAINED", None, Some(61));
        check("SOMETHING_NEW", None, Some(5));
        check("IDLE", Some(3600), Some(3600));
        check("TRAINING_FAILED", Some(3600), Some(3600));
        check("REFUSED", None, None);
    }

    #[test]
    fn the_interval_grows_in_steps_after_an_outcome() {
        let step = |every_s, lasts_s| SettledStep {
            every: Duration::from_secs(every_s),
            lasts: Duration::from_secs(lasts_s),
        };
        let steps = vec![step(15, 600), step(120, 3_600)];
        let settled = SettledIntervals::new(steps.clone(), Some(60 * MINUTE));
        let check = |age_s, expected_s| {
            let delay = settled.delay(Duration::from_secs(age_s));
            assert_eq!(delay, Some(Duration::from_secs(expected_s)), "at {age_s} s");
        };
        check(0, 15);
        check(599, 15);
        check(600, 120);
        check(4_199, 120);
        check(4_200, 3_600);
        assert_eq!(settled.delay(Duration::MAX), Some(60 * MINUTE));
        assert_eq!(SettledIntervals::new(steps, None).delay(70 * MINUTE), None);
    }
}
