//! Forecasts when the training of a model ends, from past trainings, and chooses when to poll.
//!
//! For a given number of polls, the delay of a notification is minimal if the interval shrinks with
//! the square root of the probability that the training ends now. That is estimated from past
//! durations, blurred, with a uniform share for unusual trainings.
//!
//! A delay is within the configured bounds. A forecast is used only if it is better than the
//! interval by age, on past trainings that it was not fitted to.

use std::time::Duration;

use crate::domain::polling::interval::TrainingInterval;

/// When to poll during a training of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    interval: TrainingInterval,
    delays: Vec<Duration>,
}

/// The cost and benefit of a polling rule, averaged over trainings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The expected time from the end of a training to the poll that detects it.
    pub delay: Duration,
    /// The polls of one training.
    pub polls: f64,
}

impl Forecast {
    /// The forecast from `past`: durations from the first poll that showed a training to the first
    /// that showed its end, oldest first. `None` if there are too few, or if the interval by age is
    /// as good: a forecast must reduce the delay by a tenth without more polls, when it is fitted
    /// to one half of the past and scored on the other.
    pub fn from_samples(past: &[Duration], interval: TrainingInterval) -> Option<Self> {
        let past: Vec<Duration> = past.iter().copied().filter(|it| !it.is_zero()).collect();
        if past.len() < SAMPLES_MIN {
            return None;
        }
        let half = |odd: usize| -> Vec<Duration> {
            past.iter().copied().enumerate().filter(|(n, _)| n % 2 == odd).map(|(_, d)| d).collect()
        };
        let (evens, odds) = (half(0), half(1));
        let by_age = score(&past, |age| interval.delay(age));
        if by_age.polls > POLLS_MAX {
            return None;
        }
        let judged = |from: &[Duration], by: &[Duration]| {
            let forecast = Self::fit(from, interval);
            score(by, |age| forecast.delay(age))
        };
        let (one, other) = (judged(&evens, &odds), judged(&odds, &evens));
        let delay = (one.delay + other.delay) / 2;
        let polls = f64::midpoint(one.polls, other.polls);
        let wins = delay < by_age.delay.mul_f64(DELAY_RATIO_MAX)
            && polls <= by_age.polls * POLLS_TOLERANCE;
        wins.then(|| Self::fit(&past, interval))
    }

    /// The delay when the training has lasted for `age`: within the configured bounds.
    pub fn delay(&self, age: Duration) -> Duration {
        self.delays.get(cell(age)).copied().unwrap_or_else(|| self.interval.delay(age))
    }

    /// The delays that take about as many polls over `past` as the interval by age.
    fn fit(past: &[Duration], interval: TrainingInterval) -> Self {
        let hazards = hazards(past);
        let with = |factor: f64| {
            let wait = |hazard: &f64| {
                let wait = Duration::try_from_secs_f64(factor / hazard.sqrt());
                wait.unwrap_or(interval.max).clamp(interval.min, interval.max.max(interval.min))
            };
            Self { interval, delays: hazards.iter().map(wait).collect() }
        };
        let budget = score(past, |age| interval.delay(age)).polls;
        let (mut low, mut high) = FACTORS;
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(low, high);
            let forecast = with(middle.exp());
            if simulate(past, |age| forecast.delay(age), budget).polls > budget {
                low = middle;
            } else {
                high = middle;
            }
        }
        with(high.exp())
    }
}

/// The score of a polling rule on trainings of these durations.
pub fn score(durations: &[Duration], wait: impl Fn(Duration) -> Duration) -> Score {
    simulate(durations, wait, POLLS_MAX)
}

