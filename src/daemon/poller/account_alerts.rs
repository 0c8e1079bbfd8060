//! Reports the state of each account: in the log when its circuit breaker trips, and to operators
//! when `account.unavailable` fires or resolves.

use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::background::log_throttle::{Key, LogThrottle, Resolution};
use crate::daemon::poller::Poller;
use crate::daemon::poller::account_queue::AccountQueue;
use crate::daemon::poller::poll::{log_condition, log_write_failed, log_write_recovered};
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::polling::circuit_breaker::ApiSignal;
use crate::domain::polling::connectivity::{ConnectivityChange, PollSignal};
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Publishes one event for each account that became unavailable or recovered, regardless of how
    /// many avatars it has.
    pub(in crate::daemon) async fn report_connectivity(&mut self) -> Result<(), StoreError> {
        let monotonic = self.context.clock.monotonic();
        let changes: Vec<(AccountName, ConnectivityChange)> = self
            .queues
            .iter()
            .filter_map(|(name, queue)| {
                let unavailable_after = self.config.accounts.get(name)?.unavailable_after;
                let change = queue.connectivity.evaluate(
                    monotonic,
                    queue.breaker.is_unauthorized(),
                    unavailable_after,
                )?;
                Some((name.clone(), change))
            })
            .collect();
        for (name, change) in changes {
            self.tick();
            self.report_account(&name, change).await?;
        }
        Ok(())
    }

    async fn report_account(
        &mut self,
        account: &AccountName,
        change: ConnectivityChange,
    ) -> Result<(), StoreError> {
        let (now, random) = (self.context.clock.now(), self.context.rng.next_bits());
        let (phase, outage, reason) = match &change {
            ConnectivityChange::Lost(outage) => {
                (Phase::Started, outage, Some(outage.reason.clone()))
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
        let new_event = self.config.new_event(event.clone(), None, now, random.derive(1));
        let has_deliveries = !new_event.deliveries.is_empty();
        match self.context.store.publish(vec![new_event], now).await {
            Ok(()) => {
                log_condition(&event);
                log_write_recovered(&self.context, CONNECTIVITY);
                if let Some(queue) = self.queues.get_mut(account) {
                    queue.connectivity.mark_reported(change);
                }
                if has_deliveries {
                    self.context.wakeup.notify();
                }
                self.report();
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
    /// Logs how a response changed the circuit breaker.
    pub(in crate::daemon) fn log_breaker(
        &self,
        throttle: &LogThrottle,
        account: &AccountName,
        poll_signal: &PollSignal,
        now: Monotonic,
    ) {
        let kind = match poll_signal.signal {
            ApiSignal::Unauthorized | ApiSignal::Forbidden { .. }
                if self.breaker.is_unauthorized() =>
            {
                "refused"
            }
            ApiSignal::WrongEndpoint => "misconfigured",
            ApiSignal::Throttled { .. } => "throttled",
            // A reload resets the breaker, so a recovery is logged even if the breaker was not
            // half-open.
            ApiSignal::Success if !self.breaker.is_half_open() => {
                if let Resolution::Logged(emission) =
                    throttle.resolve(&Key::Account(account.clone()), now)
                {
                    info!(
                        account = %account, suppressed = emission.suppressed(),
                        "API accepts the key of account `{account}` again {emission}");
                }
                return;
            }
            ApiSignal::Success
            | ApiSignal::Unauthorized
            | ApiSignal::Forbidden { .. }
            | ApiSignal::NoResponse => return,
        };
        let key = Key::Account(account.clone());
        let Some(emission) = throttle.record(key, kind, now) else { return };
        let suppressed = emission.suppressed();
        let blocked_for = self.breaker.retry_at().map(|until| until.since(now)).unwrap_or_default();
        let wait = humantime::format_duration(Duration::from_secs(blocked_for.as_secs()));
        match poll_signal.signal {
            ApiSignal::WrongEndpoint => {
                let reason = poll_signal.outage.as_ref().map(|(_, reason)| reason.as_str());
                let reason = reason.unwrap_or_default();
                warn!(account = %account, suppressed, "API endpoint for account `{account}` is \
                    misconfigured (redirect or invalid certificate); check `base_url`; next poll \
                    in {wait}: {reason}");
            }
            ApiSignal::Throttled { .. } => {
                warn!(account = %account, suppressed, "API limits the request rate of account \
                    `{account}`; polling is paused for {wait}");
            }
            ApiSignal::Unauthorized
            | ApiSignal::Forbidden { .. }
            | ApiSignal::Success
            | ApiSignal::NoResponse => {
                warn!(account = %account, suppressed, "API refuses the key of account `{account}`; \
                    polling is paused, next poll in {wait}");
            }
        }
    }
}

/// Name of these events in the log.
const CONNECTIVITY: &str = "account events";
