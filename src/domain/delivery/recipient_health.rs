//! How one recipient of a channel is doing, where a channel has several: each may be refused or
//! deferred for ever while the others get theirs.
//!
//! What always holds: only a message that this recipient took ends its trouble, so nothing that
//! others take makes it come and go; what the whole channel suffers is not told of each recipient.

use std::time::Duration;

use crate::domain::delivery::{Delivery, Outcome, OutcomeClass};
use crate::domain::time::timestamp::Timestamp;

/// How a recipient is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientHealth {
    /// When it last took a message.
    pub delivered_at: Option<Timestamp>,
    /// The first attempt since then that did not get through, whoever's fault it was.
    pub failure_since: Option<Timestamp>,
    /// Since when operators have to know.
    pub failing_since: Option<Timestamp>,
    /// What went wrong last, for people.
    pub reason: Option<String>,
}

impl RecipientHealth {
    /// Whether the end of an attempt says nothing about the channel: it was said of this recipient
    /// alone, or others have taken messages since its trouble began.
    pub fn is_only_one_failing(
        &self,
        outcome: &Outcome,
        others_took_at: Option<Timestamp>,
    ) -> bool {
        let is_trouble = match outcome.class {
            OutcomeClass::Retryable
            | OutcomeClass::Ambiguous
            | OutcomeClass::Throttled
            | OutcomeClass::Local
            | OutcomeClass::Misconfigured
            | OutcomeClass::Unknown => true,
            OutcomeClass::Delivered | OutcomeClass::Rejected | OutcomeClass::Gone => false,
        };
        let others_get_theirs =
            self.failure_since.is_some_and(|since| others_took_at > Some(since));
        is_trouble && (outcome.is_about_recipient() || others_get_theirs)
    }

    /// What the end of an attempt does. `delivery` is as the outcome left it; `alone` is whether
    /// it says nothing about the channel.
    #[must_use]
    pub fn after(
        mut self,
        outcome: &Outcome,
        delivery: &Delivery,
        alone: bool,
        now: Timestamp,
    ) -> Self {
        match outcome.class {
            OutcomeClass::Delivered => return Self { delivered_at: Some(now), ..Self::default() },
            // A dead letter is told of by itself, and a place that is gone by its channel.
            OutcomeClass::Rejected | OutcomeClass::Gone => return self,
            OutcomeClass::Retryable
            | OutcomeClass::Ambiguous
            | OutcomeClass::Throttled
            | OutcomeClass::Local
            | OutcomeClass::Misconfigured
            | OutcomeClass::Unknown => {}
        }
        let since = *self.failure_since.get_or_insert(now);
        self.reason = Some(outcome.summary());
        let lasts =
            now.since(since) >= REPORTED_AFTER || delivery.attempts_used >= REPORTED_AT_ATTEMPT;
        if alone && (lasts || outcome.is_sender_refused()) {
            self.failing_since.get_or_insert(since);
        }
        self
    }

    /// The channel, which took nothing for so long that operators know, takes messages again: what
    /// kept this recipient waiting is over, as far as anyone knows.
    #[must_use]
    pub fn on_channel_recovered(self, now: Timestamp) -> Self {
        match (self.failing_since, self.failure_since) {
            (None, Some(_)) => Self { failure_since: Some(now), ..self },
            (Some(_), _) | (None, None) => self,
        }
    }
}

/// A mail address as operators may read it in messages and logs: whose it is can be told by those
/// who know it.
pub fn masked(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return "***".to_owned() };
    let shown = if local.chars().count() >= SHOWN_FROM { SHOWN_CHARS } else { 1 };
    let begin: String = local.chars().take(shown).collect();
    format!("{begin}***@{domain}")
}

