//! The health of a channel: its state, its circuit breaker, and whether operators are notified.
//! This module decides how each attempt changes it.
//!
//! One accepted message resets the health, except of a disabled channel, which only an operator or
//! a new target enables. Local failures and requested delays never count against a channel. No
//! state drops a delivery.

use std::time::Duration;

use crate::domain::delivery::{
    AT_PROXY, DeliveryState, Outcome, OutcomeClass, RETRY_AFTER_MAX, RetryState, Scope,
};
use crate::domain::random::RandomBits;
use crate::domain::time::time_zone::TimeZone;
use crate::domain::time::timestamp::Timestamp;

/// Whether messages are sent to a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelState {
    /// They are.
    #[default]
    Active,
    /// An operator paused it.
    Paused,
    /// Disabled after permanent failures, until an operator enables it.
    Disabled,
}

impl ChannelState {
    pub(crate) const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Disabled];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What is known of a pause; nothing while the channel is not paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// When it ends on its own; `None` lasts until an operator ends it.
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

impl Pause {
    /// What follows the word `paused`: ` until 2026-12-01 08:00:00 UTC (holiday)`. A pause with a
    /// past end lasts until a daemon runs.
    pub(crate) fn text(&self, zone: &TimeZone, now: Timestamp) -> String {
        let until = match self.until.map(|until| (until, zone.show(until))) {
            Some((until, shown)) if until <= now => {
                format!(" until the daemon runs, since the end of the pause ({shown}) has passed")
            }
            Some((_, shown)) => format!(" until {shown}"),
            None => String::new(),
        };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})"));
        until + &reason.unwrap_or_default()
    }
}

/// The health of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelHealth {
    /// Whether messages are sent to it.
    pub state: ChannelState,
    /// The last failure since a message was accepted, for people.
    pub reason: Option<String>,
    /// The receiver requested no attempts before then.
    pub not_before: Timestamp,
    /// After repeated failures it is only probed: not before then.
    pub probe_at: Timestamp,
    /// Whether it must accept one message before several are sent at a time.
    pub half_open: bool,
    /// The number of previous runs of failures.
    pub failure_run: u64,
    /// The number of deliveries that failed since a message was last accepted.
    pub failed_deliveries: u32,
    /// The first failed attempt since then, whatever the cause.
    pub failure_since: Option<Timestamp>,
    /// The first failure since then that counts against the channel.
    pub counted_since: Option<Timestamp>,
    /// Since when its settings are rejected.
    pub misconfigured_since: Option<Timestamp>,
    /// Since when it is reported as failing.
    pub failing_since: Option<Timestamp>,
    /// The pause, if it is paused.
    pub pause: Pause,
}

/// The result of applying an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthUpdate {
    pub(crate) health: ChannelHealth,
    /// Whether the delivery now counts as failing in this run.
    pub counted: bool,
    /// Whether deliveries that wait for a later attempt are due now.
    pub reschedule_pending: bool,
}

impl ChannelHealth {
    /// The time of the next attempt, as far as the health decides it; `None` while the channel is
    /// not active.
    pub fn ready_at(&self) -> Option<Timestamp> {
        (self.state == ChannelState::Active).then(|| self.not_before.max(self.probe_at))
    }

    /// Whether only the oldest message is sent, one at a time.
    pub const fn is_limited_to_probe(&self) -> bool {
        self.half_open || self.is_tripped()
    }

    /// Whether so many messages failed that the oldest is attempted before it is due. Such an
    /// attempt is not charged.
    pub const fn is_tripped(&self) -> bool {
        self.failed_deliveries >= TRIPS_AT
    }