/// Simulates polls until every training has ended, or until the result exceeds `polls_max`: then
/// the score has more polls, and is a lower bound.
fn simulate(durations: &[Duration], wait: impl Fn(Duration) -> Duration, polls_max: f64) -> Score {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let trainings = u32::try_from(sorted.len()).unwrap_or(u32::MAX).max(1);
    let (mut delays, mut polls, mut count) = (Duration::ZERO, 0.0, 0.0);
    let (mut age, mut next) = (Duration::ZERO, sorted.iter().peekable());
    // One simulation covers all: each is detected by the first poll at or after its end.
    while let Some(shortest) = next.peek().copied() {
        // The minimum for those that have not ended.
        let least = (polls + count * next.len() as f64) / f64::from(trainings);
        if least > polls_max {
            return Score { delay: shortest.saturating_sub(age), polls: least };
        }
        let gap = wait(age).max(Duration::from_millis(1));
        age += gap;
        count += 1.0;
        while next.next_if(|length| **length <= age).is_some() {
            // The end is random within the interval, so half of it is expected.
            delays += gap / 2;
            polls += count;
        }
    }
    Score { delay: delays / trainings, polls: polls / f64::from(trainings) }
}

/// The probability per second that a training ends, for each cell of age.
fn hazards(past: &[Duration]) -> Vec<f64> {
    let longest = past.iter().max().copied().unwrap_or_default();
    let cells = cell(longest.mul_f64(BEYOND)).saturating_add(1).min(CELLS_MAX);
    let share = (1.0 - UNIFORM_SHARE) / (past.len() as f64);
    let mut mass = vec![UNIFORM_SHARE / (cells as f64); cells];
    for length in past {
        let centre = cell(*length).min(cells - 1);
        let near = centre.saturating_sub(BLUR_REACH)..(centre + BLUR_REACH + 1).min(cells);
        let weight = |n: usize| (-(n.abs_diff(centre) as f64 / BLUR_CELLS).powi(2) / 2.0).exp();
        let sum: f64 = near.clone().map(weight).sum();
        for n in near {
            mass[n] += share * weight(n) / sum;
        }
    }
    let mut alive = 1.0 + UNIFORM_SHARE;
    let hazard = |(number, mass): (usize, &f64)| {
        let width = start(number + 1) - start(number);
        let hazard = mass / alive / width;
        alive -= mass;
        hazard
    };
    mass.iter().enumerate().map(hazard).collect()
}

/// The cell of an age: its width is proportional to the age, so that minutes and hours have the
/// same relative resolution.
fn cell(age: Duration) -> usize {
    let cell = (age.as_secs_f64() / FIRST_S).ln_1p() / CELL_RATIO.ln();
    cell as usize
}

/// The start of a cell in seconds: the inverse of [`cell`].
fn start(cell: usize) -> f64 {
    FIRST_S * (CELL_RATIO.powf(cell as f64) - 1.0)
}

