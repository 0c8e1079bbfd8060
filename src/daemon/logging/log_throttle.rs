//! Throttles the log: a failure that repeats is logged when it begins, after delays that double,
//! and when it ends. The other lines are counted as suppressed.
//!
//! The end is logged exactly when the beginning was. A failure that lasts is logged within
//! `FIRST_DELAY` of its beginning, however often it came and went before. A restart forgets all.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::humanize::humanize;
use crate::domain::time::monotonic::Monotonic;
use crate::text::plural::counted;

/// What fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Polling an avatar.
    Avatar(AvatarId),
    /// The events of an avatar reach no channel.
    Routing(AvatarId),
    /// Polling several avatars of an account.
    Polling(AccountName),
    /// The key of an account.
    Account(AccountName),
    /// Sending to a channel.
    Channel(ChannelName),
    /// Sending the heartbeat.
    Heartbeat,
    /// Reading or writing these in the store.
    Store(&'static str),
}

/// How the end of a failure is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// With this line.
    Logged(Emission),
    /// Its beginning was not logged, so its end is not.
    Suppressed,
    /// This process never knew of it.
    Unknown,
}

/// The failures that this process has logged; clones share them.
#[derive(Clone, Debug, Default)]
pub struct LogThrottle {
    // A std mutex: it is held for a few instructions and never across an await.
    failures: Arc<Mutex<HashMap<Key, HashMap<&'static str, Throttle>>>>,
}

impl LogThrottle {
    /// Records a failure of this kind; returns what to log, if anything.
    pub fn record(&self, key: Key, kind: &'static str, now: Monotonic) -> Option<Emission> {
        let mut failures = self.failures();
        if let Some(throttle) = failures.get_mut(&key).and_then(|kinds| kinds.get_mut(kind)) {
            return throttle.record(now);
        }
        failures.retain(|_, kinds| {
            kinds.retain(|_, throttle| !throttle.is_over(now));
            !kinds.is_empty()
        });
        let throttle = Throttle::begin(now);
        failures.entry(key).or_default().insert(kind, throttle);
        Some(Emission { suppressed: 0, duration: Duration::ZERO })
    }

