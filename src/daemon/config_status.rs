//! What is noted and told of the config: which one is in force, that one was not taken, and why.
//!
//! A store that cannot write just now keeps nobody from going on: what it would not take yet waits
//! here, and is written as soon as it can be.

use crate::config::settings::Settings;
use crate::config::snapshot::ConfigSnapshot;
use crate::daemon::context::DaemonContext;
use crate::daemon::error::DaemonError;
use crate::daemon::poller::poll::{log_condition, log_write_failed, log_write_recovered};
use crate::daemon::ports::Clock;
use crate::daemon::wiring::WiredPlan;
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{Recovery, StoreError};
use crate::text::sanitize::sanitize_line;

/// What was noted and told, and what waits to be.
#[derive(Debug)]
pub(super) struct ConfigStatus {
    /// Since when it has been told that a config is not taken.
    rejected_since: Option<Timestamp>,
    /// Whether it waits to be noted which settings are in force.
    active: bool,
    /// Why the config is not taken, while that waits to be noted.
    reason: Option<String>,
    /// What waits to be told.
    unreported: Option<(Phase, Timestamp, Option<String>)>,
}

impl ConfigStatus {
    /// Begins with what was told before this process.
    pub(super) const fn new(rejected_since: Option<Timestamp>) -> Self {
        Self { rejected_since, active: false, reason: None, unreported: None }
    }

    /// Notes that the settings are in force, for whoever asks what is watched or what a reload
    /// would change; and tells that the config is good again, if it was told that it was not.
    pub(super) async fn on_applied<C: Clock>(
        &mut self,
        context: &DaemonContext<C>,
        config: &WiredPlan,
        settings: &Settings,
    ) -> Result<(), DaemonError> {
        self.save_active(context, settings).await?;
        self.reason = None;
        if matches!(self.unreported.take(), Some((Phase::Started, ..))) {
            // Nobody was told that it was bad, so nobody needs to know that it is good.
            return Ok(());
        }
        match self.rejected_since {
            Some(since) => self.publish(context, config, (Phase::Resolved, since, None)).await,
            None => Ok(()),
        }
    }

    /// Tells, once, that the config was read again and not taken; a later reason is noted for
    /// whoever looks, and not told anew.
    pub(super) async fn on_rejected<C: Clock>(
        &mut self,
        context: &DaemonContext<C>,
        config: &WiredPlan,
        reason: &str,
    ) -> Result<(), DaemonError> {
        let reason = sanitize_line(reason, REASON_CHARS_MAX);
        if self.rejected_since.is_some() {
            // It was told to begin; that it ended may wait to be told, and is no longer so.
            self.unreported = None;
            return self.save_reason(context, reason).await;
        }
        if let Some((Phase::Started, _, unreported)) = &mut self.unreported {
            *unreported = Some(reason);
            return Ok(());
        }
        self.publish(context, config, (Phase::Started, context.clock.now(), Some(reason))).await
    }

    /// Notes and tells what could not be written when it was to be.
    pub(super) async fn retry<C: Clock>(
        &mut self,
        context: &DaemonContext<C>,
        config: &WiredPlan,
        settings: &Settings,
    ) -> Result<(), DaemonError> {
        if self.active {
            self.save_active(context, settings).await?;
        }
        if let Some(reason) = self.reason.take() {
            self.save_reason(context, reason).await?;
        }
        match self.unreported.take() {
            Some(unreported) => self.publish(context, config, unreported).await,
            None => Ok(()),
        }
    }

    async fn save_active<C: Clock>(
        &mut self,
        context: &DaemonContext<C>,
        settings: &Settings,
    ) -> Result<(), DaemonError> {
        let noted = context.store.save_active_config(ConfigSnapshot::of(settings).to_text()).await;
        self.active = noted.is_err();
        tolerate_busy(context, noted)
    }

    async fn save_reason<C: Clock>(
        &mut self,
        context: &DaemonContext<C>,
        reason: String,
    ) -> Result<(), DaemonError> {
        let noted = context.store.set_rejected_reason(reason.clone()).await;
        self.reason = noted.is_err().then_some(reason);
        tolerate_busy(context, noted)
    }

    async fn publish<C: Clock>(
        &mut self,
        context: &DaemonContext<C>,
        config: &WiredPlan,
        (phase, since, reason): (Phase, Timestamp, Option<String>),
    ) -> Result<(), DaemonError> {
        let (now, random) = (context.clock.now(), context.rng.next_bits());
        let unreported = Some((phase, since, reason.clone()));
        let condition =
            Condition { phase, started_at: since, subject: ConditionSubject::Config, reason };
        let event = Event {
            id: EventId::mint(now, random),
            kind: EventKind::ConfigRejected,
            occurred_at: now,
            subject: Subject::Condition(Box::new(condition)),
        };
        let new_event = config.new_event(event.clone(), None, now, random.derive(1));
        let written = context.store.publish(vec![new_event], now).await;
        if written.is_ok() {
            log_condition(&event);
            self.rejected_since = (phase == Phase::Started).then_some(since);
            context.wakeup.notify();
        } else {
            self.unreported = unreported;
        }
        tolerate_busy(context, written)
    }
}

/// A store that cannot write just now keeps nobody from going on.
fn tolerate_busy<C: Clock>(
    context: &DaemonContext<C>,
    written: Result<(), StoreError>,
) -> Result<(), DaemonError> {
    match written {
        Err(failure) if failure.next_step() == Recovery::Retry => {
            log_write_failed(context, NOTES, &failure);
            Ok(())
        }
        result => {
            log_write_recovered(context, NOTES);
            result.map_err(DaemonError::from)
        }
    }
}

/// What the log calls what is noted and told of the config.
const NOTES: &str = "notes of the config";
/// Characters of the reason why a config was not taken that are told.
const REASON_CHARS_MAX: usize = 2_000;
