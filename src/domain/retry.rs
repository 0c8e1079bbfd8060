//! The schedule of tries for a delivery: the wait before each, and when to give up.

use std::time::Duration;

/// The waits before the first, second, … try; as many tries as there are waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

/// Why a list of waits makes no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryScheduleError {
    /// There must be at least one try.
    #[error("a retry schedule needs at least one wait: `[\"0s\"]` tries once")]
    Empty,
    /// More than anyone could mean.
    #[error("a retry schedule has at most {TRIES_MAX} waits")]
    TooLong,
}

impl RetrySchedule {
    /// Checks and takes the waits.
    ///
    /// # Errors
    /// When there is none, or there are more than a hundred.
    pub fn new(waits: Vec<Duration>) -> Result<Self, RetryScheduleError> {
        if waits.is_empty() {
            return Err(RetryScheduleError::Empty);
        }
        if waits.len() > TRIES_MAX {
            return Err(RetryScheduleError::TooLong);
        }
        Ok(Self(waits))
    }

    /// The schedule of webhooks: ten tries over 75 h 35 min, as Standard Webhooks shows
    /// (specification 1.0.0, "Deliverability and reliability").
    pub fn webhook() -> Self {
        Self(WEBHOOK_S.map(Duration::from_secs).to_vec())
    }

    /// The schedule of mails: thirteen tries over about 100 h, in the spirit of RFC 5321,
    /// section 4.5.4.1 (four to five days), with a quick start.
    pub fn email() -> Self {
        Self(EMAIL_S.map(Duration::from_secs).to_vec())
    }

    /// The wait before the next try when `used` tries have been spent; `None` when none is left.
    pub fn wait(&self, used: u32) -> Option<Duration> {
        self.0.get(usize::try_from(used).ok()?).copied()
    }

    /// All waits in order.
    pub fn waits(&self) -> &[Duration] {
        &self.0
    }
}

const TRIES_MAX: usize = 100;
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const WEBHOOK_S: [u64; 10] = [
    0,
    5,
    5 * MINUTE_S,
    30 * MINUTE_S,
    2 * HOUR_S,
    5 * HOUR_S,
    10 * HOUR_S,
    14 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
];
const EMAIL_S: [u64; 13] = [
    0,
    MINUTE_S,
    5 * MINUTE_S,
    15 * MINUTE_S,
    30 * MINUTE_S,
    HOUR_S,
    2 * HOUR_S,
    4 * HOUR_S,
    8 * HOUR_S,
    12 * HOUR_S,
    24 * HOUR_S,
    24 * HOUR_S,
    24 * HOUR_S,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_schedules_last_as_long_as_they_say() {
        let hours = |schedule: RetrySchedule| {
            schedule.waits().iter().sum::<Duration>().as_secs_f64() / 3600.0
        };
        assert!((hours(RetrySchedule::webhook()) - 75.585).abs() < 0.01);
        assert!((hours(RetrySchedule::email()) - 99.85).abs() < 0.1);
    }

    #[test]
    fn a_schedule_ends_after_its_last_wait() {
        let schedule = RetrySchedule::new(vec![Duration::ZERO, Duration::from_secs(5)]).unwrap();
        assert_eq!(schedule.wait(1), Some(Duration::from_secs(5)));
        assert_eq!(schedule.wait(2), None);
        assert_eq!(RetrySchedule::new(Vec::new()), Err(RetryScheduleError::Empty));
        let long = vec![Duration::ZERO; 101];
        assert_eq!(RetrySchedule::new(long), Err(RetryScheduleError::TooLong));
    }
}
