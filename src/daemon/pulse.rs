//! A few numbers about the loops, for the status line: what they last knew, not what is true; and
//! how far they have come.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::daemon::progress::Progress;

/// The numbers; each loop writes its own.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Registered avatars.
    pub avatars: Gauge,
    /// Avatars that were training when last seen.
    pub training: Gauge,
    /// Avatars that cannot be seen just now.
    pub troubled: Gauge,
    /// Accounts with whose key nothing can be seen.
    pub blind: Gauge,
    /// Tries at deliveries under way.
    pub sending: Gauge,
    /// When each loop last turned.
    pub progress: Progress,
}

/// One number.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets the number.
    pub fn set(&self, number: usize) {
        self.0.store(number as u64, Ordering::Relaxed);
    }

    /// Reads the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Pulse {
    /// The numbers in words.
    pub fn sentence(&self) -> String {
        let mut parts = vec![
            format!("{} watched", self.avatars.get()),
            format!("{} training", self.training.get()),
        ];
        let optional = [
            (&self.troubled, "out of sight"),
            (&self.blind, "blind"),
            (&self.sending, "being told"),
        ];
        for (gauge, words) in optional {
            if gauge.get() > 0 {
                parts.push(format!("{} {words}", gauge.get()));
            }
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_there_is_to_say() {
        let pulse = Pulse::default();
        pulse.avatars.set(12);
        pulse.training.set(2);
        assert_eq!(pulse.sentence(), "12 watched, 2 training");
        pulse.troubled.set(1);
        pulse.sending.set(3);
        assert_eq!(pulse.sentence(), "12 watched, 2 training, 1 out of sight, 3 being told");
    }
}
