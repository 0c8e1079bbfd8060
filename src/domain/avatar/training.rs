//! A finished training, and how long trainings of a model usually take.
//!
//! Start and end of a training each lie between two polls, so its duration has two bounds.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::time::humanize::{humanize, humanize_up};
use crate::domain::time::timestamp::Timestamp;

/// The two polls between which a training started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingStart {
    /// The last poll that showed another status; `None` if the avatar was in training when it was
    /// first observed.
    pub after: Option<Timestamp>,
    /// The first poll that showed the training; or a later one that showed another `updatedAt`,
    /// since another training may have begun then.
    pub before: Timestamp,
}

/// One finished training that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Training {
    /// The model of the avatar, such as `ARGIL_ATOM`, as it came.
    pub model: Option<String>,
    /// The polls between which it started.
    pub start: TrainingStart,
    /// The last poll that showed it.
    pub last_seen_at: Timestamp,
    /// The first poll that showed its outcome.
    pub ended_before: Timestamp,
}

impl Training {
    /// The minimum duration: between the first and the last poll that showed it.
    pub fn duration_min(&self) -> Duration {
        self.last_seen_at.since(self.start.before)
    }

    /// The maximum duration: between the polls before and after it; `None` if it was not observed
    /// when it started.
    pub fn duration_max(&self) -> Option<Duration> {
        // Not less than the minimum, even if the clock was set back.
        self.start.after.map(|after| self.ended_before.since(after).max(self.duration_min()))
    }

    /// The duration from the first poll that showed it to the first that showed its outcome.
    pub fn observed_duration(&self) -> Duration {
        self.ended_before.since(self.start.before)
    }

    /// [`Self::duration_min`] in whole seconds, rounded down.
    pub fn seconds_min(&self) -> u64 {
        self.duration_min().as_secs()
    }

    /// [`Self::duration_max`] in whole seconds, rounded up.
    pub fn seconds_max(&self) -> Option<u64> {
        self.duration_max()
            .map(|max| u64::try_from(max.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    /// How long it took, for people; both ends lie between two polls.
    pub fn describe_duration(&self) -> String {
        let min = humanize(self.duration_min());
        let Some(max) = self.duration_max().map(humanize_up) else {
            return format!("at least {min}, its start was not observed");
        };
        if min == max { format!("about {max}") } else { format!("{min} to {max}") }
    }

    /// The observed duration, if it is precise enough to compare others with it: its end, and its
    /// start unless the avatar was in training when it was first observed.
    pub fn sample(&self, outcome: &Status) -> Option<TrainingSample> {
        let duration = self.observed_duration();
        let start_blur = self.start.after.map(|after| self.start.before.since(after));
        let end_blur = duration.saturating_sub(self.duration_min());
        let limit = (duration / BLUR_DIVISOR).max(BLUR_ALWAYS_FINE);
        let is_precise = end_blur <= limit && start_blur.is_none_or(|blur| blur <= limit);
        let (is_whole, was_ready) = (start_blur.is_some(), *outcome == Status::Idle);
        is_precise.then_some(TrainingSample { duration, is_whole, was_ready })
    }
}

/// The duration of a past training, for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingSample {
    /// From the first poll that showed it to the first that showed its outcome.
    pub duration: Duration,
    /// Whether its start was observed: otherwise it took longer.
    pub is_whole: bool,
    /// Whether its outcome was `IDLE`.
    pub was_ready: bool,
}

/// How long trainings of a model usually take: the range of the middle four fifths of those that
/// became ready, and were observed from their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsualDuration {
    /// The lower end.
    pub min: Duration,
    /// The upper end.
    pub max: Duration,
    /// The number of trainings.
    pub count: usize,
}

impl UsualDuration {
    /// The range of those trainings; `None` for fewer than three.
    pub fn of(samples: &[TrainingSample]) -> Option<Self> {
        let ready = samples.iter().filter(|sample| sample.was_ready && sample.is_whole);
        let mut sorted: Vec<Duration> = ready.map(|sample| sample.duration).collect();
        sorted.sort();
        let count = sorted.len();
        let outside = count / UNUSUAL_DIVISOR;
        let (min, max) = (*sorted.get(outside)?, *sorted.get(count - 1 - outside)?);
        (count >= USUAL_SAMPLES_MIN).then_some(Self { min, max, count })
    }
}

/// The maximum uncertainty of a duration, as a fraction of it, …
const BLUR_DIVISOR: u32 = 4;
/// … or absolute, whichever is more.
const BLUR_ALWAYS_FINE: Duration = Duration::from_secs(10);
/// The minimum number of trainings for the usual duration.
const USUAL_SAMPLES_MIN: usize = 3;
/// The fraction of the trainings at either end that is not usual.
const UNUSUAL_DIVISOR: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn training(last_seen_s: i64, ended_s: i64) -> Training {
        let start = TrainingStart { after: Some(at(-7)), before: at(0) };
        let (last_seen_at, ended_before) = (at(last_seen_s), at(ended_s));
        Training { model: None, start, last_seen_at, ended_before }
    }

