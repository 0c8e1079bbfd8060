//! A refrain: the same trouble again and again, and when it is worth a line of the log: when it
//! begins, after waits that double, and when it ends. The rest is counted.
//!
//! What always holds: an end is said exactly when the beginning was; a trouble that lasts is said
//! within [`FIRST_WAIT`] of its beginning, however often it came and went before.

use std::time::Duration;

use crate::domain::moment::Moment;

/// One trouble of one thing.
#[derive(Clone, Copy, Debug)]
pub struct Refrain {
    since: Moment,
    noted_at: Moment,
    ended_at: Option<Moment>,
    /// Whether the last word about it was that it is there.
    heard: bool,
    said_at: Moment,
    wait: Duration,
    left_out: u64,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// How often it was not said since the last time.
    pub left_out: u64,
    /// For how long the trouble has lasted.
    pub lasted: Duration,
}

impl Refrain {
    /// A trouble that begins, and is said.
    pub const fn begin(now: Moment) -> Self {
        Self {
            since: now,
            noted_at: now,
            ended_at: None,
            heard: true,
            said_at: now,
            wait: FIRST_WAIT,
            left_out: 0,
        }
    }

    /// The trouble is there, still or again; what is to be said, if anything.
    pub fn again(&mut self, now: Moment) -> Option<Said> {
        if self.is_over(now) {
            let left_out = self.left_out;
            *self = Self::begin(now);
            return Some(Said { left_out, lasted: Duration::ZERO });
        }
        self.noted_at = now;
        if self.ended_at.take().is_some() {
            self.since = now;
        }
        let waited = now.since(self.said_at) >= self.wait;
        let unheard_of = !self.heard && now.since(self.since) >= FIRST_WAIT;
        if !waited && !unheard_of {
            self.left_out += 1;
            return None;
        }
        self.heard = true;
        self.said_at = now;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Some(self.said(now))
    }

    /// The trouble is there no more; what is to be said, if anything.
    pub fn end(&mut self, now: Moment) -> Option<Said> {
        if self.ended_at.is_some() {
            return None;
        }
        self.ended_at = Some(now);
        std::mem::take(&mut self.heard).then(|| self.said(now))
    }

    /// Whether it ended, or was last noted, so long ago that the next time is another trouble: what
    /// a reload takes out has no end.
    pub fn is_over(&self, now: Moment) -> bool {
        self.ended_at.is_some_and(|at| now.since(at) >= FIRST_WAIT)
            || now.since(self.noted_at) >= LONGEST_WAIT
    }

    fn said(&mut self, now: Moment) -> Said {
        Said { left_out: std::mem::take(&mut self.left_out), lasted: now.since(self.since) }
    }
}

/// The wait before a trouble is said once more; it doubles from then on.
pub const FIRST_WAIT: Duration = Duration::from_hours(1);
/// The longest of the waits.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(60 * minutes))
    }

    fn said(left_out: u64, minutes: u64) -> Option<Said> {
        Some(Said { left_out, lasted: Duration::from_secs(60 * minutes) })
    }

    #[test]
    fn a_trouble_that_lasts_is_said_after_waits_that_double() {
        let mut refrain = Refrain::begin(at(0));
        let told: Vec<u64> =
            (1..=6 * 24 * 60).filter(|minute| refrain.again(at(*minute)).is_some()).collect();
        let hours: Vec<u64> = told.iter().map(|minute| minute / 60).collect();
        assert_eq!(hours, [1, 3, 7, 15, 31, 55, 79, 103, 127]);
        assert_eq!(refrain.end(at(6 * 24 * 60)), said((144 - 127) * 60, 6 * 24 * 60));
        assert_eq!(refrain.end(at(6 * 24 * 60)), None, "it ends once");
    }

    #[test]
    fn what_comes_and_goes_is_counted_and_its_end_is_said_when_its_beginning_was() {
        let mut refrain = Refrain::begin(at(0));
        assert_eq!(refrain.end(at(1)), said(0, 1));
        for minute in [2, 4, 6] {
            assert_eq!(refrain.again(at(minute)), None);
            assert_eq!(refrain.end(at(minute + 1)), None, "its beginning was not said");
        }
        assert_eq!(refrain.again(at(60)), said(3, 0));
        assert_eq!(refrain.end(at(61)), said(0, 1));
    }

    #[test]
    fn what_lasts_is_said_soon_even_if_it_came_and_went_for_days() {
        let mut refrain = Refrain::begin(at(0));
        for minute in 1..3 * 24 * 60 {
            refrain.again(at(minute));
        }
        let begin = 3 * 24 * 60;
        refrain.end(at(begin));
        assert_eq!(refrain.again(at(begin + 1)), None);
        assert_eq!(refrain.again(at(begin + 60)), None);
        assert_eq!(refrain.again(at(begin + 61)), said(2, 60));
    }

    #[test]
    fn after_a_quiet_hour_it_is_another_trouble() {
        let mut refrain = Refrain::begin(at(0));
        refrain.end(at(1));
        assert!(!refrain.is_over(at(60)));
        assert_eq!(refrain.again(at(61)), said(0, 0));
        assert_eq!(refrain.again(at(62)), None);
    }

    #[test]
    fn what_nobody_noted_for_a_day_is_another_trouble_though_it_never_ended() {
        let mut refrain = Refrain::begin(at(0));
        assert_eq!(refrain.again(at(1)), None);
        assert_eq!(refrain.again(at(1 + 24 * 60)), said(1, 0));
    }
}
