//! Statistics of the loops for the status line: the last known values, not exact ones.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::daemon::supervision::liveness::{AtomicMonotonic, Liveness};
use crate::domain::time::monotonic::Monotonic;
use crate::text::plural::counted;

/// Statistics; each loop writes its own.
#[derive(Debug, Default)]
pub struct DaemonStats {
    /// Watched avatars.
    pub avatars: Count,
    /// Avatars with status `TRAINING`.
    pub training: Count,
    /// Avatars with a failed last poll.
    pub failing: Count,
    /// Accounts in use.
    pub accounts: Count,
    /// Accounts for which `account.unavailable` is firing.
    pub accounts_unavailable: Count,
    /// Accounts with a failed last poll.
    pub accounts_failing: Count,
    /// Accounts with a successful last poll.
    pub accounts_ok: Count,
    /// When the next poll is due.
    pub next_poll_at: AtomicMonotonic,
    /// Delivery attempts in flight.
    pub sending: Count,
    /// Pending deliveries; counted every few seconds.
    pub pending: Count,
    /// Liveness of the loops.
    pub liveness: Liveness,
}

/// The number of things in one state.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(crate) fn set(&self, number: usize) {
        self.0.store(number as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn label(&self, label: &str) -> Option<String> {
        Some(self.get()).filter(|number| *number > 0).map(|number| format!("{number} {label}"))
    }
}

impl DaemonStats {
    pub(crate) fn status_line(&self, now: Monotonic) -> String {
        let mut parts = vec![counted(self.avatars.get(), "avatar")];
        let optional = [(&self.training, "training"), (&self.failing, "failing")];
        parts.extend(optional.iter().filter_map(|(count, label)| count.label(label)));
        if let unavailable @ 1.. = self.accounts_unavailable.get() {
            parts.push(format!("{} unavailable", counted(unavailable, "account")));
        }
        if let Some(at) = self.next_poll_at.get() {
            parts.push(format!("next poll in {} s", at.since(now).as_secs()));
        }
        parts.extend(self.sending.label("sending"));
        parts.push(format!("{} pending", self.pending.get()));
        parts.push(match (self.accounts_ok.get(), self.accounts_failing.get()) {
            (0, 0) => "API not polled yet".to_owned(),
            (_, 0) => "API ok".to_owned(),
            (0, _) => "API failing".to_owned(),
            (_, failing) => format!("API failing for {}", counted(failing, "account")),
        });
        if self.liveness.store_failing_since().is_some() {
            parts.push("database not writable".to_owned());
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_names_what_is_not_zero() {
        let stats = DaemonStats::default();
        let now = Monotonic::from_millis(5_000);
        let check = |expected: &str| assert_eq!(stats.status_line(now), expected);
        check("0 avatars, 0 pending, API not polled yet");
        stats.avatars.set(12);
        stats.training.set(2);
        stats.next_poll_at.set(Some(now.plus(std::time::Duration::from_secs(14))));
        stats.accounts_ok.set(1);
        check("12 avatars, 2 training, next poll in 14 s, 0 pending, API ok");
        stats.avatars.set(1);
        stats.training.set(0);
        stats.next_poll_at.set(None);
        stats.failing.set(1);
        stats.sending.set(3);
        stats.pending.set(7);
        stats.accounts_failing.set(1);
        check("1 avatar, 1 failing, 3 sending, 7 pending, API failing for 1 account");
        stats.accounts_ok.set(0);
        stats.liveness.store_failed(now);
        check("1 avatar, 1 failing, 3 sending, 7 pending, API failing, database not writable");
    }
}
