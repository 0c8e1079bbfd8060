//! The pace of looking: how long to wait before an avatar is looked at again.
//!
//! A training is looked at after a fraction of its age, so that the news is late in proportion
//! to the wait; everything else has one wait. Failures have a backoff of their own.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::polling::backoff::Backoff;

/// The waits between looks, from `[poll]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PollIntervals {
    /// While `TRAINING`, and in a status that nobody knows: it may be a part of a training.
    pub training: TrainingInterval,
    /// While `NOT_TRAINED`.
    pub not_trained: Duration,
    /// Once settled (`IDLE`, `TRAINING_FAILED`, `REFUSED`); `None` is never again.
    pub settled: Option<Duration>,
    /// While the API says that there is no such avatar.
    pub missing: Duration,
    /// After failures in a row.
    pub backoff: Backoff,
    /// The part of a wait, `0.0` to `1.0`, by which chance may shorten it, so that many avatars do
    /// not stay in step; it never lengthens one.
    pub jitter: f64,
}

/// The pace of looking at a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingInterval {
    /// The shortest wait.
    pub min: Duration,
    /// The longest wait; not below `min`.
    pub max: Duration,
    /// The wait as a fraction of how long the training has been seen to last, `0.0` to `1.0`.
    pub age_fraction: f64,
    /// Whether past trainings may tell better than the age when to look.
    pub adaptive: bool,
}

impl PollIntervals {
    /// How long to wait after having seen `status`, when it or its training has lasted for `age`;
    /// `None` is never again.
    pub fn delay(&self, status: &Status, age: Duration) -> Option<Duration> {
        match status {
            Status::Training | Status::Unrecognized(_) => Some(self.training.delay(age)),
            Status::NotTrained => Some(self.not_trained),
            Status::TrainingFailed | Status::Idle | Status::Refused => self.settled,
        }
    }
}

impl TrainingInterval {
    /// How long to wait when the training has lasted for `age`: from `min` to `max`.
    pub fn delay(self, age: Duration) -> Duration {
        let share = Duration::try_from_secs_f64(age.as_secs_f64() * self.age_fraction);
        share.unwrap_or(self.max).clamp(self.min, self.max.max(self.min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cadence(settled: Option<u64>) -> PollIntervals {
        PollIntervals {
            training: TrainingInterval {
                min: Duration::from_secs(5),
                max: Duration::from_secs(60),
                age_fraction: 0.1,
                adaptive: false,
            },
            not_trained: Duration::from_secs(61),
            settled: settled.map(Duration::from_secs),
            missing: Duration::from_secs(900),
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(300), 2.0, 0.3)
                .unwrap(),
            jitter: 0.0,
        }
    }

    #[test]
    fn a_training_is_looked_at_after_a_tenth_of_its_age() {
        let check = |age_s, expected_s| {
            let wait = cadence(None).delay(&Status::Training, Duration::from_secs(age_s));
            assert_eq!(wait, Some(Duration::from_secs(expected_s)), "at {age_s} s");
        };
        check(0, 5);
        check(50, 5);
        check(300, 30);
        check(600, 60);
        check(12 * 3600, 60);
    }

    #[test]
    fn every_other_status_has_one_wait() {
        let check = |status: &str, settled, expected_s: Option<u64>| {
            let wait = cadence(settled).delay(&Status::from_name(status), Duration::from_secs(9));
            assert_eq!(wait, expected_s.map(Duration::from_secs), "for `{status}`");
        };
        check("NOT_TRAINED", None, Some(61));
        check("SOMETHING_NEW", None, Some(5));
        check("IDLE", Some(3600), Some(3600));
        check("TRAINING_FAILED", Some(3600), Some(3600));
        check("REFUSED", None, None);
    }
}
