//! The names of requests: one for each poll and each try, by which all lines of the log about it
//! are found. They are sent nowhere: to a receiver a repeat is the same message, and is known by
//! its event's id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::random::RandomBits;

/// Gives names that no other request has, in this process or another; clones share the count.
#[derive(Clone, Debug)]
pub struct RequestIds {
    process: String,
    last: Arc<AtomicU64>,
}

impl RequestIds {
    /// Names that begin as `roll` says.
    pub fn new(random: RandomBits) -> Self {
        let process = format!("{:08x}", random.bits() >> (u128::BITS - PROCESS_BITS));
        Self { process, last: Arc::default() }
    }

    /// The next name.
    pub fn next(&self) -> String {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}-{number:x}", self.process)
    }
}

/// Bits that tell the process from others.
const PROCESS_BITS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_have_the_same_name() {
        let ids = RequestIds::new(RandomBits::new(0x1234_5678 << 96));
        assert_eq!([ids.next(), ids.clone().next()], ["12345678-1", "12345678-2"]);
        assert_eq!(RequestIds::new(RandomBits::new(7)).next(), "00000000-1");
    }
}
