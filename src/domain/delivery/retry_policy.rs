//! The terms of a delivery: the wait before each try, when to give up, and what to do when nobody
//! knows whether a try was taken.

use std::time::Duration;

/// What holds for the deliveries of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// When tries are repeated.
    pub schedule: RetrySchedule,
    /// How long after it was made a delivery is tried at most, time in which it may not be tried
    /// apart.
    pub expires_after: Duration,
    /// What becomes of a delivery that may have been taken.
    pub on_unknown: OnUnknown,
}

impl DeliveryPolicy {
    /// The terms of a webhook that says nothing else.
    pub fn webhook() -> Self {
        Self {
            schedule: RetrySchedule::webhook(),
            expires_after: EXPIRES_AFTER,
            on_unknown: OnUnknown::Resend,
        }
    }

    /// The terms of a chat that says nothing else.
    pub fn chat() -> Self {
        Self { expires_after: CHAT_EXPIRES_AFTER, ..Self::webhook() }
    }

    /// The terms of a mail account that says nothing else.
    pub fn email() -> Self {
        Self { schedule: RetrySchedule::email(), ..Self::webhook() }
    }
}

/// What becomes of a delivery of which nobody knows whether it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is sent again: rather twice than not at all.
    #[default]
    Resend,
    /// It becomes a dead letter, for a human to look at: rather not than twice.
    Hold,
}

/// The waits before the first, second, … try; as many tries as there are waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

/// Why a list of waits makes no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryScheduleError {
    /// There must be at least one try.
    #[error("a retry schedule needs at least one delay: `[\"0s\"]` makes one attempt")]
    Empty,
    /// More than anyone could mean.
    #[error("a retry schedule has at most {ATTEMPTS_MAX} waits")]
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
        if waits.len() > ATTEMPTS_MAX {
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
    pub fn delay(&self, used: u32) -> Option<Duration> {
        self.0.get(usize::try_from(used).ok()?).copied()
    }

    /// The least wait after an answer that shows the other side under strain: a minute, or the
    /// longest wait of a schedule that is in more of a hurry.
    pub fn overload_delay(&self) -> Duration {
        self.0.iter().max().map_or(OVERLOAD_STEP, |longest| OVERLOAD_STEP.min(*longest))
    }

    /// All waits in order.
    pub fn delays(&self) -> &[Duration] {
        &self.0
    }
}

/// No try is made later than this after the event, unless a channel says otherwise.
const EXPIRES_AFTER: Duration = Duration::from_hours(7 * 24);
/// News of an avatar in a chat is no news any more after this.
const CHAT_EXPIRES_AFTER: Duration = Duration::from_hours(24);

const OVERLOAD_STEP: Duration = Duration::from_secs(60);
const ATTEMPTS_MAX: usize = 100;
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
            schedule.delays().iter().sum::<Duration>().as_secs_f64() / 3600.0
        };
        assert!((hours(RetrySchedule::webhook()) - 75.585).abs() < 0.01);
        assert!((hours(RetrySchedule::email()) - 99.85).abs() < 0.1);
    }

    #[test]
    fn a_schedule_ends_after_its_last_wait() {
        let schedule = RetrySchedule::new(vec![Duration::ZERO, Duration::from_secs(5)]).unwrap();
        assert_eq!(schedule.delay(1), Some(Duration::from_secs(5)));
        assert_eq!(schedule.delay(2), None);
        assert_eq!(RetrySchedule::new(Vec::new()), Err(RetryScheduleError::Empty));
        let long = vec![Duration::ZERO; 101];
        assert_eq!(RetrySchedule::new(long), Err(RetryScheduleError::TooLong));
    }
}
