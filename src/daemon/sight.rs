//! What the poller says of its own sight: in the log, and to operators when a key sees nothing
//! any more, or sees again.

use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::lane::Lane;
use crate::daemon::log_throttle::{Key, LogThrottle, Resolution};
use crate::daemon::look::{log_condition, not_written, written_again};
use crate::daemon::poller::Poller;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::condition::{About, Condition, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::key_gate::Welcome;
use crate::domain::moment::Moment;
use crate::domain::vision::{Glimpse, Verdict};
use crate::store::error::{NextStep, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Tells of every key that has gone blind, or sees again: one event for each, however many
    /// avatars it has.
    pub(super) async fn tell_sights(&mut self) -> Result<(), StoreError> {
        let moment = self.tools.clock.moment();
        let verdicts: Vec<(AccountName, Verdict)> = self
            .lanes
            .iter()
            .filter_map(|(name, lane)| {
                let blind_after = self.plan.accounts.get(name)?.blind_after;
                let verdict = lane.vision.judge(moment, lane.gate.is_refused(), blind_after)?;
                Some((name.clone(), verdict))
            })
            .collect();
        for (name, verdict) in verdicts {
            self.note_turn();
            self.tell_sight(&name, verdict).await?;
        }
        Ok(())
    }

    async fn tell_sight(
        &mut self,
        account: &AccountName,
        verdict: Verdict,
    ) -> Result<(), StoreError> {
        let (now, roll) = (self.tools.clock.now(), self.tools.chance.roll());
        let (phase, blindness, reason) = match &verdict {
            Verdict::Blind(blindness) => (Phase::Begun, blindness, Some(blindness.reason.clone())),
            Verdict::Sees(blindness) => (Phase::Ended, blindness, None),
        };
        let about = About::Account { name: account.clone(), cause: blindness.cause };
        let condition = Condition { phase, since: blindness.since, about, reason };
        let event = Event {
            id: EventId::mint(now, roll),
            kind: EventKind::WatchBlind,
            occurred_at: now,
            subject: Subject::Condition(Box::new(condition)),
        };
        let told = self.plan.announcement(event.clone(), None, now, roll.derive(1));
        let rings = !told.deliveries.is_empty();
        match self.tools.store.announce(vec![told], now).await {
            Ok(()) => {
                log_condition(&event);
                written_again(&self.tools, SIGHTS);
                if let Some(lane) = self.lanes.get_mut(account) {
                    lane.vision.told(verdict);
                }
                if rings {
                    self.tools.bell.ring();
                }
                self.report();
                Ok(())
            }
            Err(failure) if failure.next_step() == NextStep::Retry => {
                not_written(&self.tools, SIGHTS, &failure);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

impl<C: Clock> Lane<C> {
    /// Says what an answer did to the gate.
    pub(super) fn log_gate(
        &self,
        throttle: &LogThrottle,
        account: &AccountName,
        glimpse: &Glimpse,
        now: Moment,
    ) {
        let kind = match glimpse.welcome {
            Welcome::Refused | Welcome::Forbidden { .. } if self.gate.is_refused() => "refused",
            Welcome::Astray => "astray",
            Welcome::Throttled { .. } => "throttled",
            // A reload makes any key welcome, so that it was is no reason to say nothing.
            Welcome::Answered if !self.gate.is_on_probation() => {
                if let Resolution::Logged(said) =
                    throttle.resolve(&Key::Account(account.clone()), now)
                {
                    info!(
                        account = %account, suppressed = said.suppressed(),
                        "the API accepts the key of account `{account}` again, {said}");
                }
                return;
            }
            Welcome::Answered
            | Welcome::Refused
            | Welcome::Forbidden { .. }
            | Welcome::NoAnswer => return,
        };
        let key = Key::Account(account.clone());
        let Some(said) = throttle.record(key, kind, now) else { return };
        let suppressed = said.suppressed();
        let closed_for = self.gate.opens_at().map(|until| until.since(now)).unwrap_or_default();
        let wait = humantime::format_duration(Duration::from_secs(closed_for.as_secs()));
        match glimpse.welcome {
            Welcome::Astray => {
                let reason = glimpse.dark.as_ref().map(|(_, reason)| reason.as_str());
                let reason = reason.unwrap_or_default();
                warn!(account = %account, suppressed, "the way to the API is wrong for account \
                    `{account}`: all its looks wait, the next is in {wait}: {reason}");
            }
            Welcome::Throttled { .. } => {
                warn!(account = %account, suppressed, "the API asks account `{account}` for fewer \
                    requests: all its looks wait for {wait}");
            }
            Welcome::Refused
            | Welcome::Forbidden { .. }
            | Welcome::Answered
            | Welcome::NoAnswer => {
                warn!(account = %account, suppressed, "the API refuses the key of account \
                    `{account}`: all its looks wait, the next is in {wait}");
            }
        }
    }
}

/// What the log calls the events of keys that are blind, or see again.
const SIGHTS: &str = "events of keys that are blind or see again";