/// Trouble that lasts as long as this is told of.
const REPORTED_AFTER: Duration = Duration::from_hours(1);
/// A delivery that fails as often as this is told of.
const REPORTED_AT_ATTEMPT: u32 = 4;
/// Local parts that are no shorter show more of their beginning.
const SHOWN_FROM: usize = 4;
const SHOWN_CHARS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::Scope;
    use crate::domain::delivery::retry_policy::DeliveryPolicy;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn outcome(class: OutcomeClass, scope: Scope, code: u16) -> Outcome {
        Outcome { scope, code: Some(code), ..Outcome::new(class, "rcpt") }
    }

    fn after(
        health: RecipientHealth,
        outcome: &Outcome,
        took: Option<Timestamp>,
        now: Timestamp,
    ) -> RecipientHealth {
        let alone = health.is_only_one_failing(outcome, took);
        health.after(outcome, &Delivery::new(NOW, &DeliveryPolicy::email()), alone, now)
    }

    #[test]
    fn a_recipient_that_is_deferred_for_an_hour_is_told_of_once_until_it_takes_a_message() {
        let deferred = outcome(OutcomeClass::Throttled, Scope::Recipient, 450);
        let mut health = RecipientHealth::default();
        for minutes in 0..60 {
            let now = NOW.plus(Duration::from_secs(60 * minutes));
            health = after(health, &deferred, Some(now), now);
            assert_eq!(health.failing_since, None, "after {minutes} minutes");
        }
        health = after(health, &deferred, None, NOW.plus(HOUR));
        assert_eq!(health.failing_since, Some(NOW));
        health = health.on_channel_recovered(NOW.plus(HOUR * 2));
        assert_eq!((health.failing_since, health.failure_since), (Some(NOW), Some(NOW)));
        let taken = outcome(OutcomeClass::Delivered, Scope::Channel, 250);
        let well = after(health, &taken, None, NOW.plus(HOUR * 3));
        let delivered_at = Some(NOW.plus(HOUR * 3));
        assert_eq!(well, RecipientHealth { delivered_at, ..RecipientHealth::default() });
    }

    #[test]
    fn a_refusal_that_is_waited_for_is_told_of_at_once() {
        for refused in [
            outcome(OutcomeClass::Misconfigured, Scope::Recipient, 550),
            outcome(OutcomeClass::Throttled, Scope::Recipient, 550),
            outcome(OutcomeClass::Throttled, Scope::Unclear, 550),
        ] {
            let health = after(RecipientHealth::default(), &refused, None, NOW);
            assert_eq!(health.failing_since, Some(NOW), "for {refused:?}");
        }
    }

    #[test]
    fn what_the_whole_channel_suffers_is_told_of_the_channel() {
        let lost = outcome(OutcomeClass::Retryable, Scope::Channel, 471);
        let health = after(RecipientHealth::default(), &lost, None, NOW);
        let later = NOW.plus(HOUR * 5);
        let health = after(health, &lost, Some(NOW), later);
        assert_eq!((health.failure_since, health.failing_since), (Some(NOW), None));
        // Until others get theirs.
        let mixed = after(health.clone(), &lost, Some(NOW.plus(HOUR)), later);
        assert_eq!(mixed.failing_since, Some(NOW));
        // What it suffered with the channel counts no longer when the channel is well again.
        assert_eq!(health.on_channel_recovered(later).failure_since, Some(later));
    }

    #[test]
    fn every_end_without_a_yes_counts_but_a_dead_letter() {
        for class in [
            OutcomeClass::Retryable,
            OutcomeClass::Ambiguous,
            OutcomeClass::Throttled,
            OutcomeClass::Local,
            OutcomeClass::Misconfigured,
            OutcomeClass::Unknown,
        ] {
            let said = outcome(class, Scope::Channel, 450);
            let health = after(RecipientHealth::default(), &said, None, NOW);
            assert_eq!(health.failure_since, Some(NOW), "for {class:?}");
        }
        let refused = outcome(OutcomeClass::Rejected, Scope::Recipient, 550);
        let health = after(RecipientHealth::default(), &refused, None, NOW);
        assert_eq!(health, RecipientHealth::default());
    }

    #[test]
    fn a_masked_address_can_be_told_by_who_knows_it() {
        assert_eq!(masked("studio@example.com"), "st***@example.com");
        assert_eq!(masked("jo@example.com"), "j***@example.com");
        assert_eq!(masked("\"a@b\"@example.com"), "\"a***@example.com");
        assert_eq!(masked("äöüäö@bücher.example"), "äö***@bücher.example");
        assert_eq!(masked("nobody"), "***");
    }
}
