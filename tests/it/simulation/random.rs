//! Seeded dice: the same seed, the same throws.

use std::time::Duration;

use avatar_watch::domain::random::RandomBits;

/// Dice for one purpose, so that throws for one thing do not shift those for another.
#[derive(Clone, Debug)]
pub(super) struct Dice(RandomBits);

impl Dice {
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self(RandomBits::new(u128::from(seed)).derive(purpose))
    }

    pub(super) fn bits(&mut self) -> u128 {
        self.0 = self.0.derive(1);
        self.0.bits()
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        u64::try_from(self.bits() % u128::from(end)).unwrap_or(0)
    }

    /// Whether something happens that does in `percent` of all cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap_or(0)].clone()
    }

    /// A wait of any order of magnitude between the two, in whole milliseconds.
    pub(super) fn wait(&mut self, least: Duration, most: Duration) -> Duration {
        self.bits();
        let ratio = most.as_secs_f64() / least.as_secs_f64();
        let wait = least.mul_f64(ratio.powf(self.0.fraction()));
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap())
    }
}
