//! The dispatcher: takes due deliveries from the table and makes one try at each.
//!
//! What always holds: a try is claimed on disk before it begins, and its end is on disk before
//! the next one of its line begins; a slow channel holds up no other; whatever is under way
//! when the process dies is found again by the next one.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::daemon::feed::Happening;
use crate::daemon::look::Tools;
use crate::daemon::plan::{Outlet, Plan};
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::pulse::Pulse;
use crate::daemon::stop::Stop;
use crate::domain::channel::ChannelName;
use crate::domain::delivery::DeliveryState;
use crate::domain::moment::Moment;
use crate::domain::retry::RetrySchedule;
use crate::domain::timestamp::Timestamp;
use crate::notify::channels::Parcel;
use crate::store::error::{NextStep, StoreError};
use crate::store::outbox::{Claim, Claimed, Settlement};
use crate::store::recovery::unknown_outcome;

/// The loop's state.
#[derive(Debug)]
pub struct Dispatcher<S, N, C: Clock> {
    tools: Tools<C>,
    pulse: Arc<Pulse>,
    plan: Arc<Plan<S, N>>,
    busy: HashMap<ChannelName, usize>,
    in_flight: JoinSet<(ChannelName, Result<(), StoreError>)>,
    /// Both clocks when the table was last looked at; they part when the wall's is set.
    looked_at: Option<(Timestamp, Moment)>,
}

impl<S: Send + Sync + 'static, N: Notifier, C: Clock> Dispatcher<S, N, C> {
    /// A dispatcher with nothing under way.
    pub fn new(tools: Tools<C>, pulse: Arc<Pulse>, plan: Arc<Plan<S, N>>) -> Self {
        let (busy, in_flight) = (HashMap::new(), JoinSet::new());
        Self { tools, pulse, plan, busy, in_flight, looked_at: None }
    }

    /// Delivers until told to stop; follows new plans.
    ///
    /// # Errors
    /// When the store fails for good.
    pub async fn run(
        mut self,
        mut plans: watch::Receiver<Arc<Plan<S, N>>>,
        mut stop: Stop,
    ) -> Result<(), StoreError> {
        loop {
            let wake_at = self.launch().await?;
            let (clock, bell) = (self.tools.clock.clone(), self.tools.bell.clone());
            select! {
                biased;
                () = stop.soft() => break,
                Ok(()) = plans.changed() => self.plan = plans.borrow_and_update().clone(),
                Some(done) = self.in_flight.join_next() => self.take_back(done)?,
                () = bell.heard() => {}
                () = clock.sleep_until(wake_at) => {}
            }
            while let Some(done) = self.in_flight.try_join_next() {
                self.take_back(done)?;
            }
        }
        self.drain(stop).await
    }

    /// Claims what is due and begins a try at each; the moment to look at the table again,
    /// unless something happens before.
    async fn launch(&mut self) -> Result<Moment, StoreError> {
        let (now, moment) = (self.tools.clock.now(), self.tools.clock.moment());
        let glance_at = moment.plus(GLANCE);
        if self.clock_was_set_back(now, moment) {
            return match self.tools.store.hasten_after_set_back(now).await {
                Ok(_) => {
                    self.looked_at = Some((now, moment));
                    // Back at once, for what is due now.
                    Ok(moment)
                }
                Err(failure) => self.wait_for_store(failure, moment),
            };
        }
        self.looked_at = Some((now, moment));
        let slots = self.slots();
        if slots.is_empty() {
            return Ok(glance_at);
        }
        let claim = Claim { slots, now, lease_until: now.plus(LEASE) };
        let claims = match self.tools.store.claim(claim).await {
            Ok(claims) => claims,
            Err(failure) => return self.wait_for_store(failure, moment),
        };
        for claimed in claims.claimed {
            self.begin(claimed);
        }
        self.pulse.sending.set(self.in_flight.len());
        let next_due_at = claims.next_due_at.map(|due_at| moment.plus(due_at.since(now)));
        Ok(next_due_at.map_or(glance_at, |due_at| due_at.min(glance_at)))
    }

    /// Whether the wall clock lost time on the steady one since the last look, or may have before
    /// the first.
    fn clock_was_set_back(&self, now: Timestamp, moment: Moment) -> bool {
        self.looked_at
            .is_none_or(|(then, before)| now.plus(SET_BACK_MIN) < then.plus(moment.since(before)))
    }

    /// When to try again after a failure of the store that can pass.
    fn wait_for_store(&self, failure: StoreError, now: Moment) -> Result<Moment, StoreError> {
        if failure.next_step() == NextStep::GiveUp {
            return Err(failure);
        }
        warn!("deliveries wait because the store does: {failure}");
        Ok(now.plus(STORE_WAIT))
    }

    /// The room that each channel has.
    fn slots(&self) -> Vec<(ChannelName, usize)> {
        self.plan
            .outlets
            .keys()
            .map(|name| {
                let busy = self.busy.get(name).copied().unwrap_or(0);
                (name.clone(), CHANNEL_CONCURRENCY.saturating_sub(busy))
            })
            .filter(|(_, room)| *room > 0)
            .collect()
    }

    fn begin(&mut self, claimed: Claimed) {
        let Some(outlet) = self.plan.outlets.get(&claimed.channel) else { return };
        let Outlet { notifier, schedule, .. } = outlet;
        let channel = claimed.channel.clone();
        *self.busy.entry(channel.clone()).or_default() += 1;
        let task = try_once(self.tools.clone(), Arc::clone(notifier), schedule.clone(), claimed);
        self.in_flight.spawn(async move { (channel, task.await) });
    }

    fn take_back(
        &mut self,
        done: Result<(ChannelName, Result<(), StoreError>), tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        match done {
            Ok((channel, result)) => {
                if let Some(busy) = self.busy.get_mut(&channel) {
                    *busy = busy.saturating_sub(1);
                }
                result
            }
            // A try catches its own panics; what is left is being cut off, at the end.
            Err(_) => Ok(()),
        }
    }

    /// Lets the tries under way end, for a while; those that do not are found again by the next
    /// process, with the same id and bytes.
    async fn drain(mut self, mut stop: Stop) -> Result<(), StoreError> {
        let clock = self.tools.clock.clone();
        let limit = clock.moment().plus(DRAIN);
        if !self.in_flight.is_empty() {
            info!(count = self.in_flight.len(), "waiting for the deliveries under way");
        }
        loop {
            select! {
                biased;
                done = self.in_flight.join_next() => match done {
                    Some(done) => self.take_back(done)?,
                    None => break,
                },
                () = stop.hard() => break,
                () = clock.sleep_until(limit) => break,
            }
        }
        self.in_flight.shutdown().await;
        Ok(())
    }
}