    #[test]
    fn only_a_precise_duration_is_a_sample() {
        let check = |last_seen_s: i64, ended_s: i64, expected: Option<u64>| {
            let sample = training(last_seen_s, ended_s).sample(&Status::Idle);
            let duration = sample.map(|sample| sample.duration);
            assert_eq!(duration, expected.map(Duration::from_secs), "to {ended_s} s");
        };
        check(28, 30, Some(30));
        check(0, 10, Some(10));
        check(0, 30, None);
        check(35_940, 36_000, Some(36_000));
        check(20_000, 36_000, None);
    }

    #[test]
    fn a_training_of_unknown_start_is_no_usual_one() {
        let mut training = training(28, 30);
        assert!(training.sample(&Status::Idle).unwrap().is_whole);
        training.start.after = None;
        let sample = training.sample(&Status::Idle).unwrap();
        assert!(!sample.is_whole);
        assert_eq!(UsualDuration::of(&[sample; 5]), None);
        training.start.after = Some(at(-11));
        assert_eq!(training.sample(&Status::Idle), None, "its start is too uncertain");
    }

    #[test]
    fn the_words_of_a_duration_contain_the_truth() {
        let mut training = training(10_787, 10_787);
        assert_eq!(training.describe_duration(), "2h 59m to 3h");
        training.last_seen_at = at(2);
        training.ended_before = Timestamp::from_millis(2_537);
        training.start.after = Some(Timestamp::from_millis(-10));
        assert_eq!(training.describe_duration(), "2s to 3s");
    }

    #[test]
    fn a_duration_lies_between_the_polls_inside_and_those_around_it() {
        let mut training = training(28, 30);
        assert_eq!(training.duration_min(), Duration::from_secs(28));
        assert_eq!(training.duration_max(), Some(Duration::from_secs(37)));
        training.start.after = None;
        assert_eq!(training.duration_max(), None);
    }

    #[test]
    fn the_usual_duration_is_a_range_of_those_that_became_ready() {
        let samples = |seconds: &[u64], was_ready| -> Vec<TrainingSample> {
            let duration = seconds.iter().map(|it| Duration::from_secs(*it));
            let sample = |duration| TrainingSample { duration, is_whole: true, was_ready };
            duration.map(sample).collect()
        };
        let check = |ready: &[u64], expected: Option<(u64, u64, usize)>| {
            let mut all = samples(ready, true);
            all.extend(samples(&[1, 9_999], false));
            let usual = UsualDuration::of(&all);
            let usual = usual.map(|it| (it.min.as_secs(), it.max.as_secs(), it.count));
            assert_eq!(usual, expected, "{ready:?}");
        };
        check(&[], None);
        check(&[30, 31], None);
        check(&[90, 30, 31], Some((30, 90, 3)));
        check(&[5, 10, 11, 12, 13, 14, 15, 16, 17, 900], Some((10, 17, 10)));
    }
}
