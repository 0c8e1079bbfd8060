//! Expedites polls: after a hint, and when an API key works again.
//!
//! A hint carries no status and writes nothing. It causes at most one poll per avatar and second.

use std::time::Duration;

use crate::daemon::poller::Poller;
use crate::daemon::poller::enrollment::normalized_id;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Makes a watched avatar due now, at most once per [`HINT_INTERVAL_MIN`].
    pub(in crate::daemon) fn on_hint(&mut self, id: &AvatarId) {
        let Some(id) = self.by_normalized_id.get(&normalized_id(id)).cloned() else { return };
        if self.pending_writes.contains_key(&id) {
            return;
        }
        self.hinted.insert(id.clone());
        if self.idle.contains_key(&id) {
            self.expedite_hinted(&id);
        }
    }

    pub(in crate::daemon) fn expedite_hinted(&mut self, id: &AvatarId) {
        let now = self.context.clock.monotonic();
        let passed = self.asked_at.get(id).map(|asked_at| now.since(*asked_at));
        let wait = passed.map_or(Duration::ZERO, |passed| HINT_INTERVAL_MIN.saturating_sub(passed));
        self.hint_schedule.expedite(id, now, wait);
    }

    /// Enqueues a hinted avatar, in addition to its scheduled polls.
    pub(in crate::daemon) fn follow_hint(&mut self, id: AvatarId, now: Monotonic) {
        let Some(watched_avatar) = self.watched.get(&id) else { return };
        if !self.idle.contains_key(&id) || self.pending_writes.contains_key(&id) {
            return;
        }
        if let Some(queue) = self.queues.get_mut(&watched_avatar.account) {
            queue.hint(id, now);
        }
    }

    /// Makes avatars that were denied with the account's key due now.
    pub(in crate::daemon) fn expedite_denied(&mut self, account: &AccountName, now: Monotonic) {
        let denied = |watch: &&Watch| {
            let failure = watch.failure.as_ref();
            failure.is_some_and(|failure| failure.kind == FailureKind::Denied)
        };
        for watch in self.idle.values().filter(denied) {
            let watched_avatar = self.watched.get(&watch.id);
            if watched_avatar.is_some_and(|watched_avatar| watched_avatar.account == *account) {
                self.schedule.expedite(&watch.id, now, Duration::ZERO);
            }
        }
    }
}

/// Minimum interval between two polls of one avatar caused by hints.
const HINT_INTERVAL_MIN: Duration = Duration::from_secs(1);
