//! Random number generator, seeded from the system's entropy or, in a simulation, from a fixed
//! seed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::random::RandomBits;

/// A source of random bits; clones share it.
#[derive(Clone, Debug)]
pub struct Rng {
    // A std mutex: it is held for a few instructions and never across an await.
    last: Arc<Mutex<RandomBits>>,
}

impl Rng {
    /// Seeds from the system's entropy.
    pub fn from_entropy() -> std::io::Result<Self> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(std::io::Error::from)?;
        Ok(Self::starting_at(u128::from_ne_bytes(bits)))
    }

    /// Seeds from a number, for reproducible sequences.
    pub fn seeded(seed: u64) -> Self {
        Self::starting_at(u128::from(seed))
    }

    /// The next random bits. They come from a chain of their own, so bits derived from one value
    /// never equal another.
    pub fn next_bits(&self) -> RandomBits {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = last.derive(NEXT);
        last.derive(OUT)
    }

    fn starting_at(bits: u128) -> Self {
        Self { last: Arc::new(Mutex::new(RandomBits::new(bits))) }
    }
}

/// Derives the next link of the chain.
const NEXT: u64 = 1;
/// Derives the output of a link.
const OUT: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_entropy_does_not() {
        let sequence = |rng: &Rng| [rng.next_bits(), rng.next_bits(), rng.next_bits()];
        assert_eq!(sequence(&Rng::seeded(7)), sequence(&Rng::seeded(7)));
        assert_ne!(sequence(&Rng::seeded(7)), sequence(&Rng::seeded(8)));
        let entropy = Rng::from_entropy().unwrap();
        assert_ne!(sequence(&entropy), sequence(&entropy));
    }

    #[test]
    fn derived_bits_are_not_the_next_ones() {
        let rng = Rng::seeded(7);
        let (first, second) = (rng.next_bits(), rng.next_bits());
        assert!((0..100).all(|salt| first.derive(salt) != second));
    }
}
