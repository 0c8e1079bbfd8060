//! The delivery policy: the delay before each attempt, the expiry, and what to do after an unknown
//! outcome.

use std::time::Duration;

/// The delivery policy of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// The delays between attempts.
    pub schedule: RetrySchedule,
    /// The maximum age of a delivery, without the time in which the channel could not be used.
    pub expires_after: Duration,
    /// What to do with a delivery that may have been accepted.
    pub on_unknown: OnUnknown,
}

impl DeliveryPolicy {
    /// The default policy of a webhook.
    pub fn webhook() -> Self {
        Self {
            schedule: RetrySchedule::webhook(),
            expires_after: EXPIRES_AFTER,
            on_unknown: OnUnknown::Resend,
        }
    }

    pub(crate) fn chat() -> Self {
        Self { expires_after: CHAT_EXPIRES_AFTER, ..Self::webhook() }
    }

    pub(crate) fn email() -> Self {
        Self { schedule: RetrySchedule::email(), ..Self::webhook() }
    }
}

/// What to do after an unknown outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is sent again, and may arrive twice.
    #[default]
    Resend,
    /// It becomes a dead letter for manual review, and may never arrive.
    Hold,
}

/// The delays before the first, second, … attempt; one attempt per delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

/// Why a list of delays is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RetryScheduleError(String);

impl RetrySchedule {
    /// Creates a schedule.
    pub fn new(waits: Vec<Duration>) -> Result<Self, RetryScheduleError> {
        if waits.is_empty() {
            let why = "a retry schedule needs at least one delay: `[\"0s\"]` makes one attempt";
            return Err(RetryScheduleError(why.to_owned()));
        }
        if waits.len() > ATTEMPTS_MAX {
            let why = format!("a retry schedule has at most {ATTEMPTS_MAX} delays");
            return Err(RetryScheduleError(why));
        }
        Ok(Self(waits))
    }

    /// The schedule of webhooks: ten attempts within 75 h 35 min, as in Standard Webhooks
    /// (specification 1.0.0, "Deliverability and reliability").
    pub fn webhook() -> Self {
        Self(WEBHOOK_S.map(Duration::from_secs).to_vec())
    }

    /// The schedule of mail: thirteen attempts within about 100 h, similar to RFC 5321, section
    /// 4.5.4.1 (four to five days), with a quick start.
    pub fn email() -> Self {
        Self(EMAIL_S.map(Duration::from_secs).to_vec())
    }

    /// The delay before the next attempt after `used` charged attempts; `None` when none is left.
    pub fn delay(&self, used: u32) -> Option<Duration> {
        self.0.get(usize::try_from(used).ok()?).copied()
    }

    /// The minimum delay after a response that indicates overload: one minute, or the longest delay
    /// of a shorter schedule.
    pub fn overload_delay(&self) -> Duration {
        self.0.iter().max().map_or(OVERLOAD_STEP, |longest| OVERLOAD_STEP.min(*longest))
    }

    /// All delays in order.
    pub fn delays(&self) -> &[Duration] {
        &self.0
    }
}

const EXPIRES_AFTER: Duration = Duration::from_hours(7 * 24);
/// The default maximum age for chats, where old events are worth little.
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
        for (count, reason) in [(0, "at least one"), (101, "at most 100")] {
            let error = RetrySchedule::new(vec![Duration::ZERO; count]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
