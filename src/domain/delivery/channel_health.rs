//! How a channel is doing: whether it may be told, how carefully, and whether operators have to
//! know. What each end of a try does to that is decided here.
//!
//! What always holds: one message that is taken makes all well, but for a channel that is
//! disabled, which only a human or another target ends; what is our own fault, or asked for
//! politely, never counts against a channel; nothing is dropped, whatever the state.

use std::time::Duration;

use crate::domain::delivery::DeliveryState;
use crate::domain::delivery::{Delivery, Outcome, OutcomeClass, RETRY_AFTER_MAX, Scope};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// Whether a channel is told at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelState {
    /// It is.
    #[default]
    Active,
    /// A human said: not now.
    Paused,
    /// It takes nothing any more; a human has to look.
    Disabled,
}

impl ChannelState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Disabled];

    /// The word in rows and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// The state of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How a channel is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelHealth {
    /// Whether it is told at all.
    pub state: ChannelState,
    /// What went wrong last since a message was taken, for people.
    pub reason: Option<String>,
    /// The other side asked to be left alone until then.
    pub not_before: Timestamp,
    /// After so many failures it is tried once in a while only: not before then.
    pub probe_at: Timestamp,
    /// Whether it has to take one message before more than one at a time are sent.
    pub half_open: bool,
    /// How many runs of failures there were before this one.
    pub failure_run: u64,
    /// The deliveries that failed since a message was last taken, each once.
    pub failing: u32,
    /// The first try since then that did not get through, whoever's fault it was.
    pub failure_since: Option<Timestamp>,
    /// The first failure since then.
    pub first_failure_at: Option<Timestamp>,
    /// Since when its settings are refused.
    pub misconfigured_since: Option<Timestamp>,
    /// Since when operators have to know.
    pub failing_since: Option<Timestamp>,
}

/// What the end of a try changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthUpdate {
    /// How the channel is doing now.
    pub health: ChannelHealth,
    /// Whether the delivery counts as failing in this run from now on.
    pub counted: bool,
    /// Whether what waits for a later try need not wait any longer.
    pub reschedule_pending: bool,
}

impl Default for ChannelHealth {
    fn default() -> Self {
        Self {
            state: ChannelState::Active,
            reason: None,
            not_before: PAST,
            probe_at: PAST,
            half_open: false,
            failure_run: 0,
            failing: 0,
            failure_since: None,
            first_failure_at: None,
            misconfigured_since: None,
            failing_since: None,
        }
    }
}

impl ChannelHealth {
    /// When the channel may be tried next, as far as its health goes; `None` while it is not
    /// active.
    pub fn ready_at(&self) -> Option<Timestamp> {
        (self.state == ChannelState::Active).then(|| self.not_before.max(self.probe_at))
    }

    /// Whether only one message at a time is sent, the oldest.
    pub const fn is_limited_to_probe(&self) -> bool {
        self.half_open || self.is_tripped()
    }

    /// Whether so many messages failed that the oldest is tried even when it is not due: what is
    /// not due by its own schedule spends no try by that.
    pub const fn is_tripped(&self) -> bool {
        self.failing >= TRIPS_AT
    }

