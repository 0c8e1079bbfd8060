//! How a channel is doing: whether it may be told, how carefully, and whether operators have to
//! know. What each end of a try does to that is decided here.
//!
//! What always holds: one message that is taken makes all well, but for a channel that is
//! disabled, which only a human or another target ends; what is our own fault, or asked for
//! politely, never counts against a channel; nothing is dropped, whatever the state.

use std::time::Duration;

use crate::domain::delivery::DeliveryState;
use crate::domain::delivery::{Delivery, Outcome, OutcomeClass, RETRY_AFTER_MAX, Scope};
use crate::domain::roll::Roll;
use crate::domain::timestamp::Timestamp;

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
pub struct Health {
    /// Whether it is told at all.
    pub state: ChannelState,
    /// What went wrong last since a message was taken, for people.
    pub reason: Option<String>,
    /// The other side asked to be left alone until then.
    pub not_before: Timestamp,
    /// After so many failures it is tried once in a while only: not before then.
    pub probe_at: Timestamp,
    /// Whether it has to take one message before more than one at a time are sent.
    pub unproved: bool,
    /// How many runs of failures there were before this one.
    pub streak: u64,
    /// The deliveries that failed since a message was last taken, each once.
    pub failing: u32,
    /// The first try since then that did not get through, whoever's fault it was.
    pub trouble_since: Option<Timestamp>,
    /// The first failure since then.
    pub first_failure_at: Option<Timestamp>,
    /// Since when its settings are refused.
    pub misconfigured_since: Option<Timestamp>,
    /// Since when operators have to know.
    pub failing_since: Option<Timestamp>,
}

/// What the end of a try changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// How the channel is doing now.
    pub health: Health,
    /// Whether the delivery counts as failing in this run from now on.
    pub counted: bool,
    /// Whether what waits for a later try need not wait any longer.
    pub hastens: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: ChannelState::Active,
            reason: None,
            not_before: LONG_AGO,
            probe_at: LONG_AGO,
            unproved: false,
            streak: 0,
            failing: 0,
            trouble_since: None,
            first_failure_at: None,
            misconfigured_since: None,
            failing_since: None,
        }
    }
}

impl Health {
    /// When the channel may be tried next, as far as its health goes; `None` while it is not
    /// active.
    pub fn ready_at(&self) -> Option<Timestamp> {
        (self.state == ChannelState::Active).then(|| self.not_before.max(self.probe_at))
    }

    /// Whether only one message at a time is sent, the oldest.
    pub const fn is_probed(&self) -> bool {
        self.unproved || self.is_broken()
    }

    /// Whether so many messages failed that the oldest is tried even when it is not due: what is
    /// not due by its own schedule spends no try by that.
    pub const fn is_broken(&self) -> bool {
        self.failing >= BREAKS_AT
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
        roll: Roll,
    ) -> Effect {
        let mut effect = match outcome.class {
            // A try that had begun before: what disabled it stands, and so does the reason.
            OutcomeClass::Delivered if self.state == ChannelState::Disabled => Effect::of(self),
            OutcomeClass::Delivered => self.proved(),
            OutcomeClass::Rejected => {
                // It reads what it is sent, and so is well; it was this message that was not.
                Effect::of(Self { misconfigured_since: None, ..self })
            }
            OutcomeClass::Unknown => Effect::of(self),
            OutcomeClass::Throttled if outcome.is_refusal_of_us() => {
                Effect::of(self.troubled(outcome, now).told_at_once(now))
            }
            OutcomeClass::Throttled | OutcomeClass::Local => {
                Effect::of(self.troubled(outcome, now))
            }
            OutcomeClass::Retryable | OutcomeClass::Ambiguous => {
                self.troubled(outcome, now).failed(outcome, delivery, counted_in, now)
            }
            OutcomeClass::Gone => {
                Effect::of(Self { state: ChannelState::Disabled, ..self.troubled(outcome, now) })
            }
            OutcomeClass::Misconfigured => {
                Effect::of(self.troubled(outcome, now).refused(outcome.scope, now, roll))
            }
        };
        // What is probed does not wait for its own time, and would be probed again at once.
        let is_answered = matches!(outcome.class, OutcomeClass::Delivered | OutcomeClass::Rejected);
        if effect.health.is_broken() && !is_answered {
            effect.health.probe_later(now, roll);
        }
        effect.health.pause(outcome, delivery, now);
        effect
    }

