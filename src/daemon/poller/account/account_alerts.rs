//! Reports the state of each account: in the log when its circuit breaker trips, and to operators
//! when `account.unavailable` fires or resolves.

use tracing::{info, warn};

use crate::daemon::logging::log::{log_write_failed, log_write_recovered};
use crate::daemon::logging::log_throttle::{Key, LogThrottle, Resolution};
use crate::daemon::poller::Poller;
use crate::daemon::poller::account::account_queue::AccountQueue;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::publish::publish;
use crate::domain::account::AccountName;
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::polling::account_availability::{AccountSignal, ConnectivityChange};
use crate::domain::polling::circuit_breaker::KeySignal;
use crate::domain::time::humanize::humanize;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Publishes one event for each account that became unavailable or recovered, regardless of how
    /// many avatars it has.
    pub(in crate::daemon) async fn publish_account_events(&mut self) -> Result<(), StoreError> {
        let monotonic = self.context.clock.monotonic();
        let changes: Vec<(AccountName, ConnectivityChange)> = self
            .queues
            .iter()
            .filter_map(|(name, queue)| {
                let unavailable_after = self.config.accounts.get(name)?.unavailable_after;
                let change = queue.connectivity.evaluate(
                    monotonic,
                    queue.breaker.is_blocked(),
                    unavailable_after,
                )?;
                Some((name.clone(), change))
            })
            .collect();
        for (name, change) in changes {
            self.tick();
            self.publish_account_event(&name, change).await?;
        }
        Ok(())
    }

    async fn publish_account_event(
        &mut self,
        account: &AccountName,
        change: ConnectivityChange,
    ) -> Result<(), StoreError> {
        let (now, random) = (self.context.clock.now(), self.context.rng.next_bits());
        let (phase, outage, reason) = match &change {
            ConnectivityChange::Lost(outage) => {
                (Phase::Firing, outage, Some(outage.reason.clone()))
            }
            ConnectivityChange::Restored(outage) => (Phase::Resolved, outage, None),
        };
        let subject = ConditionSubject::Account { name: account.clone(), cause: outage.cause };
        let condition = Condition { phase, started_at: outage.since, subject, reason };
        let event = Event {
            id: EventId::mint(now, random),
            kind: EventKind::AccountUnavailable,
            occurred_at: now,
            subject: Subject::Condition(Box::new(condition)),
        };
        let new_event = self.config.new_event(event, &[], now, random.derive(1));
        match publish(&self.context, vec![new_event], now).await {
            Ok(()) => {
                log_write_recovered(&self.context, CONNECTIVITY);
                if let Some(queue) = self.queues.get_mut(account) {
                    queue.connectivity.mark_reported(change);
                }
                self.update_gauges();
                Ok(())
            }
            Err(failure) if failure.next_step() == Recovery::Retry => {
                log_write_failed(&self.context, CONNECTIVITY, &failure);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

impl<C: Clock> AccountQueue<C> {
    /// Logs what a response changed about the circuit breaker, which it was applied to before.
    pub(in crate::daemon) fn log_breaker(
        &self,
        throttle: &LogThrottle,
        account: &AccountName,
        signal: &AccountSignal,
        now: Monotonic,
    ) {
        let key = Key::Account(account.clone());
        let (kind, problem) = match signal.key {
            KeySignal::Unauthorized | KeySignal::Forbidden { .. } if self.breaker.is_blocked() => {
                ("refused", "refuses the key".to_owned())
            }
            KeySignal::WrongEndpoint => {
                let reason = signal.outage.as_ref().map(|(_, reason)| reason.as_str());
                let reason = reason.unwrap_or_default();
                let text =
                    format!("is not at `base_url` (redirect or invalid certificate: {reason})");
                ("misconfigured", text)
            }
            KeySignal::Throttled { .. } => ("throttled", "limits the request rate".to_owned()),
            // A reload resets the breaker, so this may be its first response and still a recovery.
            KeySignal::Success if !self.breaker.is_tripped() => {
                if let Resolution::Logged(emission) = throttle.resolve(&key, now) {
                    info!(
                        account = %account, suppressed = emission.suppressed(),
                        "polling with account `{account}` is no longer paused {emission}");
                }
                return;
            }
            KeySignal::Success
            | KeySignal::Unauthorized
            | KeySignal::Forbidden { .. }
            | KeySignal::NoResponse => return,
        };
        let Some(emission) = throttle.record(key, kind, now) else { return };
        let blocked_for = self.breaker.retry_at().map(|until| until.since(now)).unwrap_or_default();
        let wait = humanize(blocked_for);
        warn!(
            account = %account, suppressed = emission.suppressed(),
            "API {problem}; polling with account `{account}` is paused for {wait}"
        );
    }
}

/// Name of the events `account.unavailable` in the log.
const CONNECTIVITY: &str = "account events";
