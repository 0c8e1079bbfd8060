//! What brings looks forward: a hint from outside, a key that works again.
//!
//! What always holds: a nudge says nothing about an avatar and writes nothing; at most it costs
//! one look an avatar and second.

use std::time::Duration;

use crate::daemon::admission::folded;
use crate::daemon::poller::Poller;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::moment::Moment;
use crate::domain::trouble::TroubleKind;
use crate::domain::watch::Watch;

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// A hint makes a watched avatar due now, but not more often than once a second. It says
    /// nothing, and changes nothing else.
    pub(super) fn take_hint(&mut self, id: &AvatarId) {
        let Some(id) = self.folded.get(&folded(id)).cloned() else { return };
        if self.unwritten.contains_key(&id) {
            return;
        }
        self.hinted.insert(id.clone());
        if self.idle.contains_key(&id) {
            self.hasten_hinted(&id);
        }
    }

    pub(super) fn hasten_hinted(&mut self, id: &AvatarId) {
        let now = self.tools.clock.moment();
        let passed = self.asked_at.get(id).map(|asked_at| now.since(*asked_at));
        let wait = passed.map_or(Duration::ZERO, |passed| HINT_WAIT.saturating_sub(passed));
        self.hints_due.hasten(id, now, wait);
    }

    /// Sends a hinted avatar on its way, whatever it is due for besides.
    pub(super) fn follow_hint(&mut self, id: AvatarId, now: Moment) {
        let Some(registration) = self.registered.get(&id) else { return };
        if !self.idle.contains_key(&id) || self.unwritten.contains_key(&id) {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&registration.account) {
            lane.hint(id, now);
        }
    }

    /// Those that were denied with the key look again at once when it works again.
    pub(super) fn hasten_denied(&mut self, account: &AccountName, now: Moment) {
        let denied = |watch: &&Watch| {
            let trouble = watch.trouble.as_ref();
            trouble.is_some_and(|trouble| trouble.kind == TroubleKind::Denied)
        };
        for watch in self.idle.values().filter(denied) {
            let registration = self.registered.get(&watch.id);
            if registration.is_some_and(|registration| registration.account == *account) {
                self.due.hasten(&watch.id, now, Duration::ZERO);
            }
        }
    }
}

/// The least wait between two looks at an avatar that hints bring about.
const HINT_WAIT: Duration = Duration::from_secs(1);