    /// Applies an attempt. `retry_state` is as the outcome left it; `counted_in` is the run of
    /// failures that it was last counted in.
    #[must_use]
    pub fn after_attempt(
        self,
        outcome: &Outcome,
        retry_state: &RetryState,
        counted_in: Option<u64>,
        now: Timestamp,
        random: RandomBits,
    ) -> HealthUpdate {
        let mut update = match outcome.class {
            // An attempt that was in flight: state and reason stay as they are.
            OutcomeClass::Delivered if self.state == ChannelState::Disabled => {
                HealthUpdate::of(self)
            }
            OutcomeClass::Delivered => self.on_success(now),
            OutcomeClass::Rejected => {
                // It rejects this message only, so the channel works.
                HealthUpdate::of(Self { misconfigured_since: None, ..self })
            }
            // One can be a power failure; more are caused by the message or the channel.
            OutcomeClass::Unknown if retry_state.unknown_streak < UNKNOWNS_COUNTED_FROM => {
                HealthUpdate::of(self.note_failure(outcome, now))
            }
            OutcomeClass::Throttled if outcome.is_sender_refused() => {
                HealthUpdate::of(self.note_failure(outcome, now).report_now(now))
            }
            OutcomeClass::Throttled | OutcomeClass::Local => {
                HealthUpdate::of(self.note_failure(outcome, now))
            }
            OutcomeClass::Retryable | OutcomeClass::Ambiguous | OutcomeClass::Unknown => {
                self.note_failure(outcome, now).count_failure(outcome, retry_state, counted_in, now)
            }
            OutcomeClass::Gone => HealthUpdate::of(Self {
                state: ChannelState::Disabled,
                ..self.note_failure(outcome, now)
            }),
            OutcomeClass::Misconfigured => HealthUpdate::of(
                self.note_failure(outcome, now).on_misconfigured(outcome.scope, now, random),
            ),
        };
        // A probe ignores the schedule of the delivery, and would be repeated at once.
        let is_answered = matches!(outcome.class, OutcomeClass::Delivered | OutcomeClass::Rejected);
        if update.health.is_tripped() && !is_answered {
            update.health.probe_later(now, random);
        }
        update.health.hold_off(outcome, retry_state, now);
        update
    }

    /// The receiver responded, if only about one recipient: it is reachable, and other recipients
    /// are due.
    #[must_use]
    pub fn on_response(self) -> HealthUpdate {
        if self.state == ChannelState::Disabled || !self.is_tripped() {
            return HealthUpdate::of(self);
        }
        let next_run = self.failure_run + 1;
        let health = Self {
            failed_deliveries: 0,
            counted_since: None,
            probe_at: PAST,
            failure_run: next_run,
            ..self
        };
        HealthUpdate { health, counted: false, reschedule_pending: true }
    }

    /// An operator enables the channel: the next message is sent at once, and others only after it
    /// was accepted. A requested delay ends; the receiver can request it again.
    #[must_use]
    pub fn enabled(self) -> Self {
        Self {
            state: ChannelState::Active,
            not_before: PAST,
            probe_at: PAST,
            half_open: true,
            misconfigured_since: None,
            counted_since: None,
            failed_deliveries: 0,
            failure_run: self.failure_run + 1,
            pause: Pause::default(),
            ..self
        }
    }

    /// An operator pauses the channel, or changes the pause.
    #[must_use]
    pub fn paused(self, pause: Pause) -> Self {
        Self { state: ChannelState::Paused, pause, ..self }
    }

    /// The pause ends.
    #[must_use]
    pub fn resumed(self) -> Self {
        Self { state: ChannelState::Active, pause: Pause::default(), ..self }
    }

    fn on_success(self, now: Timestamp) -> HealthUpdate {
        let reschedules = self.is_limited_to_probe() || self.misconfigured_since.is_some();
        let next_run = self.failure_run + u64::from(self.failed_deliveries > 0);
        let Self { state, not_before, reason, pause, .. } = self;
        // The reason of a requested delay is kept until it ends.
        let reason = reason.filter(|_| not_before > now);
        let health =
            Self { state, not_before, reason, pause, failure_run: next_run, ..Self::default() };
        HealthUpdate { health, counted: false, reschedule_pending: reschedules }
    }

    /// An attempt failed. A lasting failure is reported, whatever the cause.
    fn note_failure(mut self, outcome: &Outcome, now: Timestamp) -> Self {
        let since = *self.failure_since.get_or_insert(now);
        self.reason = Some(outcome.summary());
        let reported_after =
            if outcome.phase == AT_PROXY { PROXY_REPORTED_AFTER } else { REPORTED_AFTER };
        if now.since(since) >= reported_after {
            self.failing_since.get_or_insert(since);
        }
        self
    }

    fn count_failure(
        mut self,
        outcome: &Outcome,
        retry_state: &RetryState,
        counted_in: Option<u64>,
        now: Timestamp,
    ) -> HealthUpdate {
        let counted = counted_in != Some(self.failure_run);
        self.failed_deliveries = self.failed_deliveries.saturating_add(u32::from(counted));
        let since = *self.counted_since.get_or_insert(now);
        if self.is_tripped() || retry_state.charged_attempts >= REPORTED_AT_ATTEMPT {
            self.failing_since.get_or_insert(since);
        }
        if now.since(since) >= DISABLED_AFTER {
            self.state = ChannelState::Disabled;
            let days = DISABLED_AFTER.as_secs() / (24 * 60 * 60);
            self.reason = Some(format!("accepted nothing for {days} days: {}", outcome.summary()));
        }
        HealthUpdate { health: self, counted, reschedule_pending: false }
    }

