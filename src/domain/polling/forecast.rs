//! What past trainings of a model tell about when to look at the next one.
//!
//! News comes soonest, for a given number of looks, when the wait shrinks with the square root of
//! the chance that the training ends now. That chance is estimated from past lengths, blurred, with
//! a part kept for surprises, so that a training that ends unlike all others is still looked at.
//!
//! What always holds: a wait is within the pace's own bounds; and nothing is forecast unless it
//! beats the age, on past trainings that it was not learned from.

use std::time::Duration;

use crate::domain::polling::interval::TrainingInterval;

/// When to look at a training of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    interval: TrainingInterval,
    delays: Vec<Duration>,
}

/// What a way of looking costs and brings, on average over some trainings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// From the end of a training to the look that sees it, as it can be expected.
    pub delay: Duration,
    /// Looks at one training.
    pub polls: f64,
}

impl Forecast {
    /// What `past` teaches: times from the first sight of a training to the first sight of its
    /// end, oldest first. `None` when there are too few of them, or when looking by age is as
    /// good: a forecast must be sooner by a tenth, without more looks, when it is learned from one
    /// half of the past and judged by the other.
    pub fn from_samples(past: &[Duration], pace: TrainingInterval) -> Option<Self> {
        let past: Vec<Duration> = past.iter().copied().filter(|it| !it.is_zero()).collect();
        if past.len() < SAMPLES_MIN {
            return None;
        }
        let half = |odd: usize| -> Vec<Duration> {
            past.iter().copied().enumerate().filter(|(n, _)| n % 2 == odd).map(|(_, d)| d).collect()
        };
        let (evens, odds) = (half(0), half(1));
        let by_age = score(&past, |age| pace.delay(age));
        if by_age.polls > POLLS_MAX {
            return None;
        }
        let judged = |from: &[Duration], by: &[Duration]| {
            let forecast = Self::fit(from, pace);
            score(by, |age| forecast.delay(age))
        };
        let (one, other) = (judged(&evens, &odds), judged(&odds, &evens));
        let delay = (one.delay + other.delay) / 2;
        let looks = f64::midpoint(one.polls, other.polls);
        let wins = delay < by_age.delay.mul_f64(DELAY_RATIO_MAX)
            && looks <= by_age.polls * POLLS_TOLERANCE;
        wins.then(|| Self::fit(&past, pace))
    }

    /// How long to wait when the training has lasted for `age`: within the pace's bounds.
    pub fn delay(&self, age: Duration) -> Duration {
        self.delays.get(cell(age)).copied().unwrap_or_else(|| self.interval.delay(age))
    }

    /// The waits that cost about as many looks over `past` as looking by age does.
    fn fit(past: &[Duration], pace: TrainingInterval) -> Self {
        let hazards = hazards(past);
        let with = |factor: f64| {
            let wait = |hazard: &f64| {
                let wait = Duration::try_from_secs_f64(factor / hazard.sqrt());
                wait.unwrap_or(pace.max).clamp(pace.min, pace.max.max(pace.min))
            };
            Self { interval: pace, delays: hazards.iter().map(wait).collect() }
        };
        let budget = score(past, |age| pace.delay(age)).polls;
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

/// The usual length of a training: the median, from three on.
pub fn median_duration(past: &[Duration]) -> Option<Duration> {
    let mut sorted = past.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= MEDIAN_SAMPLES_MIN)
}

/// How a way of looking does on trainings of these lengths.
pub fn score(lengths: &[Duration], wait: impl Fn(Duration) -> Duration) -> Score {
    simulate(lengths, wait, POLLS_MAX)
}

/// Walks through all ages until every training was seen to end, or until it is sure that it takes
/// more looks than `looks_max`: then the score has more of them, and is no more than that.
fn simulate(lengths: &[Duration], wait: impl Fn(Duration) -> Duration, looks_max: f64) -> Score {
    let mut sorted = lengths.to_vec();
    sorted.sort();
    let trainings = u32::try_from(sorted.len()).unwrap_or(u32::MAX).max(1);
    let (mut delays, mut looks, mut count) = (Duration::ZERO, 0.0, 0.0);
    let (mut age, mut next) = (Duration::ZERO, sorted.iter().peekable());
    // One walk serves them all: each is seen by the first look at or after its end.
    while let Some(shortest) = next.peek().copied() {
        // Those that have not ended take this many at least.
        let least = (looks + count * next.len() as f64) / f64::from(trainings);
        if least > looks_max {
            return Score { delay: shortest.saturating_sub(age), polls: least };
        }
        let gap = wait(age).max(Duration::from_millis(1));
        age += gap;
        count += 1.0;
        while next.next_if(|length| **length <= age).is_some() {
            // Where in the gap it falls is chance, so half of it is what can be expected.
            delays += gap / 2;
            looks += count;
        }
    }
    Score { delay: delays / trainings, polls: looks / f64::from(trainings) }
}

/// The chance by second that a training ends, for each cell of age.
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

/// The cell that an age falls into: as wide as a part of the age, so that a minute and ten hours
/// are told apart equally well.
fn cell(age: Duration) -> usize {
    let cell = (age.as_secs_f64() / FIRST_S).ln_1p() / CELL_RATIO.ln();
    cell as usize
}

/// Where a cell begins, in seconds: what [`cell`] undoes.
fn start(cell: usize) -> f64 {
    FIRST_S * (CELL_RATIO.powf(cell as f64) - 1.0)
}

/// Fewer trainings are no habit.
const SAMPLES_MIN: usize = 8;
/// Fewer lengths have no usual one.
const MEDIAN_SAMPLES_MIN: usize = 3;
/// The part of the delay by age that a forecast must stay below.
const DELAY_RATIO_MAX: f64 = 0.9;
/// By how much its looks may miss the budget: they come in whole numbers.
const POLLS_TOLERANCE: f64 = 1.02;
/// The part that is kept for trainings unlike all others.
const UNIFORM_SHARE: f64 = 0.15;
/// How far past lengths are blurred, in cells.
const BLUR_CELLS: f64 = 2.0;
/// How many cells to either side that is: beyond four times as far, next to nothing is left.
const BLUR_REACH: usize = 8;
/// How much wider each cell is than the one before.
const CELL_RATIO: f64 = 1.03;
/// What scales the cells, in seconds.
const FIRST_S: f64 = 10.0;
/// By how much longer than the longest of the past a training is forecast.
const BEYOND: f64 = 1.5;
/// More cells than these are not needed for the longest wait that can be configured.
const CELLS_MAX: usize = 600;
/// The natural logarithms of the factors between which the budget is met.
const FACTORS: (f64, f64) = (-12.0, 12.0);
/// Steps of the search between them: they end within a part in a thousand.
const BISECTIONS: usize = 14;
/// More looks at one training are not counted, and nothing is learned from so many.
const POLLS_MAX: f64 = 20_000.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: TrainingInterval = TrainingInterval {
        min: Duration::from_secs(2),
        max: Duration::from_secs(60),
        age_fraction: 0.1,
        adaptive: true,
    };