    /// A human says that it is to be told again: with care, until it has taken a message, and at
    /// once. A wait that it asked for before is over, since the human knows more than it did then;
    /// if it still wants one, it says so to one message.
    #[must_use]
    pub fn enabled(self) -> Self {
        Self {
            state: ChannelState::Active,
            not_before: LONG_AGO,
            probe_at: LONG_AGO,
            unproved: true,
            misconfigured_since: None,
            first_failure_at: None,
            failing: 0,
            streak: self.streak + 1,
            ..self
        }
    }

    fn proved(self) -> Effect {
        let hastens = self.is_probed() || self.misconfigured_since.is_some();
        let streak = self.streak + u64::from(self.failing > 0);
        let Self { state, not_before, .. } = self;
        let health = Self { state, not_before, streak, ..Self::default() };
        Effect { health, counted: false, hastens }
    }

    /// A try did not get through. When that lasts, operators have to know, whoever's fault it is.
    fn troubled(mut self, outcome: &Outcome, now: Timestamp) -> Self {
        let since = *self.trouble_since.get_or_insert(now);
        self.reason = Some(outcome.said());
        if now.since(since) >= TOLD_AFTER {
            self.failing_since.get_or_insert(since);
        }
        self
    }

    fn failed(
        mut self,
        outcome: &Outcome,
        delivery: &Delivery,
        counted_in: Option<u64>,
        now: Timestamp,
    ) -> Effect {
        let counted = counted_in != Some(self.streak);
        self.failing = self.failing.saturating_add(u32::from(counted));
        let since = *self.first_failure_at.get_or_insert(now);
        let breaks = self.is_broken();
        if breaks || delivery.budget_used >= TOLD_AT_TRY {
            self.failing_since.get_or_insert(since);
        }
        if now.since(since) >= DISABLED_AFTER {
            self.state = ChannelState::Disabled;
            let days = DISABLED_AFTER.as_secs() / (24 * 60 * 60);
            self.reason = Some(format!("took nothing for {days} days: {}", outcome.said()));
        }
        Effect { health: self, counted, hastens: false }
    }

    fn told_at_once(mut self, now: Timestamp) -> Self {
        self.failing_since.get_or_insert(self.misconfigured_since.unwrap_or(now));
        self
    }

    /// Settings of ours are refused until somebody mends them here. How the other side judges us
    /// may be mended there, so that is found out with one message at a time.
    fn refused(mut self, scope: Scope, now: Timestamp, roll: Roll) -> Self {
        match scope {
            Scope::Channel => {
                let since = *self.misconfigured_since.get_or_insert(now);
                if now.since(since) >= MENDED_WITHIN {
                    self.state = ChannelState::Disabled;
                }
            }
            Scope::Standing => {
                let lasts = now.since(self.trouble_since.unwrap_or(now));
                let wait = lasts.clamp(REFUSED_PROBE_MIN, REFUSED_PROBE_MAX);
                self.unproved = true;
                self.probe_at = now.plus(roll.jitter(wait, PROBE_JITTER));
            }
            Scope::Recipient | Scope::Unclear => {}
        }
        self.told_at_once(now)
    }