    /// What the end of a try does. `delivery` is as the outcome left it; `counted_in` is the run
    /// of failures that it was last counted in.
    #[must_use]
    pub fn after(
        self,
        outcome: &Outcome,
        delivery: &Delivery,
        counted_in: Option<u64>,
        now: Timestamp,
        roll: RandomBits,
    ) -> HealthUpdate {
        let mut effect = match outcome.class {
            // A try that had begun before: what disabled it stands, and so does the reason.
            OutcomeClass::Delivered if self.state == ChannelState::Disabled => {
                HealthUpdate::of(self)
            }
            OutcomeClass::Delivered => self.on_success(now),
            OutcomeClass::Rejected => {
                // It reads what it is sent, and so is well; it was this message that was not.
                HealthUpdate::of(Self { misconfigured_since: None, ..self })
            }
            // Once may be a power cut; again is the message, or the channel.
            OutcomeClass::Unknown if delivery.unknowns < UNKNOWNS_COUNTED_FROM => {
                HealthUpdate::of(self.on_problem(outcome, now))
            }
            OutcomeClass::Throttled if outcome.is_sender_refused() => {
                HealthUpdate::of(self.on_problem(outcome, now).report_now(now))
            }
            OutcomeClass::Throttled | OutcomeClass::Local => {
                HealthUpdate::of(self.on_problem(outcome, now))
            }
            OutcomeClass::Retryable | OutcomeClass::Ambiguous | OutcomeClass::Unknown => {
                self.on_problem(outcome, now).on_failure(outcome, delivery, counted_in, now)
            }
            OutcomeClass::Gone => HealthUpdate::of(Self {
                state: ChannelState::Disabled,
                ..self.on_problem(outcome, now)
            }),
            OutcomeClass::Misconfigured => HealthUpdate::of(
                self.on_problem(outcome, now).on_misconfigured(outcome.scope, now, roll),
            ),
        };
        // What is probed does not wait for its own time, and would be probed again at once.
        let is_answered = matches!(outcome.class, OutcomeClass::Delivered | OutcomeClass::Rejected);
        if effect.health.is_tripped() && !is_answered {
            effect.health.probe_later(now, roll);
        }
        effect.health.pause(outcome, delivery, now);
        effect
    }

    /// The other side answered, if only about one recipient: the channel can be reached, and who
    /// waits for it need not wait for that recipient.
    #[must_use]
    pub fn on_response(self) -> HealthUpdate {
        if self.state == ChannelState::Disabled || !self.is_tripped() {
            return HealthUpdate::of(self);
        }
        let streak = self.failure_run + 1;
        let health = Self {
            failing: 0,
            first_failure_at: None,
            probe_at: PAST,
            failure_run: streak,
            ..self
        };
        HealthUpdate { health, counted: false, reschedule_pending: true }
    }

    /// A human says that it is to be told again: with care, until it has taken a message, and at
    /// once. A wait that it asked for before is over, since the human knows more than it did then;
    /// if it still wants one, it says so to one message.
    #[must_use]
    pub fn enabled(self) -> Self {
        Self {
            state: ChannelState::Active,
            not_before: PAST,
            probe_at: PAST,
            half_open: true,
            misconfigured_since: None,
            first_failure_at: None,
            failing: 0,
            failure_run: self.failure_run + 1,
            ..self
        }
    }

    fn on_success(self, now: Timestamp) -> HealthUpdate {
        let hastens = self.is_limited_to_probe() || self.misconfigured_since.is_some();
        let streak = self.failure_run + u64::from(self.failing > 0);
        let Self { state, not_before, reason, .. } = self;
        // Why it waits stands for as long as it waits, whatever was taken meanwhile.
        let reason = reason.filter(|_| not_before > now);
        let health = Self { state, not_before, reason, failure_run: streak, ..Self::default() };
        HealthUpdate { health, counted: false, reschedule_pending: hastens }
    }

    /// A try did not get through. When that lasts, operators have to know, whoever's fault it is.
    fn on_problem(mut self, outcome: &Outcome, now: Timestamp) -> Self {
        let since = *self.failure_since.get_or_insert(now);
        self.reason = Some(outcome.summary());
        let told_after = if outcome.phase == PROXY { PROXY_REPORTED_AFTER } else { REPORTED_AFTER };
        if now.since(since) >= told_after {
            self.failing_since.get_or_insert(since);
        }
        self
    }

    fn on_failure(
        mut self,
        outcome: &Outcome,
        delivery: &Delivery,
        counted_in: Option<u64>,
        now: Timestamp,
    ) -> HealthUpdate {
        let counted = counted_in != Some(self.failure_run);
        self.failing = self.failing.saturating_add(u32::from(counted));
        let since = *self.first_failure_at.get_or_insert(now);
        let breaks = self.is_tripped();
        if breaks || delivery.attempts_used >= REPORTED_AT_ATTEMPT {
            self.failing_since.get_or_insert(since);
        }
        if now.since(since) >= DISABLED_AFTER {
            self.state = ChannelState::Disabled;
            let days = DISABLED_AFTER.as_secs() / (24 * 60 * 60);
            self.reason = Some(format!("took nothing for {days} days: {}", outcome.summary()));
        }
        HealthUpdate { health: self, counted, reschedule_pending: false }
    }

