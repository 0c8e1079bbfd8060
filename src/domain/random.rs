//! Random bits that are passed to a decision which needs jitter or new ids. They are generated
//! elsewhere; the same bits always give the same result.

use std::time::Duration;

/// 128 random bits for one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomBits(u128);

impl RandomBits {
    /// Bits that the caller generated.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// A fraction in `0.0..1.0`, from the upper bits.
    pub fn fraction(self) -> f64 {
        // Both conversions are exact: an `f64` holds 53 bits.
        let top = u64::try_from(self.0 >> (u128::BITS - FRACTION_BITS)).unwrap_or(0);
        top as f64 / (1u64 << FRACTION_BITS) as f64
    }

    /// Ten bytes for the random part of an id, from the lower bits.
    pub fn id_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&self.0.to_be_bytes()[6..]);
        bytes
    }

    /// `wait`, lengthened or shortened by up to `fraction` of itself; bits at half of the range
    /// leave it unchanged.
    pub fn jitter(self, wait: Duration, fraction: f64) -> Duration {
        let factor = 1.0 + fraction.clamp(0.0, 1.0) * (2.0 * self.fraction() - 1.0);
        Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
    }

    /// `wait`, shortened by up to `fraction` of itself, never lengthened.
    pub fn jitter_down(self, wait: Duration, fraction: f64) -> Duration {
        wait.mul_f64(1.0 - fraction.clamp(0.0, 1.0) * self.fraction())
    }

    /// Other bits that depend only on these and on `salt`, for a decision that needs several.
    #[must_use]
    pub fn derive(self, salt: u64) -> Self {
        let mut high = split_mix((self.0 >> 64) as u64 ^ salt);
        let low = split_mix(self.0 as u64 ^ high);
        high = split_mix(high ^ low);
        Self((u128::from(high) << 64) | u128::from(low))
    }
}

/// One step of `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014): spreads every bit of `x` over the whole word.
const fn split_mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

const FRACTION_BITS: u32 = 53;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_a_roll_are_the_ends_of_the_jitter() {
        let check = |bits, expected_ms| {
            let jittered = RandomBits::new(bits).jitter(Duration::from_secs(10), 0.2);
            assert_eq!(jittered.as_millis(), expected_ms);
        };
        check(0, 8_000);
        check(1 << 127, 10_000);
        check(u128::MAX, 12_000);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_fraction(bits: u128, wait_ms in 0u64..100_000_000) {
            let wait = Duration::from_millis(wait_ms);
            let jittered = RandomBits::new(bits).jitter(wait, 0.3).as_secs_f64();
            prop_assert!(jittered >= wait.as_secs_f64() * 0.7 - 1e-6);
            prop_assert!(jittered <= wait.as_secs_f64() * 1.3 + 1e-6);
        }

        #[test]
        fn a_derived_roll_is_another_one_and_always_the_same(bits: u128, salt: u64) {
            let roll = RandomBits::new(bits);
            prop_assert_eq!(roll.derive(salt), roll.derive(salt));
            prop_assert_ne!(roll.derive(salt), roll.derive(salt.wrapping_add(1)));
        }
    }
}
