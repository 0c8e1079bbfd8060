//! Hinted avatars, and when each is polled because of its hint.
//!
//! A hint carries no status and writes nothing. It causes at most one poll per avatar and second.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::daemon::poller::schedule::Schedule;
use crate::domain::avatar::AvatarId;
use crate::domain::time::monotonic::Monotonic;

/// Hints that were not followed by a poll yet, and when each avatar was last polled singly.
#[derive(Debug, Default)]
pub(in crate::daemon) struct HintedAvatars {
    pending: HashSet<AvatarId>,
    schedule: Schedule,
    polled_at: HashMap<AvatarId, Monotonic>,
}

impl HintedAvatars {
    /// Records a hint.
    pub(in crate::daemon) fn add(&mut self, id: AvatarId) {
        self.pending.insert(id);
    }

    /// Makes a hinted avatar due now, at most once per [`HINT_INTERVAL_MIN`].
    pub(in crate::daemon) fn expedite(&mut self, id: &AvatarId, now: Monotonic) {
        if !self.pending.contains(id) {
            return;
        }
        let passed = self.polled_at.get(id).map(|polled_at| now.since(*polled_at));
        let wait = passed.map_or(Duration::ZERO, |passed| HINT_INTERVAL_MIN.saturating_sub(passed));
        self.schedule.expedite(id, now, wait);
    }

    /// Removes and returns the avatars that are due.
    pub(in crate::daemon) fn take_due(&mut self, now: Monotonic) -> Vec<AvatarId> {
        self.schedule.take_due(now)
    }

    /// When the first avatar is due.
    pub(in crate::daemon) fn next_due_at(&self) -> Option<Monotonic> {
        self.schedule.next_due_at()
    }

    /// Records the start of a poll, which satisfies the hints so far.
    pub(in crate::daemon) fn on_poll(&mut self, id: &AvatarId, now: Monotonic) {
        self.pending.remove(id);
        self.schedule.remove(id);
        self.polled_at.insert(id.clone(), now);
    }

    /// Whether a single poll of the avatar started at or after `at`.
    pub(in crate::daemon) fn polled_since(&self, id: &AvatarId, at: Monotonic) -> bool {
        self.polled_at.get(id).is_some_and(|polled_at| *polled_at >= at)
    }

    pub(in crate::daemon) fn remove(&mut self, id: &AvatarId) {
        self.pending.remove(id);
        self.schedule.remove(id);
        self.polled_at.remove(id);
    }
}

/// Minimum interval between two polls of one avatar caused by hints.
const HINT_INTERVAL_MIN: Duration = Duration::from_secs(1);
