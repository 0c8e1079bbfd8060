//! Tracks whether the current config file is applied: stores the active config, and publishes
//! `config.rejected`.
//!
//! While the store cannot write, the daemon continues; pending writes are kept here and retried.

use std::sync::Arc;

use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::settings::Settings;
use crate::daemon::blocking_work::on_blocking_thread;
use crate::daemon::config::wiring::WiredConfig;
use crate::daemon::context::DaemonContext;
use crate::daemon::error::DaemonError;
use crate::daemon::logging::log::{log_write_failed, log_write_recovered};
use crate::daemon::ports::Clock;
use crate::daemon::publish::publish;
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{Recovery, StoreError};
use crate::text::sanitize::sanitize_line;

/// What was stored and published, and what is pending.
#[derive(Debug)]
pub(in crate::daemon) struct ConfigStatus<C> {
    context: DaemonContext<C>,
    rejected_since: Option<Timestamp>,
    /// Whether saving the active config is pending.
    unsaved_active: bool,
    /// The rejection reason, while saving it is pending.
    reason: Option<String>,
    unreported: Option<(Phase, Timestamp, Option<String>)>,
}

impl<C: Clock> ConfigStatus<C> {
    pub(in crate::daemon) const fn new(
        context: DaemonContext<C>,
        rejected_since: Option<Timestamp>,
    ) -> Self {
        Self { context, rejected_since, unsaved_active: false, reason: None, unreported: None }
    }

    /// Saves the active config, which `status` and reloads compare with, and resolves
    /// `config.rejected` if it is firing.
    pub(in crate::daemon) async fn on_applied(
        &mut self,
        config: &WiredConfig,
        settings: &Arc<Settings>,
    ) -> Result<(), DaemonError> {
        self.save_active(settings).await?;
        self.reason = None;
        if matches!(self.unreported.take(), Some((Phase::Firing, ..))) {
            // `config.rejected` was not published, so there is nothing to resolve.
            return Ok(());
        }
        match self.rejected_since {
            Some(since) => self.publish(config, (Phase::Resolved, since, None)).await,
            None => Ok(()),
        }
    }

    /// Publishes `config.rejected` once; later reasons are only saved.
    pub(in crate::daemon) async fn on_rejected(
        &mut self,
        config: &WiredConfig,
        reason: &str,
    ) -> Result<(), DaemonError> {
        let reason = sanitize_line(reason, REASON_CHARS_MAX);
        if self.rejected_since.is_some() {
            // A pending resolution is obsolete.
            self.unreported = None;
            return self.save_reason(reason).await;
        }
        if let Some((Phase::Firing, _, unreported)) = &mut self.unreported {
            *unreported = Some(reason);
            return Ok(());
        }
        self.publish(config, (Phase::Firing, self.context.clock.now(), Some(reason))).await
    }

    pub(in crate::daemon) async fn retry(
        &mut self,
        config: &WiredConfig,
        settings: &Arc<Settings>,
    ) -> Result<(), DaemonError> {
        if self.unsaved_active {
            self.save_active(settings).await?;
        }
        if let Some(reason) = self.reason.take() {
            self.save_reason(reason).await?;
        }
        match self.unreported.take() {
            Some(unreported) => self.publish(config, unreported).await,
            None => Ok(()),
        }
    }

    async fn save_active(&mut self, settings: &Arc<Settings>) -> Result<(), DaemonError> {
        let settings = Arc::clone(settings);
        let text = on_blocking_thread(move || ConfigSnapshot::text_of(&settings)).await;
        let saved = self.context.store.save_active_config(text).await;
        self.unsaved_active = saved.is_err();
        tolerate_busy(&self.context, saved)
    }

    async fn save_reason(&mut self, reason: String) -> Result<(), DaemonError> {
        let saved = self.context.store.set_rejected_reason(reason.clone()).await;
        self.reason = saved.is_err().then_some(reason);
        tolerate_busy(&self.context, saved)
    }

    async fn publish(
        &mut self,
        config: &WiredConfig,
        (phase, since, reason): (Phase, Timestamp, Option<String>),
    ) -> Result<(), DaemonError> {
        let (now, random) = (self.context.clock.now(), self.context.rng.next_bits());
        let unreported = Some((phase, since, reason.clone()));
        let condition =
            Condition { phase, started_at: since, subject: ConditionSubject::Config, reason };
        let event = Event {
            id: EventId::mint(now, random),
            kind: EventKind::ConfigRejected,
            occurred_at: now,
            subject: Subject::Condition(Box::new(condition)),
        };
        let new_event = config.new_event(event, &[], now, random.derive(1));
        let written = publish(&self.context, vec![new_event], now).await;
        if written.is_ok() {
            self.rejected_since = (phase == Phase::Firing).then_some(since);
        } else {
            self.unreported = unreported;
        }
        tolerate_busy(&self.context, written)
    }
}

/// Logs a transient store failure and continues.
fn tolerate_busy<C: Clock>(
    context: &DaemonContext<C>,
    written: Result<(), StoreError>,
) -> Result<(), DaemonError> {
    match written {
        Err(failure) if failure.next_step() == Recovery::Retry => {
            log_write_failed(context, CONFIG_STATUS, &failure);
            Ok(())
        }
        result => {
            log_write_recovered(context, CONFIG_STATUS);
            result.map_err(DaemonError::from)
        }
    }
}

const CONFIG_STATUS: &str = "the config status";
/// Maximum length of a published rejection reason, in characters.
const REASON_CHARS_MAX: usize = 2_000;
