//! Handles results of the poller's tasks.
//!
//! An avatar is reloaded from the store after a panic of its task. A result that the store cannot
//! accept yet is kept until it can.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::select;
use tokio::task::JoinError;
use tracing::{Instrument as _, error};

use crate::daemon::logging::log::log_write_failed;
use crate::daemon::poller::Poller;
use crate::daemon::poller::failure_log;
use crate::daemon::poller::poll::{CHANGES, PollResult};
use crate::daemon::poller::task::{DoneTask, TaskInfo, TaskResult};
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::account_availability::AccountSignal;
use crate::domain::polling::circuit_breaker::KeySignal;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{Recovery, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Ends a request in flight of an account.
    pub(in crate::daemon) fn release_slot(&mut self, account: &AccountName) {
        if let Some(queue) = self.queues.get_mut(account) {
            queue.in_flight = queue.in_flight.saturating_sub(1);
        }
    }

    /// Handles the result of a task.
    pub(in crate::daemon) async fn on_task_done(
        &mut self,
        (info, result): DoneTask,
    ) -> Result<(), StoreError> {
        let span = info.span.clone();
        self.handle_result(result, info).instrument(span).await
    }

    async fn handle_result(
        &mut self,
        result: Result<TaskResult, JoinError>,
        info: TaskInfo,
    ) -> Result<(), StoreError> {
        let TaskInfo { avatar, account, stale, .. } = info;
        if let Some(account) = &account {
            self.release_slot(account);
        }
        match (result, avatar, account) {
            (Ok(TaskResult::Polled(polled)), _, account) => {
                self.on_poll_result(*polled, account.as_ref()).await
            }
            (Ok(TaskResult::Listed(..)), _, Some(account)) if stale.load(Ordering::Relaxed) => {
                // The list is discarded; the avatars wait for the next one.
                self.end_list(&account);
                Ok(())
            }
            (Ok(TaskResult::Listed(listing, asked_at)), _, Some(account)) => {
                self.apply_list(&account, listing, asked_at).await
            }
            (Ok(TaskResult::Reloaded(Ok(watches))), ..) => {
                for watch in watches {
                    self.reschedule(watch, self.context.clock.monotonic(), Some(Duration::ZERO));
                }
                Ok(())
            }
            (Ok(TaskResult::Reloaded(Err(failure))), Some(id), _)
                if failure.next_step() == Recovery::Retry =>
            {
                self.reload_watch(id);
                Ok(())
            }
            (Ok(TaskResult::Reloaded(Err(failure))), ..) => Err(failure),
            (Ok(TaskResult::Listed(..) | TaskResult::Cancelled), ..) => Ok(()),
            (Err(_), Some(id), _) => {
                error!(avatar.id = %id, "polling avatar `{id}` panicked: this is a bug");
                self.reload_watch(id);
                Ok(())
            }
            (Err(_), None, account) => {
                error!("a list poll panicked: this is a bug");
                if let Some(account) = account {
                    self.end_list(&account);
                }
                Ok(())
            }
        }
    }

    fn end_list(&mut self, account: &AccountName) {
        let now = self.context.clock.monotonic();
        if let Some(queue) = self.queues.get_mut(account) {
            queue.list.end(now);
        }
    }

    /// Applies the result of a poll or of a write.
    pub(in crate::daemon) async fn on_poll_result(
        &mut self,
        polled: PollResult,
        account: Option<&AccountName>,
    ) -> Result<(), StoreError> {
        let now = self.context.clock.monotonic();
        let answered = polled.signal.as_ref().is_none_or(|it| it.key == KeySignal::Success);
        if let (Some(account_signal), Some(account)) = (&polled.signal, account) {
            self.record_signal(account, account_signal);
        }
        if let Some((pending, failure)) = polled.pending_write {
            if failure.next_step() == Recovery::Fail {
                return Err(failure);
            }
            log_write_failed(&self.context, CHANGES, &failure);
            let wait = polled.next_poll_in.unwrap_or_default();
            self.idle.add_pending(polled.watch, pending, now, wait);
            return Ok(());
        }
        if let Some(transition) = &polled.transition {
            self.forecasts.add(transition);
        }
        // Intervals count from request to request; a backoff counts from the failure.
        let begin = if answered { polled.asked_at } else { now };
        self.reschedule(polled.watch, begin, polled.next_poll_in);
        if polled.changed {
            self.update_gauges();
            self.checkpoint_if_due(now);
        }
        Ok(())
    }

    /// Updates the circuit breaker and the connectivity of an account from a response.
    pub(in crate::daemon) fn record_signal(
        &mut self,
        account: &AccountName,
        account_signal: &AccountSignal,
    ) {
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        let random = self.context.rng.next_bits();
        let Some(queue) = self.queues.get_mut(account) else { return };
        let was_tripped = queue.breaker.is_tripped();
        let breaker = std::mem::take(&mut queue.breaker);
        queue.breaker =
            breaker.observe(account_signal.key, monotonic, &self.config.breaker_backoff, random);
        let ended_outage = queue.connectivity.record(account_signal, now, monotonic);
        if account_signal.outage.is_none() {
            self.context.last_seen.record_success(account, now, monotonic);
        }
        let recovered = was_tripped && !queue.breaker.is_tripped();
        queue.log_breaker(&self.context.throttle, account, account_signal, monotonic);
        if recovered {
            self.expedite_denied(account, monotonic);
        }
        if let Some(since) = ended_outage {
            self.expedite_failed(account, since, monotonic);
        }
    }

    /// Makes the avatars due that failed in an outage of the account since `since`. One that fails
    /// alone keeps its backoff.
    fn expedite_failed(&mut self, account: &AccountName, since: Timestamp, now: Monotonic) {
        let failed = |watch: &&Watch| {
            watch.streak.polls > 0
                && watch.streak.missing == 0
                && watch.streak.since.is_some_and(|start| start >= since)
        };
        let ours = |id: &&AvatarId| self.watched.get(id).is_some_and(|it| it.account == *account);
        let failed = self.idle.watches().filter(failed).map(|watch| &watch.id).filter(ours);
        let failed: Vec<AvatarId> = failed.cloned().collect();
        if failed.len() > 1 {
            for id in &failed {
                self.idle.expedite(id, now, Duration::ZERO);
                self.note_next_poll(id);
            }
        }
    }

    /// Makes avatars that were denied with the account's key due now.
    fn expedite_denied(&mut self, account: &AccountName, now: Monotonic) {
        let denied = |watch: &&Watch| {
            watch.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Denied)
        };
        let ours = |id: &&AvatarId| self.watched.get(id).is_some_and(|it| it.account == *account);
        let denied = self.idle.watches().filter(denied).map(|watch| &watch.id).filter(ours);
        let denied: Vec<AvatarId> = denied.cloned().collect();
        denied.iter().for_each(|id| self.idle.expedite(id, now, Duration::ZERO));
    }

    /// Schedules the next poll `next_poll_in` after `begin`. Forgets an avatar that is no longer
    /// watched.
    pub(in crate::daemon) fn reschedule(
        &mut self,
        watch: Watch,
        begin: Monotonic,
        next_poll_in: Option<Duration>,
    ) {
        if !self.watched.contains(&watch.id) {
            self.forget(&watch.id);
            return;
        }
        let id = watch.id.clone();
        self.idle.add(watch, begin, next_poll_in);
        self.note_next_poll(&id);
        // A hint during the poll needs another one: the first may have been too early.
        self.hinted.expedite(&id, self.context.clock.monotonic());
    }

    /// Reports to the status page when an avatar is polled next.
    pub(in crate::daemon) fn note_next_poll(&self, id: &AvatarId) {
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        let next_poll_at = self.idle.due_at(id).map(|at| now.plus(at.since(monotonic)));
        self.context.last_seen.set_next_poll(id, next_poll_at);
    }

    pub(in crate::daemon) fn forget(&mut self, id: &AvatarId) {
        self.idle.remove(id);
        self.hinted.remove(id);
        self.context.last_seen.set_next_poll(id, None);
        failure_log::forget(&self.context, id);
        self.queues.values_mut().for_each(|queue| queue.remove(id));
    }

    /// Reloads an avatar from the store after a task panicked. Delayed by [`PANIC_DELAY`], so that
    /// repeated panics cannot form a busy loop.
    fn reload_watch(&mut self, id: AvatarId) {
        let task_info = TaskInfo { avatar: Some(id.clone()), ..TaskInfo::default() };
        let (store, clock) = (self.context.store.clone(), self.context.clock.clone());
        let cancel = self.cancel.clone();
        self.tasks.spawn(task_info, async move {
            select! {
                biased;
                () = cancel.cancelled() => TaskResult::Cancelled,
                () = clock.sleep_until(clock.monotonic().plus(PANIC_DELAY)) => {
                    TaskResult::Reloaded(store.watches(vec![id]).await)
                }
            }
        });
    }
}

/// Delay before an avatar is reloaded after a panic.
const PANIC_DELAY: Duration = Duration::from_secs(60);
