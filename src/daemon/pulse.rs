//! A few numbers about the loops, for the status line: what they last knew, not what is true; and
//! how far they have come.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::daemon::progress::{Mark, Progress};
use crate::domain::moment::Moment;
use crate::text::plural::counted;

/// The numbers; each loop writes its own.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Registered avatars.
    pub avatars: Gauge,
    /// Avatars that were training when last seen.
    pub training: Gauge,
    /// Avatars that cannot be seen just now.
    pub troubled: Gauge,
    /// Accounts whose keys are used.
    pub keys: Gauge,
    /// Accounts with whose key nothing can be seen.
    pub blind: Gauge,
    /// Accounts whose last look showed nothing.
    pub dark: Gauge,
    /// Accounts whose last look showed something.
    pub seeing: Gauge,
    /// When the next look is due.
    pub next_look_at: Mark,
    /// Tries at deliveries under way.
    pub sending: Gauge,
    /// Deliveries that wait, for whatever; counted every few seconds.
    pub waiting: Gauge,
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
    /// The numbers in words, at `now`.
    pub fn sentence(&self, now: Moment) -> String {
        let mut parts = vec![counted(self.avatars.get(), "avatar")];
        let optional = [
            (&self.training, "training"),
            (&self.troubled, "out of sight"),
            (&self.blind, "blind"),
        ];
        parts.extend(optional.iter().filter_map(|(gauge, words)| gauge.words(words)));
        if let Some(at) = self.next_look_at.get() {
            parts.push(format!("next look in {} s", at.since(now).as_secs()));
        }
        parts.extend(self.sending.words("being told"));
        parts.push(format!("{} waiting", self.waiting.get()));
        parts.push(match (self.seeing.get(), self.dark.get()) {
            (0, 0) => "api not heard yet".to_owned(),
            (_, 0) => "api ok".to_owned(),
            (0, _) => "api shows nothing".to_owned(),
            (_, dark) => format!("api shows nothing to {}", counted(dark, "account")),
        });
        if self.progress.store_failing_since().is_some() {
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
        let pulse = Pulse::default();
        let now = Moment::from_millis(5_000);
        let check = |expected: &str| assert_eq!(pulse.sentence(now), expected);
        check("0 avatars, 0 waiting, api not heard yet");
        pulse.avatars.set(12);
        pulse.training.set(2);
        pulse.next_look_at.set(Some(now.plus(std::time::Duration::from_secs(14))));
        pulse.seeing.set(1);
        check("12 avatars, 2 training, next look in 14 s, 0 waiting, api ok");
        pulse.avatars.set(1);
        pulse.training.set(0);
        pulse.next_look_at.set(None);
        pulse.troubled.set(1);
        pulse.sending.set(3);
        pulse.waiting.set(7);
        pulse.dark.set(1);
        check("1 avatar, 1 out of sight, 3 being told, 7 waiting, api shows nothing to 1 account");
        pulse.seeing.set(0);
        pulse.progress.store_failed(now);
        check(
            "1 avatar, 1 out of sight, 3 being told, 7 waiting, api shows nothing, \
             the database cannot be written",
        );
    }
}
