//! A few numbers about the loops, for the status line: what they last knew, not what is true; and
//! how far they have come.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::daemon::background::liveness::{AtomicMonotonic, Liveness};
use crate::domain::time::monotonic::Monotonic;
use crate::text::plural::counted;

/// The numbers; each loop writes its own.
#[derive(Debug, Default)]
pub struct DaemonStats {
    /// Registered avatars.
    pub avatars: Gauge,
    /// Avatars that were training when last seen.
    pub training: Gauge,
    /// Avatars that cannot be seen just now.
    pub failing: Gauge,
    /// Accounts whose keys are used.
    pub accounts: Gauge,
    /// Accounts with whose key nothing can be seen.
    pub accounts_unavailable: Gauge,
    /// Accounts whose last look showed nothing.
    pub accounts_failing: Gauge,
    /// Accounts whose last look showed something.
    pub accounts_ok: Gauge,
    /// When the next look is due.
    pub next_poll_at: AtomicMonotonic,
    /// Tries at deliveries under way.
    pub sending: Gauge,
    /// Deliveries that wait, for whatever; counted every few seconds.
    pub pending: Gauge,
    /// When each loop last turned.
    pub liveness: Liveness,
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

impl DaemonStats {
    /// The numbers in words, at `now`.
    pub fn status_line(&self, now: Monotonic) -> String {
        let mut parts = vec![counted(self.avatars.get(), "avatar")];
        let optional = [
            (&self.training, "training"),
            (&self.failing, "out of sight"),
            (&self.accounts_unavailable, "blind"),
        ];
        parts.extend(optional.iter().filter_map(|(gauge, words)| gauge.words(words)));
        if let Some(at) = self.next_poll_at.get() {
            parts.push(format!("next look in {} s", at.since(now).as_secs()));
        }
        parts.extend(self.sending.words("being told"));
        parts.push(format!("{} waiting", self.pending.get()));
        parts.push(match (self.accounts_ok.get(), self.accounts_failing.get()) {
            (0, 0) => "api not heard yet".to_owned(),
            (_, 0) => "api ok".to_owned(),
            (0, _) => "api shows nothing".to_owned(),
            (_, dark) => format!("api shows nothing to {}", counted(dark, "account")),
        });
        if self.liveness.store_failing_since().is_some() {
            parts.push("the database cannot be written".to_owned());
        }
        parts.join(", ")
    }
}

impl Gauge {
    fn words(&self, words: &str) -> Option<String> {
        Some(self.get()).filter(|number| *number > 0).map(|number| format!("{number} {words}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_there_is_to_say() {
        let stats = DaemonStats::default();
        let now = Monotonic::from_millis(5_000);
        let check = |expected: &str| assert_eq!(stats.status_line(now), expected);
        check("0 avatars, 0 waiting, api not heard yet");
        stats.avatars.set(12);
        stats.training.set(2);
        stats.next_poll_at.set(Some(now.plus(std::time::Duration::from_secs(14))));
        stats.accounts_ok.set(1);
        check("12 avatars, 2 training, next look in 14 s, 0 waiting, api ok");
        stats.avatars.set(1);
        stats.training.set(0);
        stats.next_poll_at.set(None);
        stats.failing.set(1);
        stats.sending.set(3);
        stats.pending.set(7);
        stats.accounts_failing.set(1);
        check("1 avatar, 1 out of sight, 3 being told, 7 waiting, api shows nothing to 1 account");
        stats.accounts_ok.set(0);
        stats.liveness.store_failed(now);
        check(
            "1 avatar, 1 out of sight, 3 being told, 7 waiting, api shows nothing, \
             the database cannot be written",
        );
    }
}