/// One try: send, judge, write down the end.
async fn try_once<N: Notifier, C: Clock>(
    tools: Tools<C>,
    notifier: Arc<N>,
    schedule: RetrySchedule,
    mut claimed: Claimed,
) -> Result<(), StoreError> {
    let parcel = Parcel {
        delivery_id: claimed.id.clone(),
        event_id: claimed.event_id.clone(),
        recipient: std::mem::take(&mut claimed.recipient),
        content_type: std::mem::take(&mut claimed.content_type),
        body: std::mem::take(&mut claimed.body),
    };
    let begun = tools.clock.moment();
    let sending = notifier.deliver(&parcel, tools.clock.now());
    let outcome = AssertUnwindSafe(sending).catch_unwind().await.unwrap_or_else(|_| {
        error!(delivery.id = %claimed.id, "a try at a delivery broke off: this is a bug");
        unknown_outcome()
    });
    let finished_at = tools.clock.now();
    let latency = tools.clock.moment().since(begun);
    let delivery =
        claimed.delivery.clone().settle(&outcome, finished_at, &schedule, tools.chance.roll());
    let settlement = Settlement {
        id: claimed.id.clone(),
        attempt: claimed.attempt,
        delivery,
        outcome,
        finished_at,
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
    };
    record(&tools, &settlement).await?;
    log_try(&claimed, &settlement);
    tools.feed.tell(|| Happening::Tried {
        event_id: claimed.event_id,
        avatar_id: claimed.avatar_id,
        channel: claimed.channel,
        attempt: claimed.attempt,
        outcome: settlement.outcome,
        state: settlement.delivery.state,
    });
    Ok(())
}

/// Writes down the end of a try, however long the disk takes: if we die before, it is sent
/// again.
async fn record<C: Clock>(tools: &Tools<C>, settlement: &Settlement) -> Result<(), StoreError> {
    loop {
        match tools.store.settle(settlement.clone()).await {
            Ok(true) => return Ok(()),
            Ok(false) => {
                warn!(delivery.id = %settlement.id, "the end of a try came too late to count");
                return Ok(());
            }
            Err(failure) if failure.next_step() == NextStep::Retry => {
                let id = &settlement.id;
                warn!(delivery.id = %id, "the end of a try is not written yet: {failure}");
                tools.clock.sleep_until(tools.clock.moment().plus(STORE_WAIT)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn log_try(claimed: &Claimed, settlement: &Settlement) {
    let Claimed { id, event_id, channel, avatar_id, attempt, .. } = claimed;
    let said = settlement.outcome.said();
    match &settlement.delivery.state {
        DeliveryState::Delivered => info!(
            delivery.id = %id, event.id = %event_id, channel = %channel, avatar.id = %avatar_id,
            attempt, latency_ms = settlement.latency_ms, "told `{channel}` of `{avatar_id}`"
        ),
        DeliveryState::Pending { next_attempt_at } => warn!(
            delivery.id = %id, event.id = %event_id, channel = %channel, avatar.id = %avatar_id,
            attempt, "`{channel}` did not take it: {said}; next try at {next_attempt_at}"
        ),
        DeliveryState::Failed { reason } => error!(
            delivery.id = %id, event.id = %event_id, channel = %channel, avatar.id = %avatar_id,
            attempt, "given up telling `{channel}` of `{avatar_id}`: {reason}; \
                      `avatar-watch deliveries retry {id}` sends it again"
        ),
        DeliveryState::Sending | DeliveryState::Cancelled => {
            debug!(delivery.id = %id, "a try ended in an odd state");
        }
    }
}

/// Tries under way at once in one channel; they are of different avatars or recipients.
const CHANNEL_CONCURRENCY: usize = 8;
/// The table is looked at this often even if nobody rings: a hand may have changed it.
const GLANCE: Duration = Duration::from_secs(2);
/// No try lasts as long as this; mail has the longest limit, of six minutes.
const LEASE: Duration = Duration::from_secs(390);
/// The wait after the store was busy or full.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// Clocks are set back by less than this all the time, and waits may last as much longer.
const SET_BACK_MIN: Duration = Duration::from_secs(30);
/// How long tries under way may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(20);