    /// Records that it works again, for all kinds of failure; returns what to log.
    pub fn resolve(&self, key: &Key, now: Monotonic) -> Resolution {
        let mut failures = self.failures();
        let Some(kinds) = failures.get_mut(key) else { return Resolution::Unknown };
        let ends = kinds.values_mut().filter_map(|throttle| throttle.resolve(now));
        let end = ends.reduce(|one, other| Emission {
            suppressed: one.suppressed + other.suppressed,
            duration: one.duration.max(other.duration),
        });
        end.map_or(Resolution::Suppressed, Resolution::Logged)
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Key, HashMap<&'static str, Throttle>>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The lines that were suppressed since the last one.
    pub suppressed: u64,
    /// How long the failure has lasted.
    pub duration: Duration,
}

impl Emission {
    /// The number of suppressed lines, for the field of the log; `None` for none.
    pub fn suppressed(self) -> Option<u64> {
        (self.suppressed > 0).then_some(self.suppressed)
    }
}

impl fmt::Display for Emission {
    /// Completes a sentence about a recovery: "after 4m (2 similar log lines suppressed)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {}", humanize(self.duration))?;
        match self.suppressed {
            0 => Ok(()),
            number => write!(f, " ({} suppressed)", counted(number, "similar log line")),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Throttle {
    since: Monotonic,
    noted_at: Monotonic,
    ended_at: Option<Monotonic>,
    /// Whether the last logged line is about the begin of the failure, and not about its end.
    begin_is_logged: bool,
    logged_at: Monotonic,
    delay: Duration,
    suppressed: u64,
}

impl Throttle {
    const fn begin(now: Monotonic) -> Self {
        Self {
            since: now,
            noted_at: now,
            ended_at: None,
            begin_is_logged: true,
            logged_at: now,
            delay: FIRST_DELAY,
            suppressed: 0,
        }
    }

    /// Records a failure; returns what to log, if anything.
    fn record(&mut self, now: Monotonic) -> Option<Emission> {
        if self.is_over(now) {
            let suppressed = self.suppressed;
            *self = Self::begin(now);
            return Some(Emission { suppressed, duration: Duration::ZERO });
        }
        self.noted_at = now;
        if self.ended_at.take().is_some() {
            self.since = now;
        }
        let waited = now.since(self.logged_at) >= self.delay;
        let is_unlogged_failure = !self.begin_is_logged && now.since(self.since) >= FIRST_DELAY;
        if !waited && !is_unlogged_failure {
            self.suppressed += 1;
            return None;
        }
        self.begin_is_logged = true;
        self.logged_at = now;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        Some(self.emit(now))
    }

    /// Records the end of the failure; returns what to log, if anything.
    fn resolve(&mut self, now: Monotonic) -> Option<Emission> {
        if self.ended_at.is_some() {
            return None;
        }
        self.ended_at = Some(now);
        std::mem::take(&mut self.begin_is_logged).then(|| self.emit(now))
    }

    /// Whether it ended, or was last recorded, so long ago that the next failure is a new one. A
    /// key that a reload removes never ends.
    fn is_over(&self, now: Monotonic) -> bool {
        self.ended_at.is_some_and(|at| now.since(at) >= FIRST_DELAY)
            || now.since(self.noted_at) >= LONGEST_DELAY
    }

    fn emit(&mut self, now: Monotonic) -> Emission {
        Emission {
            suppressed: std::mem::take(&mut self.suppressed),
            duration: now.since(self.since),
        }
    }
}

/// The delay before a failure is logged once more; it doubles from then on.
const FIRST_DELAY: Duration = Duration::from_hours(1);
const LONGEST_DELAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Monotonic {
        Monotonic::default().plus(Duration::from_secs(60 * minutes))
    }

    fn emission(suppressed: u64, minutes: u64) -> Option<Emission> {
        Some(Emission { suppressed, duration: Duration::from_secs(60 * minutes) })
    }

    #[test]
    fn a_lasting_failure_is_logged_after_delays_that_double() {
        let mut throttle = Throttle::begin(at(0));
        let logged: Vec<u64> =
            (1..=6 * 24 * 60).filter(|minute| throttle.record(at(*minute)).is_some()).collect();
        let hours: Vec<u64> = logged.iter().map(|minute| minute / 60).collect();
        assert_eq!(hours, [1, 3, 7, 15, 31, 55, 79, 103, 127]);
        assert_eq!(throttle.resolve(at(6 * 24 * 60)), emission((144 - 127) * 60, 6 * 24 * 60));
        assert_eq!(throttle.resolve(at(6 * 24 * 60)), None, "it ends once");
    }

    #[test]
    fn an_intermittent_failure_is_counted_and_its_end_logged_if_its_beginning_was() {
        let mut throttle = Throttle::begin(at(0));
        assert_eq!(throttle.resolve(at(1)), emission(0, 1));
        for minute in [2, 4, 6] {
            assert_eq!(throttle.record(at(minute)), None);
            assert_eq!(throttle.resolve(at(minute + 1)), None, "its beginning was not logged");
        }
        assert_eq!(throttle.record(at(60)), emission(3, 0));
        assert_eq!(throttle.resolve(at(61)), emission(0, 1));
    }

    #[test]
    fn a_lasting_failure_is_logged_soon_even_if_it_was_intermittent_for_days() {
        let mut throttle = Throttle::begin(at(0));
        for minute in 1..3 * 24 * 60 {
            throttle.record(at(minute));
        }
        let begin = 3 * 24 * 60;
        throttle.resolve(at(begin));
        assert_eq!(throttle.record(at(begin + 1)), None);
        assert_eq!(throttle.record(at(begin + 60)), None);
        assert_eq!(throttle.record(at(begin + 61)), emission(2, 60));
    }

    #[test]
    fn after_a_quiet_hour_a_failure_is_a_new_one() {
        let mut throttle = Throttle::begin(at(0));
        throttle.resolve(at(1));
        assert!(!throttle.is_over(at(60)));
        assert_eq!(throttle.record(at(61)), emission(0, 0));
        assert_eq!(throttle.record(at(62)), None);
    }

    #[test]
    fn after_a_day_without_records_a_failure_is_a_new_one() {
        let mut throttle = Throttle::begin(at(0));
        assert_eq!(throttle.record(at(1)), None);
        assert_eq!(throttle.record(at(1 + 24 * 60)), emission(1, 0));
    }

    #[test]
    fn the_kinds_of_a_key_start_separately_and_end_together() {
        let throttle = LogThrottle::default();
        let ops = Key::Channel(ChannelName::parse("ops").unwrap());
        let other = Key::Channel(ChannelName::parse("other").unwrap());
        assert_eq!(throttle.resolve(&ops, at(0)), Resolution::Unknown);
        assert!(throttle.record(ops.clone(), "connect", at(0)).is_some());
        assert!(throttle.record(ops.clone(), "connect", at(1)).is_none());
        assert!(throttle.record(ops.clone(), "response", at(2)).is_some());
        assert!(throttle.record(ops.clone(), "response", at(3)).is_none());
        assert!(throttle.record(other, "connect", at(3)).is_some());
        let emission = Emission { suppressed: 2, duration: Duration::from_secs(240) };
        assert_eq!(throttle.resolve(&ops, at(4)), Resolution::Logged(emission));
        assert_eq!(throttle.resolve(&ops, at(5)), Resolution::Suppressed);
        assert_eq!(emission.to_string(), "after 4m (2 similar log lines suppressed)");
    }

    #[test]
    fn failures_that_ended_long_ago_are_removed() {
        let throttle = LogThrottle::default();
        for number in 0..1000 {
            let key = Key::Avatar(AvatarId::parse(&format!("a{number}")).unwrap());
            throttle.record(key.clone(), "failed", at(number));
            throttle.resolve(&key, at(number));
        }
        assert_eq!(throttle.failures().len(), 60);
    }
}