/// The minimum number of trainings for a forecast.
const SAMPLES_MIN: usize = 8;
/// The maximum delay of a forecast as a fraction of that by age.
const DELAY_RATIO_MAX: f64 = 0.9;
/// The tolerance of the number of polls, which is an integer.
const POLLS_TOLERANCE: f64 = 1.02;
/// The share for unusual trainings.
const UNIFORM_SHARE: f64 = 0.15;
/// The blur of past durations, in cells.
const BLUR_CELLS: f64 = 2.0;
/// The number of blurred cells on either side: beyond four times the blur, almost nothing is left.
const BLUR_REACH: usize = 8;
/// The ratio of the widths of consecutive cells.
const CELL_RATIO: f64 = 1.03;
/// The scale of the cells, in seconds.
const FIRST_S: f64 = 10.0;
/// The factor from the longest past duration to the end of a forecast.
const BEYOND: f64 = 1.5;
/// The number of cells that covers the longest interval that can be configured.
const CELLS_MAX: usize = 600;
/// The natural logarithms of the factors between which the number of polls is met.
const FACTORS: (f64, f64) = (-12.0, 12.0);
/// The steps of the search between them, to a part in a thousand.
const BISECTIONS: usize = 14;
/// The maximum number of polls of one training in a simulation.
const POLLS_MAX: f64 = 20_000.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: TrainingInterval = TrainingInterval {
        min: Duration::from_secs(2),
        max: Duration::from_secs(60),
        age_fraction: 0.1,
        adaptive: true,
    };

    fn durations(seconds: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        seconds.into_iter().map(Duration::from_secs).collect()
    }

    #[test]
    fn too_few_trainings_make_no_forecast() {
        assert_eq!(Forecast::from_samples(&durations([300; 7]), INTERVAL), None);
        assert_eq!(Forecast::from_samples(&[], INTERVAL), None);
        assert_eq!(Forecast::from_samples(&durations([0; 20]), INTERVAL), None);
    }

    #[test]
    fn a_regular_duration_is_detected_sooner_without_more_polls() {
        let past = durations((0..32).map(|n| 280 + (n * 7) % 40));
        let forecast = Forecast::from_samples(&past, INTERVAL).unwrap();
        let (learned, by_age) =
            (score(&past, |age| forecast.delay(age)), score(&past, |age| INTERVAL.delay(age)));
        assert!(learned.delay < by_age.delay.mul_f64(0.7), "{learned:?} against {by_age:?}");
        assert!(learned.polls <= by_age.polls, "{learned:?} against {by_age:?}");
        let (far, near) = (Duration::from_secs(100), Duration::from_secs(300));
        assert!(forecast.delay(far) > forecast.delay(near), "fewer polls where no news is likely");
    }

    #[test]
    fn irregular_durations_are_polled_by_age() {
        // From half a minute to a day, log-uniform: nothing is typical.
        let past = durations((0..32).map(|n| (30.0 * 1.29f64.powi((n * 13) % 32)) as u64));
        assert_eq!(Forecast::from_samples(&past, INTERVAL), None);
    }

    #[test]
    fn trainings_of_days_are_not_polled_more_often() {
        let polls = |length: u64, wait: &dyn Fn(Duration) -> Duration| {
            let (mut age, mut polls) = (Duration::ZERO, 0.0);
            while age < Duration::from_secs(length) {
                age += wait(age);
                polls += 1.0;
            }
            polls
        };
        let check = |hours: u64| {
            let past = durations((0..32).map(|n| hours * 3_600 + (n * 7) % 600));
            let by_age = polls(hours * 3_600, &|age| INTERVAL.delay(age));
            let learned = Forecast::from_samples(&past, INTERVAL)
                .map(|forecast| polls(hours * 3_600 + 300, &|age| forecast.delay(age)));
            assert!(learned.is_none_or(|it| it < by_age * 1.1), "{hours} h: {learned:?}, {by_age}");
        };
        [12, 30, 48, 100, 200, 300, 333, 334, 400, 2_000].into_iter().for_each(check);
    }

    #[test]
    fn an_age_is_within_its_cell() {
        for seconds in [0, 1, 29, 300, 40_000, 2_000_000] {
            let cell = cell(Duration::from_secs(seconds));
            let age = seconds as f64 + 1e-6;
            assert!(start(cell) <= age && age < start(cell + 1) + 1e-6, "{seconds} s in {cell}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_delay_is_always_within_the_bounds(
            past in prop::collection::vec(0u64..100_000_000, 0..24),
            ages in prop::collection::vec(0u64..400_000_000, 1..20),
        ) {
            let past: Vec<Duration> = past.into_iter().map(Duration::from_millis).collect();
            let forecast = Forecast::fit(&past, INTERVAL);
            for age in ages {
                let wait = forecast.delay(Duration::from_millis(age));
                prop_assert!((INTERVAL.min..=INTERVAL.max).contains(&wait), "{wait:?} at {age} ms");
            }
            let forecast = || Forecast::from_samples(&past, INTERVAL);
            prop_assert_eq!(forecast(), forecast());
        }
    }
}
