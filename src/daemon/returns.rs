//! What the poller does with what its tasks come back with.
//!
//! What always holds: an avatar whose look broke off is taken from the disk again, and what the
//! disk would not take is kept until it does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::select;
use tokio::task::{Id, JoinError};
use tracing::{Instrument as _, error};

use crate::daemon::errand::{Errand, Returned};
use crate::daemon::look::{CHANGES, Looked, not_written};
use crate::daemon::poller::Poller;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::key_gate::Welcome;
use crate::domain::moment::Moment;
use crate::domain::vision::Glimpse;
use crate::domain::watch::Watch;
use crate::store::error::{NextStep, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    pub(super) fn release(&mut self, account: &AccountName) {
        if let Some(lane) = self.lanes.get_mut(account) {
            lane.busy = lane.busy.saturating_sub(1);
        }
    }

    /// Takes up what a task came back with.
    pub(super) async fn take_back(
        &mut self,
        done: Result<(Id, Returned), JoinError>,
    ) -> Result<(), StoreError> {
        let task = match &done {
            Ok((task, _)) => *task,
            Err(failed) => failed.id(),
        };
        let Some(errand) = self.errands.remove(&task) else { return Ok(()) };
        let span = errand.span.clone();
        self.take_up(done, errand).instrument(span).await
    }

    async fn take_up(
        &mut self,
        done: Result<(Id, Returned), JoinError>,
        errand: Errand,
    ) -> Result<(), StoreError> {
        let Errand { avatar, account, stale, .. } = errand;
        if let Some(account) = &account {
            self.release(account);
        }
        match (done, avatar, account) {
            (Ok((_, Returned::Looked(looked))), _, account) => {
                self.settle(*looked, account.as_ref()).await
            }
            (Ok((_, Returned::Listed(..))), _, Some(account)) if stale.load(Ordering::Relaxed) => {
                // Whoever waits for a list waits for the next.
                let now = self.tools.clock.moment();
                self.lanes.get_mut(&account).into_iter().for_each(|lane| lane.roster.end(now));
                Ok(())
            }
            (Ok((_, Returned::Listed(listing, asked_at))), _, Some(account)) => {
                self.take_listing(&account, listing, asked_at).await
            }
            (Ok((_, Returned::Recalled(Ok(watches)))), ..) => {
                for watch in watches {
                    self.keep(watch, self.tools.clock.moment(), Some(Duration::ZERO));
                }
                Ok(())
            }
            (Ok((_, Returned::Recalled(Err(failure)))), Some(id), _)
                if failure.next_step() == NextStep::Retry =>
            {
                self.recall(id);
                Ok(())
            }
            (Ok((_, Returned::Recalled(Err(failure)))), ..) => Err(failure),
            (Ok((_, Returned::Listed(..) | Returned::CutOff)), ..) => Ok(()),
            (Err(_), Some(id), _) => {
                error!(avatar.id = %id, "a look at avatar `{id}` broke off: this is a bug");
                self.recall(id);
                Ok(())
            }
            (Err(_), None, account) => {
                error!("a list of avatars broke off: this is a bug");
                let now = self.tools.clock.moment();
                let lane = account.and_then(|account| self.lanes.get_mut(&account));
                lane.into_iter().for_each(|lane| lane.roster.end(now));
                Ok(())
            }
        }
    }

    /// Takes up a watch that was looked at, or written.
    pub(super) async fn settle(
        &mut self,
        looked: Looked,
        account: Option<&AccountName>,
    ) -> Result<(), StoreError> {
        let now = self.tools.clock.moment();
        let answered = looked.glimpse.as_ref().is_none_or(|it| it.welcome == Welcome::Answered);
        if let (Some(glimpse), Some(account)) = (&looked.glimpse, account) {
            self.notice(account, glimpse);
        }
        if let Some((unwritten, failure)) = looked.unwritten {
            if failure.next_step() == NextStep::GiveUp {
                return Err(failure);
            }
            let id = looked.watch.id.clone();
            not_written(&self.tools, CHANGES, &failure);
            self.unwritten.insert(id.clone(), unwritten);
            self.due.set(id.clone(), now, looked.next_poll_in.unwrap_or_default());
            self.idle.insert(id, looked.watch);
            return Ok(());
        }
        if let Some(training) = &looked.training {
            self.experience.add(training);
        }
        // A pace counts from question to question; a wait after trouble, from the trouble on.
        let begin = if answered { looked.asked_at } else { now };
        self.keep(looked.watch, begin, looked.next_poll_in);
        if looked.changed {
            self.report();
            self.note_checkpoint(now);
        }
        Ok(())
    }

    /// Takes up what an answer says about the key.
    pub(super) fn notice(&mut self, account: &AccountName, glimpse: &Glimpse) {
        let (now, moment) = (self.tools.clock.now(), self.tools.clock.moment());
        let roll = self.tools.chance.roll();
        let Some(lane) = self.lanes.get_mut(account) else { return };
        let was_welcome = !lane.gate.is_on_probation();
        let gate = std::mem::take(&mut lane.gate);
        lane.gate = gate.observe(glimpse.welcome, moment, &self.plan.gate_waits, roll);
        lane.vision.note(glimpse, now, moment);
        if glimpse.dark.is_none() {
            self.tools.sights.answered(account, now, moment);
        }
        let welcome_again = !was_welcome && !lane.gate.is_on_probation();
        lane.log_gate(&self.tools.throttle, account, glimpse, moment);
        if welcome_again {
            self.hasten_denied(account, moment);
        }
    }

    /// Keeps a watch until its next look, that long after `begin`; forgets one that is no longer
    /// registered.
    pub(super) fn keep(&mut self, watch: Watch, begin: Moment, next_poll_in: Option<Duration>) {
        if !self.registered.contains_key(&watch.id) {
            self.forget(&watch.id);
            return;
        }
        let id = watch.id.clone();
        if let Some(wait) = next_poll_in {
            self.due.set(id.clone(), begin, wait);
        }
        self.idle.insert(id.clone(), watch);
        if self.hinted.contains(&id) {
            // The hint came while it was looked at, so that look may have been too early.
            self.hasten_hinted(&id);
        }
    }

    pub(super) fn forget(&mut self, id: &AvatarId) {
        self.idle.remove(id);
        self.due.remove(id);
        self.asked_at.remove(id);
        self.hinted.remove(id);
        self.hints_due.remove(id);
        self.lanes.values_mut().for_each(|lane| lane.remove(id));
    }

    /// Takes an avatar from the disk, of which nothing is left here; after a while, so that a look
    /// that breaks off again and again cannot loop.
    fn recall(&mut self, id: AvatarId) {
        let errand = Errand { avatar: Some(id.clone()), ..Errand::default() };
        let (store, clock) = (self.tools.store.clone(), self.tools.clock.clone());
        let cut = self.cut.clone();
        self.send(errand, async move {
            select! {
                biased;
                () = cut.cancelled() => Returned::CutOff,
                () = clock.sleep_until(clock.moment().plus(BROKEN_WAIT)) => {
                    Returned::Recalled(store.watches(vec![id]).await)
                }
            }
        });
    }
}

/// The wait after a look that broke off by a bug of ours: pushed ahead, so that it cannot loop.
const BROKEN_WAIT: Duration = Duration::from_secs(60);