    fn report_now(mut self, now: Timestamp) -> Self {
        self.failing_since.get_or_insert(self.misconfigured_since.unwrap_or(now));
        self
    }

    /// Settings of ours are refused until somebody mends them here. How the other side judges us
    /// may be mended there, so that is found out with one message at a time.
    fn on_misconfigured(mut self, scope: Scope, now: Timestamp, roll: RandomBits) -> Self {
        match scope {
            Scope::Channel => {
                let since = *self.misconfigured_since.get_or_insert(now);
                if now.since(since) >= FIXED_WITHIN {
                    self.state = ChannelState::Disabled;
                }
            }
            Scope::Standing => {
                let lasts = now.since(self.failure_since.unwrap_or(now));
                let wait = lasts.clamp(REFUSED_PROBE_MIN, REFUSED_PROBE_MAX);
                self.half_open = true;
                self.probe_at = now.plus(roll.jitter(wait, PROBE_JITTER));
            }
            Scope::Recipient | Scope::Unclear => {}
        }
        self.report_now(now)
    }

    fn probe_later(&mut self, now: Timestamp, roll: RandomBits) {
        let since = self.first_failure_at.unwrap_or(now);
        let wait = now.since(since).clamp(PROBE_MIN, PROBE_MAX);
        self.probe_at = now.plus(roll.jitter(wait, PROBE_JITTER));
    }

    /// Leaves the whole channel alone for as long as was asked for. A server that defers one
    /// recipient (`45x` of SMTP) asks nothing for the others.
    fn pause(&mut self, outcome: &Outcome, delivery: &Delivery, now: Timestamp) {
        let asked = outcome.retry_after.map(|wait| now.plus(wait.min(RETRY_AFTER_MAX)));
        let until = match (outcome.class, &delivery.state) {
            (OutcomeClass::Throttled, DeliveryState::Pending { next_attempt_at })
                if !outcome.is_about_recipient() && !matches!(outcome.code, Some(450..=452)) =>
            {
                Some(*next_attempt_at)
            }
            _ => asked,
        };
        if let Some(until) = until.max(asked) {
            self.not_before = self.not_before.max(until);
        }
    }
}

impl HealthUpdate {
    const fn of(health: ChannelHealth) -> Self {
        Self { health, counted: false, reschedule_pending: false }
    }
}

/// Before anything that can happen.
const PAST: Timestamp = Timestamp::from_millis(0);
/// From this many failing deliveries in a row on, the channel is only probed.
const TRIPS_AT: u32 = 3;
/// A channel that fails is probed as long after the last failure as the first one is ago: soon
/// after a hiccup, once an hour when it is dead.
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_hours(1);
const PROBE_JITTER: f64 = 0.1;
/// A channel that is refused for what we are is tried so long after the last refusal.
const REFUSED_PROBE_MIN: Duration = Duration::from_secs(60);
const REFUSED_PROBE_MAX: Duration = Duration::from_secs(15 * 60);
/// A delivery that fails as often as this is told of, even if it is the only one.
const REPORTED_AT_ATTEMPT: u32 = 4;
/// Trouble that lasts as long as this is told of.
const REPORTED_AFTER: Duration = Duration::from_hours(1);
/// From so many deaths in a row on, a delivery counts as failing.
const UNKNOWNS_COUNTED_FROM: u32 = 2;
/// A channel that took nothing for as long as this, while it failed, is disabled.
const DISABLED_AFTER: Duration = Duration::from_hours(5 * 24);
/// Settings that are refused for longer than a change of passwords takes disable the channel.
const FIXED_WITHIN: Duration = Duration::from_hours(1);
/// A proxy is of this site: when it does not let us out, nobody else will tell.
const PROXY_REPORTED_AFTER: Duration = Duration::from_secs(5 * 60);
/// The phase in which a proxy refuses us.
const PROXY: &str = "proxy";

#[cfg(test)]
#[path = "channel_health_tests.rs"]
mod tests;