    fn lengths(seconds: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        seconds.into_iter().map(Duration::from_secs).collect()
    }

    #[test]
    fn too_few_trainings_teach_nothing() {
        assert_eq!(Forecast::from_samples(&lengths([300; 7]), PACE), None);
        assert_eq!(Forecast::from_samples(&[], PACE), None);
        assert_eq!(Forecast::from_samples(&lengths([0; 20]), PACE), None);
    }

    #[test]
    fn a_habit_is_told_sooner_for_no_more_looks() {
        let past = lengths((0..32).map(|n| 280 + (n * 7) % 40));
        let forecast = Forecast::from_samples(&past, PACE).unwrap();
        let (learned, by_age) =
            (score(&past, |age| forecast.delay(age)), score(&past, |age| PACE.delay(age)));
        assert!(learned.delay < by_age.delay.mul_f64(0.7), "{learned:?} against {by_age:?}");
        assert!(learned.polls <= by_age.polls, "{learned:?} against {by_age:?}");
        let (far, near) = (Duration::from_secs(100), Duration::from_secs(300));
        assert!(forecast.delay(far) > forecast.delay(near), "fewer looks where no news is likely");
    }

    #[test]
    fn what_has_no_habit_is_looked_at_by_its_age() {
        // From half a minute to a day, as likely by every factor: nothing is usual.
        let past = lengths((0..32).map(|n| (30.0 * 1.29f64.powi((n * 13) % 32)) as u64));
        assert_eq!(Forecast::from_samples(&past, PACE), None);
    }

    #[test]
    fn what_lasts_for_days_is_not_looked_at_more_often() {
        let looks = |length: u64, wait: &dyn Fn(Duration) -> Duration| {
            let (mut age, mut looks) = (Duration::ZERO, 0.0);
            while age < Duration::from_secs(length) {
                age += wait(age);
                looks += 1.0;
            }
            looks
        };
        let check = |hours: u64| {
            let past = lengths((0..32).map(|n| hours * 3_600 + (n * 7) % 600));
            let by_age = looks(hours * 3_600, &|age| PACE.delay(age));
            let learned = Forecast::from_samples(&past, PACE)
                .map(|forecast| looks(hours * 3_600 + 300, &|age| forecast.delay(age)));
            assert!(learned.is_none_or(|it| it < by_age * 1.1), "{hours} h: {learned:?}, {by_age}");
        };
        [12, 30, 48, 100, 200, 300, 333, 334, 400, 2_000].into_iter().for_each(check);
    }

    #[test]
    fn the_usual_length_is_the_median() {
        assert_eq!(median_duration(&lengths([30, 31])), None);
        assert_eq!(median_duration(&lengths([90, 30, 31])), Some(Duration::from_secs(31)));
    }

    #[test]
    fn an_age_falls_into_the_cell_that_begins_before_it() {
        for seconds in [0, 1, 29, 300, 40_000, 2_000_000] {
            let cell = cell(Duration::from_secs(seconds));
            let age = seconds as f64 + 1e-6;
            assert!(start(cell) <= age && age < start(cell + 1) + 1e-6, "{seconds} s in {cell}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_wait_is_always_within_the_bounds(
            past in prop::collection::vec(0u64..100_000_000, 0..24),
            ages in prop::collection::vec(0u64..400_000_000, 1..20),
        ) {
            let past: Vec<Duration> = past.into_iter().map(Duration::from_millis).collect();
            let forecast = Forecast::fit(&past, PACE);
            for age in ages {
                let wait = forecast.delay(Duration::from_millis(age));
                prop_assert!((PACE.min..=PACE.max).contains(&wait), "{wait:?} at {age} ms");
            }
            let forecast = || Forecast::from_samples(&past, PACE);
            prop_assert_eq!(forecast(), forecast());
        }
    }
}