    fn report_now(mut self, now: Timestamp) -> Self {
        self.failing_since.get_or_insert(self.misconfigured_since.unwrap_or(now));
        self
    }

    /// Rejected settings must be fixed here. A rejected sender may be fixed by the receiver, so the
    /// channel is probed.
    fn on_misconfigured(mut self, scope: Scope, now: Timestamp, random: RandomBits) -> Self {
        match scope {
            Scope::Channel => {
                let since = *self.misconfigured_since.get_or_insert(now);
                if now.since(since) >= MISCONFIGURED_DISABLED_AFTER {
                    self.state = ChannelState::Disabled;
                }
            }
            Scope::Sender => {
                let lasts = now.since(self.failure_since.unwrap_or(now));
                let wait = lasts.clamp(REFUSED_PROBE_MIN, REFUSED_PROBE_MAX);
                self.half_open = true;
                self.probe_at = now.plus(random.jitter(wait, PROBE_JITTER));
            }
            Scope::Recipient | Scope::SenderOrRecipient => {}
        }
        self.report_now(now)
    }

    fn probe_later(&mut self, now: Timestamp, random: RandomBits) {
        let since = self.counted_since.unwrap_or(now);
        let wait = now.since(since).clamp(PROBE_MIN, PROBE_MAX);
        self.probe_at = now.plus(random.jitter(wait, PROBE_JITTER));
    }

    /// Holds off the whole channel for the requested delay, and briefly after a local failure,
    /// which its other messages would have as well. A server that defers one recipient (`45x` of
    /// SMTP) requests nothing for others.
    fn hold_off(&mut self, outcome: &Outcome, retry_state: &RetryState, now: Timestamp) {
        if let Some(requested) = outcome.retry_after {
            self.not_before = self.not_before.max(now.plus(requested.min(RETRY_AFTER_MAX)));
        }
        let is_about_one = outcome.is_about_recipient() || matches!(outcome.code, Some(450..=452));
        if let DeliveryState::Pending { next_attempt_at } = &retry_state.state
            && outcome.class == OutcomeClass::Throttled
            && !is_about_one
        {
            self.not_before = self.not_before.max(*next_attempt_at);
        }
        if outcome.class == OutcomeClass::Local {
            self.not_before = self.not_before.max(now.plus(LOCAL_HOLD));
        }
    }
}

impl HealthUpdate {
    const fn of(health: ChannelHealth) -> Self {
        Self { health, counted: false, reschedule_pending: false }
    }
}

/// Earlier than any event.
const PAST: Timestamp = Timestamp::from_millis(0);
/// The number of consecutive failing deliveries after which the channel is only probed.
const TRIPS_AT: u32 = 3;
/// The probe interval equals the time since the first failure: short after a brief failure, one
/// hour at most.
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_hours(1);
const PROBE_JITTER: f64 = 0.1;
/// The probe interval while the sender is rejected.
const REFUSED_PROBE_MIN: Duration = Duration::from_secs(60);
const REFUSED_PROBE_MAX: Duration = Duration::from_secs(15 * 60);
/// A delivery with this many failed attempts is reported, even if it is the only one.
const REPORTED_AT_ATTEMPT: u32 = 4;
const REPORTED_AFTER: Duration = Duration::from_hours(1);
/// The number of consecutive unknown outcomes after which a delivery counts as failing.
const UNKNOWNS_COUNTED_FROM: u32 = 2;
/// A failing channel that accepted nothing for this long is disabled.
const DISABLED_AFTER: Duration = Duration::from_hours(5 * 24);
/// Rejected settings disable the channel after this time, which is longer than a change of a
/// password takes.
const MISCONFIGURED_DISABLED_AFTER: Duration = Duration::from_hours(1);
/// Without a network, a long queue would otherwise keep a core busy with attempts.
const LOCAL_HOLD: Duration = Duration::from_secs(5);
/// A proxy is local infrastructure, so its failures are reported sooner.
const PROXY_REPORTED_AFTER: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
#[path = "channel_health_tests.rs"]
mod tests;
