//! Chance: rolls for decisions, from the system's entropy or, in a simulation, from a seed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::random::RandomBits;

/// A source of rolls; clones share it.
#[derive(Clone, Debug)]
pub struct Rng {
    // A std mutex: it is held for a few instructions and never across an await.
    last: Arc<Mutex<RandomBits>>,
}

impl Rng {
    /// Rolls that nobody can foresee.
    ///
    /// # Errors
    /// When the system has no entropy to give.
    pub fn from_entropy() -> std::io::Result<Self> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(std::io::Error::from)?;
        Ok(Self::starting_at(u128::from_ne_bytes(bits)))
    }

    /// The same rolls for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self::starting_at(u128::from(seed))
    }

    /// The next roll. What is derived from one roll never is another: the rolls come off a chain
    /// of their own.
    pub fn next_bits(&self) -> RandomBits {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = last.derive(NEXT);
        last.derive(OUT)
    }

    fn starting_at(bits: u128) -> Self {
        Self { last: Arc::new(Mutex::new(RandomBits::new(bits))) }
    }
}

/// From a link of the chain to the next one.
const NEXT: u64 = 1;
/// From a link of the chain to its roll.
const OUT: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_entropy_does_not() {
        let rolls = |rng: &Rng| [rng.next_bits(), rng.next_bits(), rng.next_bits()];
        assert_eq!(rolls(&Rng::seeded(7)), rolls(&Rng::seeded(7)));
        assert_ne!(rolls(&Rng::seeded(7)), rolls(&Rng::seeded(8)));
        let entropy = Rng::from_entropy().unwrap();
        assert_ne!(rolls(&entropy), rolls(&entropy));
    }

    #[test]
    fn what_is_derived_from_a_roll_is_not_the_next_one() {
        let rng = Rng::seeded(7);
        let (first, second) = (rng.next_bits(), rng.next_bits());
        assert!((0..100).all(|salt| first.derive(salt) != second));
    }
}
