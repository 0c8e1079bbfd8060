//! When a training is overdue: after a fixed time, or after a multiple of the usual duration.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::domain::avatar::training::UsualDuration;
use crate::domain::time::humanize::{humanize, humanize_up};

/// The setting `overdue_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverdueAfter {
    /// Never.
    Never,
    /// After a fixed time.
    Fixed(Duration),
    /// After a multiple of the upper end of the usual duration of the model.
    TimesUsual(Hundredths),
}

/// A factor in hundredths: 300 is three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hundredths(pub u32);

impl Default for OverdueAfter {
    /// `3x`.
    fn default() -> Self {
        Self::TimesUsual(Hundredths(300))
    }
}

impl Hundredths {
    /// Parses a factor from `1.1x` to `100x`, with at most two decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = {
            let number = text.strip_suffix(['x', 'X'])?;
            number.split_once('.').unwrap_or((number, "0"))
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return None;
        }
        let hundredths: u32 = format!("{decimals:0<2}").parse().ok()?;
        let factor = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
        FACTORS.contains(&factor).then_some(Self(factor))
    }
}

impl OverdueAfter {
    /// The duration after which a training is overdue, if `usual` is the usual one; `None` is
    /// never. A multiple is 24 hours while fewer than 5 trainings are known, and then at least 5
    /// minutes.
    pub fn limit(self, usual: Option<UsualDuration>) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Fixed(after) => Some(after),
            Self::TimesUsual(factor) => {
                Some(enough(usual).map_or(FALLBACK, |usual| {
                    (usual.max.saturating_mul(factor.0) / 100).max(FLOOR)
                }))
            }
        }
    }

    /// Why a training that has lasted for `limit` is overdue, for people.
    pub(crate) fn reason(self, limit: Duration, usual: Option<UsualDuration>) -> String {
        let lasts = format!("it has been in training for longer than {}", humanize(limit));
        let usual = usual.filter(|_| matches!(self, Self::TimesUsual(_)));
        match enough(usual) {
            Some(usual) => format!("{lasts}; trainings of its model usually take {usual}"),
            None => lasts,
        }
    }
}

fn enough(usual: Option<UsualDuration>) -> Option<UsualDuration> {
    usual.filter(|usual| usual.count >= SAMPLES_MIN)
}

impl fmt::Display for Hundredths {
    /// As the config writes it: `3x`, `2.5x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", f64::from(self.0) / 100.0)
    }
}

impl fmt::Display for UsualDuration {
    /// Such as `4m to 6m (12 trainings)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (humanize(self.min), humanize_up(self.max));
        if min == max {
            write!(f, "about {max}")?;
        } else {
            write!(f, "{min} to {max}")?;
        }
        write!(f, " ({} trainings)", self.count)
    }
}

/// The range of factors, in hundredths.
const FACTORS: RangeInclusive<u32> = 110..=10_000;
/// The limit while the usual duration is not known: the longest documented training.
const FALLBACK: Duration = Duration::from_hours(24);
/// The minimum of a multiple: a training of half a minute may wait for others.
const FLOOR: Duration = Duration::from_mins(5);
/// The minimum number of trainings for a multiple.
const SAMPLES_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const fn usual(max_s: u64, count: usize) -> Option<UsualDuration> {
        let (min, max) = (Duration::from_secs(max_s / 2), Duration::from_secs(max_s));
        Some(UsualDuration { min, max, count })
    }

    #[test]
    fn a_multiple_of_the_usual_duration_needs_enough_trainings() {
        let check = |overdue: OverdueAfter, usual, expected: Option<Duration>| {
            assert_eq!(overdue.limit(usual), expected, "{overdue:?} of {usual:?}");
        };
        let hours = |hours| Some(Duration::from_hours(hours));
        check(OverdueAfter::default(), None, hours(24));
        check(OverdueAfter::default(), usual(7_200, 4), hours(24));
        check(OverdueAfter::default(), usual(7_200, 5), hours(6));
        check(OverdueAfter::default(), usual(86_400, 5), hours(72));
        check(OverdueAfter::default(), usual(30, 64), Some(FLOOR));
        check(OverdueAfter::TimesUsual(Hundredths(150)), usual(7_200, 5), hours(3));
        check(OverdueAfter::Fixed(Duration::from_hours(2)), usual(7_200, 5), hours(2));
        check(OverdueAfter::Never, usual(7_200, 5), None);
    }

    #[test]
    fn the_reason_names_what_is_usual() {
        let limit = Duration::from_hours(6);
        let overdue = OverdueAfter::default();
        let lasts = "it has been in training for longer than 6h";
        assert_eq!(overdue.reason(limit, usual(7_200, 4)), lasts);
        assert_eq!(
            overdue.reason(limit, usual(7_200, 5)),
            format!("{lasts}; trainings of its model usually take 1h to 2h (5 trainings)"),
        );
        assert_eq!(OverdueAfter::Fixed(limit).reason(limit, usual(7_200, 5)), lasts);
    }
}
