//! What is noted and told of the config: which one is in force, that one was not taken, and why.
//!
//! A store that cannot write just now keeps nobody from going on: what it would not take yet waits
//! here, and is written as soon as it can be.

use crate::config::settings::Settings;
use crate::config::snapshot::Snapshot;
use crate::daemon::error::DaemonError;
use crate::daemon::look::{Tools, log_condition, not_written, written_again};
use crate::daemon::ports::Clock;
use crate::daemon::wiring::WiredPlan;
use crate::domain::condition::{About, Condition, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::foreign_text::one_line;
use crate::domain::id::EventId;
use crate::domain::timestamp::Timestamp;
use crate::store::error::{NextStep, StoreError};

/// What was noted and told, and what waits to be.
#[derive(Debug)]
pub(super) struct ConfigNotes {
    /// Since when it has been told that a config is not taken.
    rejected_since: Option<Timestamp>,
    /// Whether it waits to be noted which settings are in force.
    in_force: bool,
    /// Why the config is not taken, while that waits to be noted.
    reason: Option<String>,
    /// What waits to be told.
    untold: Option<(Phase, Timestamp, Option<String>)>,
}

impl ConfigNotes {
    /// Begins with what was told before this process.
    pub(super) const fn new(rejected_since: Option<Timestamp>) -> Self {
        Self { rejected_since, in_force: false, reason: None, untold: None }
    }

    /// Notes that the settings are in force, for whoever asks what is watched or what a reload
    /// would change; and tells that the config is good again, if it was told that it was not.
    pub(super) async fn taken<C: Clock>(
        &mut self,
        tools: &Tools<C>,
        plan: &WiredPlan,
        settings: &Settings,
    ) -> Result<(), DaemonError> {
        self.note_in_force(tools, settings).await?;
        self.reason = None;
        if matches!(self.untold.take(), Some((Phase::Begun, ..))) {
            // Nobody was told that it was bad, so nobody needs to know that it is good.
            return Ok(());
        }
        match self.rejected_since {
            Some(since) => self.tell(tools, plan, (Phase::Ended, since, None)).await,
            None => Ok(()),
        }
    }

    /// Tells, once, that the config was read again and not taken; a later reason is noted for
    /// whoever looks, and not told anew.
    pub(super) async fn refused<C: Clock>(
        &mut self,
        tools: &Tools<C>,
        plan: &WiredPlan,
        reason: &str,
    ) -> Result<(), DaemonError> {
        let reason = one_line(reason, REASON_CHARS_MAX);
        if self.rejected_since.is_some() {
            // It was told to begin; that it ended may wait to be told, and is no longer so.
            self.untold = None;
            return self.note_reason(tools, reason).await;
        }
        if let Some((Phase::Begun, _, untold)) = &mut self.untold {
            *untold = Some(reason);
            return Ok(());
        }
        self.tell(tools, plan, (Phase::Begun, tools.clock.now(), Some(reason))).await
    }

    /// Notes and tells what could not be written when it was to be.
    pub(super) async fn catch_up<C: Clock>(
        &mut self,
        tools: &Tools<C>,
        plan: &WiredPlan,
        settings: &Settings,
    ) -> Result<(), DaemonError> {
        if self.in_force {
            self.note_in_force(tools, settings).await?;
        }
        if let Some(reason) = self.reason.take() {
            self.note_reason(tools, reason).await?;
        }
        match self.untold.take() {
            Some(untold) => self.tell(tools, plan, untold).await,
            None => Ok(()),
        }
    }

    async fn note_in_force<C: Clock>(
        &mut self,
        tools: &Tools<C>,
        settings: &Settings,
    ) -> Result<(), DaemonError> {
        let noted = tools.store.set_in_force(Snapshot::of(settings).to_text()).await;
        self.in_force = noted.is_err();
        bear(tools, noted)
    }

    async fn note_reason<C: Clock>(
        &mut self,
        tools: &Tools<C>,
        reason: String,
    ) -> Result<(), DaemonError> {
        let noted = tools.store.set_rejected_reason(reason.clone()).await;
        self.reason = noted.is_err().then_some(reason);
        bear(tools, noted)
    }

    async fn tell<C: Clock>(
        &mut self,
        tools: &Tools<C>,
        plan: &WiredPlan,
        (phase, since, reason): (Phase, Timestamp, Option<String>),
    ) -> Result<(), DaemonError> {
        let (now, roll) = (tools.clock.now(), tools.chance.roll());
        let untold = Some((phase, since, reason.clone()));
        let condition = Condition { phase, since, about: About::Config, reason };
        let event = Event {
            id: EventId::mint(now, roll),
            kind: EventKind::ConfigRejected,
            occurred_at: now,
            subject: Subject::Condition(Box::new(condition)),
        };
        let told = plan.announcement(event.clone(), None, now, roll.derive(1));
        let written = tools.store.announce(vec![told], now).await;
        if written.is_ok() {
            log_condition(&event);
            self.rejected_since = (phase == Phase::Begun).then_some(since);
            tools.bell.ring();
        } else {
            self.untold = untold;
        }
        bear(tools, written)
    }
}

/// A store that cannot write just now keeps nobody from going on.
fn bear<C: Clock>(tools: &Tools<C>, written: Result<(), StoreError>) -> Result<(), DaemonError> {
    match written {
        Err(failure) if failure.next_step() == NextStep::Retry => {
            not_written(tools, NOTES, &failure);
            Ok(())
        }
        result => {
            written_again(tools, NOTES);
            result.map_err(DaemonError::from)
        }
    }
}

/// What the log calls what is noted and told of the config.
const NOTES: &str = "notes of the config";
/// Characters of the reason why a config was not taken that are told.
const REASON_CHARS_MAX: usize = 2_000;