    fn probe_later(&mut self, now: Timestamp, roll: Roll) {
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
                if !outcome.is_of_recipient() && !matches!(outcome.code, Some(450..=452)) =>
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

impl Effect {
    const fn of(health: Health) -> Self {
        Self { health, counted: false, hastens: false }
    }
}

/// Before anything that can happen.
const LONG_AGO: Timestamp = Timestamp::from_millis(0);
/// From this many failing deliveries in a row on, the channel is only probed.
const BREAKS_AT: u32 = 3;
/// A channel that fails is probed as long after the last failure as the first one is ago: soon
/// after a hiccup, once an hour when it is dead.
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_hours(1);
const PROBE_JITTER: f64 = 0.1;
/// A channel that is refused for what we are is tried so long after the last refusal.
const REFUSED_PROBE_MIN: Duration = Duration::from_secs(60);
const REFUSED_PROBE_MAX: Duration = Duration::from_secs(15 * 60);
/// A delivery that fails as often as this is told of, even if it is the only one.
const TOLD_AT_TRY: u32 = 4;
/// Trouble that lasts as long as this is told of.
const TOLD_AFTER: Duration = Duration::from_hours(1);
/// A channel that took nothing for as long as this, while it failed, is disabled.
const DISABLED_AFTER: Duration = Duration::from_hours(5 * 24);
/// Settings that are refused for longer than a change of passwords takes disable the channel.
const MENDED_WITHIN: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::retry::Terms;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const HALF: Roll = Roll::new(1 << 127);
    const HOUR: Duration = Duration::from_hours(1);

    /// A delivery that has spent so many tries.
    fn spent(budget_used: u32) -> Delivery {
        Delivery { budget_used, ..Delivery::new(NOW, &Terms::webhook()) }
    }

    fn outcome(class: OutcomeClass) -> Outcome {
        Outcome { error: Some("`h` said no".to_owned()), ..Outcome::new(class, "response") }
    }

    /// The end of the first try at a delivery that was not counted before.
    fn first(health: Health, class: OutcomeClass, now: Timestamp) -> Effect {
        health.after(&outcome(class), &spent(1), None, now, HALF)
    }

    fn broken() -> Health {
        (0..3)
            .fold(Health::default(), |health, _| first(health, OutcomeClass::Retryable, NOW).health)
    }

    #[test]
    fn a_well_channel_stays_as_it_is() {
        let after = first(Health::default(), OutcomeClass::Delivered, NOW);
        assert_eq!(after, Effect { health: Health::default(), counted: false, hastens: false });
    }

    #[test]
    fn three_failing_deliveries_in_a_row_leave_a_probe_and_one_that_is_taken_ends_it() {
        let two =
            (0..2).fold(Health::default(), |h, _| first(h, OutcomeClass::Ambiguous, NOW).health);
        assert!(!two.is_probed() && two.failing_since.is_none());
        let three = first(two, OutcomeClass::Retryable, NOW).health;
        assert!(three.is_probed());
        assert_eq!(three.failing_since, Some(NOW));
        assert_eq!(three.reason.as_deref(), Some("`h` said no"));
        // The longer it fails, the longer are the waits between probes, up to an hour.
        for (ago_s, wait_s) in [(0, 1), (30, 30), (3_599, 3_599), (90_000, 3_600)] {
            let now = NOW.plus(Duration::from_secs(ago_s));
            let probed = first(three.clone(), OutcomeClass::Retryable, now).health;
            assert_eq!(probed.ready_at().unwrap().since(now), Duration::from_secs(wait_s));
        }
        let well = first(three, OutcomeClass::Delivered, NOW);
        assert!(well.hastens);
        assert_eq!(well.health, Health { streak: 1, ..Health::default() });
    }

    #[test]
    fn one_delivery_counts_once_in_a_run_however_often_it_fails() {
        let mut health = Health::default();
        for tries in 1..=3 {
            let counted_in = (tries > 1).then_some(0);
            let effect = health.after(
                &outcome(OutcomeClass::Retryable),
                &spent(tries),
                counted_in,
                NOW,
                HALF,
            );
            assert_eq!(effect.counted, tries == 1);
            health = effect.health;
        }
        assert_eq!((health.failing, health.is_probed()), (1, false));
        assert_eq!(health.failing_since, None);
        let fourth = health.after(&outcome(OutcomeClass::Retryable), &spent(4), Some(0), NOW, HALF);
        assert_eq!(fourth.health.failing_since, Some(NOW), "operators know of it all the same");
        assert!(!fourth.health.is_probed());
    }

    #[test]
    fn a_run_that_ended_counts_no_more() {
        let well = first(broken(), OutcomeClass::Delivered, NOW).health;
        let again = well.after(&outcome(OutcomeClass::Retryable), &spent(2), Some(0), NOW, HALF);
        assert!(again.counted);
        assert_eq!(again.health.failing, 1);
    }

    #[test]
    fn five_days_of_failures_disable_and_a_taken_message_within_them_does_not() {
        let days = |days: u64| NOW.plus(HOUR * u32::try_from(24 * days).unwrap());
        let fail = |health, now| first(health, OutcomeClass::Retryable, now).health;
        let four = fail(fail(Health::default(), NOW), days(4));
        assert_eq!(four.state, ChannelState::Active);
        let taken = first(four.clone(), OutcomeClass::Delivered, days(4)).health;
        assert_eq!(fail(taken, days(6)).state, ChannelState::Active);
        let five = fail(four, days(5));
        assert_eq!((five.state, five.ready_at()), (ChannelState::Disabled, None));
        assert_eq!(five.reason.as_deref(), Some("took nothing for 5 days: `h` said no"));
    }

    #[test]
    fn what_is_our_fault_or_asked_for_counts_for_nothing_but_is_told_of_after_an_hour() {
        for class in [OutcomeClass::Local, OutcomeClass::Throttled] {
            let once = first(Health::default(), class, NOW).health;
            assert_eq!((once.failing, once.first_failure_at, once.failing_since), (0, None, None));
            let late = first(once, class, NOW.plus(HOUR)).health;
            assert_eq!(late.failing_since, Some(NOW), "for {class:?}");
            assert!(!late.is_probed());
        }
        for class in [OutcomeClass::Unknown, OutcomeClass::Rejected] {
            assert_eq!(first(Health::default(), class, NOW).health, Health::default());
        }
    }

    #[test]
    fn a_place_that_is_gone_is_disabled_at_once_and_one_with_wrong_settings_in_an_hour() {
        let gone = first(Health::default(), OutcomeClass::Gone, NOW).health;
        assert_eq!((gone.state, gone.failing_since), (ChannelState::Disabled, None));
        let wrong = first(Health::default(), OutcomeClass::Misconfigured, NOW).health;
        assert_eq!((wrong.state, wrong.failing_since), (ChannelState::Active, Some(NOW)));
        let mended = first(wrong.clone(), OutcomeClass::Delivered, NOW);
        assert!(mended.hastens);
        assert_eq!(mended.health, Health::default());
        let later = first(wrong, OutcomeClass::Misconfigured, NOW.plus(HOUR)).health;
        assert_eq!(later.state, ChannelState::Disabled);
    }

    #[test]
    fn who_judges_us_elsewhere_is_asked_again_one_message_at_a_time_and_never_disabled() {
        let refused =
            |class, code| Outcome { code: Some(code), scope: Scope::Standing, ..outcome(class) };
        let sender = refused(OutcomeClass::Misconfigured, 553);
        let mut health = Health::default();
        for (hours, wait_s) in [(0, 60), (1, 900), (24, 900), (24 * 30, 900)] {
            let now = NOW.plus(HOUR * hours);
            health = health.after(&sender, &spent(0), None, now, HALF).health;
            assert_eq!(health.state, ChannelState::Active, "after {hours} hours");
            assert!(health.is_probed() && health.failing_since == Some(NOW));
            assert_eq!(health.ready_at().unwrap().since(now), Duration::from_secs(wait_s));
        }
        let well = first(health, OutcomeClass::Delivered, NOW);
        assert!(well.hastens && well.health == Health::default());
        let quota = refused(OutcomeClass::Throttled, 550);
        let after = Health::default().after(&quota, &spent(0), None, NOW, HALF).health;
        assert_eq!((after.failing_since, after.is_probed()), (Some(NOW), false));
    }

    #[test]
    fn a_broken_channel_is_never_probed_without_a_wait() {
        for class in [
            OutcomeClass::Retryable,
            OutcomeClass::Ambiguous,
            OutcomeClass::Throttled,
            OutcomeClass::Local,
            OutcomeClass::Misconfigured,
            OutcomeClass::Unknown,
        ] {
            for scope in [Scope::Channel, Scope::Standing, Scope::Recipient] {
                let said = Outcome { code: Some(450), scope, ..outcome(class) };
                let now = NOW.plus(HOUR);
                let after = broken().after(&said, &spent(1), None, now, HALF).health;
                assert!(after.ready_at().unwrap() > now, "after {class:?}, {scope:?}");
            }
        }
    }

    #[test]
    fn an_asked_wait_is_for_the_whole_channel_even_with_a_message_that_was_taken() {
        let wait = Duration::from_secs(7);
        let asked = |class| Outcome { retry_after: Some(wait), ..outcome(class) };
        for class in [OutcomeClass::Delivered, OutcomeClass::Retryable, OutcomeClass::Rejected] {
            let after = Health::default().after(&asked(class), &spent(1), None, NOW, HALF);
            assert_eq!(after.health.ready_at(), Some(NOW.plus(wait)), "for {class:?}");
        }
        let long = Outcome { retry_after: Some(HOUR * 1000), ..outcome(OutcomeClass::Delivered) };
        let after = Health::default().after(&long, &spent(1), None, NOW, HALF).health;
        assert_eq!(after.not_before, NOW.plus(RETRY_AFTER_MAX));
    }

    #[test]
    fn without_a_figure_the_channel_waits_as_long_as_the_message_but_for_one_recipient_it_does_not()
    {
        let next_attempt_at = NOW.plus(Duration::from_secs(61));
        let waiting = Delivery { state: DeliveryState::Pending { next_attempt_at }, ..spent(0) };
        let ready = |code| {
            let outcome = Outcome { code: Some(code), ..outcome(OutcomeClass::Throttled) };
            Health::default().after(&outcome, &waiting, None, NOW, HALF).health.ready_at()
        };
        assert_eq!(ready(429), Some(next_attempt_at));
        assert_eq!(ready(421), Some(next_attempt_at));
        for deferred in [450, 451, 452] {
            assert_eq!(ready(deferred), Health::default().ready_at());
        }
    }

    #[test]
    fn an_enabled_channel_proves_itself_first() {
        let disabled = Health { state: ChannelState::Disabled, ..broken() };
        let enabled = disabled.enabled();
        assert!(enabled.is_probed());
        assert!(enabled.ready_at().unwrap() <= NOW);
        assert_eq!(enabled.failing_since, Some(NOW), "it is not known to be well yet");
        let failed = first(enabled.clone(), OutcomeClass::Retryable, NOW).health;
        assert!(failed.is_probed() && failed.ready_at().unwrap() <= NOW);
        let well = first(enabled, OutcomeClass::Delivered, NOW);
        assert!(well.hastens && !well.health.is_probed());
        assert_eq!(well.health.failing_since, None);
    }

    #[test]
    fn a_message_that_a_disabled_channel_takes_late_changes_nothing_about_it() {
        let gone = first(broken(), OutcomeClass::Gone, NOW).health;
        assert_eq!(gone.state, ChannelState::Disabled);
        assert!(gone.reason.is_some() && gone.failing_since.is_some());
        let late = first(gone.clone(), OutcomeClass::Delivered, NOW);
        assert_eq!(late, Effect { health: gone, counted: false, hastens: false });
        let paused = Health { state: ChannelState::Paused, ..broken() };
        let late = first(paused, OutcomeClass::Delivered, NOW).health;
        let well = Health { state: ChannelState::Paused, streak: 1, ..Health::default() };
        assert_eq!(late, well, "that a human paused it says nothing against it");
    }

    #[test]
    fn who_enables_a_channel_need_not_wait_for_what_it_asked_for_before() {
        let wait = Outcome { retry_after: Some(HOUR), ..outcome(OutcomeClass::Throttled) };
        let waits = Health::default().after(&wait, &spent(0), None, NOW, HALF).health;
        assert_eq!(waits.ready_at(), Some(NOW.plus(HOUR)));
        assert!(waits.enabled().ready_at().unwrap() <= NOW);
    }

    #[test]
    fn words_and_states_fit() {
        for state in ChannelState::ALL {
            assert_eq!(ChannelState::from_name(state.name()), Some(state));
        }
        assert_eq!(ChannelState::from_name("else"), None);
    }
}
