//! Request ids: one for each poll and each attempt, as a field of its log lines. They are not sent;
//! a receiver recognizes a repeat by the event id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::random::RandomBits;

/// Generates unique ids; clones share the counter.
#[derive(Clone, Debug)]
pub struct RequestIds {
    process: String,
    last: Arc<AtomicU64>,
}

impl RequestIds {
    /// Creates a generator with a random prefix.
    pub fn new(random: RandomBits) -> Self {
        let process = format!("{:08x}", random.bits() >> (u128::BITS - PROCESS_BITS));
        Self { process, last: Arc::default() }
    }

    pub(crate) fn next(&self) -> String {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}-{number:x}", self.process)
    }
}

/// Bits of the random prefix.
const PROCESS_BITS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_unique() {
        let ids = RequestIds::new(RandomBits::new(0x1234_5678 << 96));
        assert_eq!([ids.next(), ids.clone().next()], ["12345678-1", "12345678-2"]);
        assert_eq!(RequestIds::new(RandomBits::new(7)).next(), "00000000-1");
    }
}
