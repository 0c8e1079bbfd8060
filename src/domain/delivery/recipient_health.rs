//! The health of one recipient of a channel with several: each may be rejected or deferred while
//! the others accept.
//!
//! Only a message that this recipient accepts ends its failure. A failure of the whole channel is
//! not reported for each recipient.

use std::time::Duration;

use crate::domain::delivery::{Outcome, OutcomeClass, RetryState};
use crate::domain::time::timestamp::Timestamp;

/// The health of a recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientHealth {
    /// When it last accepted a message.
    pub delivered_at: Option<Timestamp>,
    /// The first failed attempt since then, whatever the cause.
    pub failure_since: Option<Timestamp>,
    /// Since when it is reported as failing.
    pub failing_since: Option<Timestamp>,
    pub(crate) reason: Option<String>,
}

impl RecipientHealth {
    /// Whether an outcome is about the recipient only: it says so, or others have accepted messages
    /// since its failure began.
    pub fn is_only_one_failing(
        &self,
        outcome: &Outcome,
        others_delivered_at: Option<Timestamp>,
    ) -> bool {
        let is_failure = match outcome.class {
            OutcomeClass::Retryable
            | OutcomeClass::Ambiguous
            | OutcomeClass::Throttled
            | OutcomeClass::Local
            | OutcomeClass::Misconfigured
            | OutcomeClass::Unknown => true,
            OutcomeClass::Delivered | OutcomeClass::Rejected | OutcomeClass::Gone => false,
        };
        let others_accepted =
            self.failure_since.is_some_and(|since| others_delivered_at > Some(since));
        is_failure && (outcome.is_about_recipient() || others_accepted)
    }

    /// Applies an attempt. `retry_state` is as the outcome left it.
    #[must_use]
    pub fn after(
        mut self,
        outcome: &Outcome,
        retry_state: &RetryState,
        only_recipient_fails: bool,
        now: Timestamp,
    ) -> Self {
        match outcome.class {
            OutcomeClass::Delivered => return Self { delivered_at: Some(now), ..Self::default() },
            // Dead letters are reported by themselves, and a disabled channel by its condition.
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
        let lasts = now.since(since) >= REPORTED_AFTER
            || retry_state.charged_attempts >= REPORTED_AT_ATTEMPT;
        if only_recipient_fails && (lasts || outcome.is_sender_refused()) {
            self.failing_since.get_or_insert(since);
        }
        self
    }

    /// The failing channel accepts messages again: the delay of this recipient ends.
    #[must_use]
    pub fn on_channel_recovered(self, now: Timestamp) -> Self {
        match (self.failing_since, self.failure_since) {
            (None, Some(_)) => Self { failure_since: Some(now), ..self },
            (Some(_), _) | (None, None) => self,
        }
    }
}

/// A masked mail address for messages and logs, which only those who know the address can
/// recognize.
pub fn masked(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return "***".to_owned() };
    let shown = if local.chars().count() >= SHOWN_FROM { SHOWN_CHARS } else { 1 };
    let begin: String = local.chars().take(shown).collect();
    format!("{begin}***@{domain}")
}

const REPORTED_AFTER: Duration = Duration::from_hours(1);
/// A delivery with this many failed attempts is reported.
const REPORTED_AT_ATTEMPT: u32 = 4;
/// Local parts of at least this length show more of their beginning.
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
        let retry_state = RetryState::new(NOW, &DeliveryPolicy::email());
        let only_recipient_fails = health.is_only_one_failing(outcome, took);
        health.after(outcome, &retry_state, only_recipient_fails, now)
    }

    #[test]
    fn a_recipient_that_is_deferred_for_an_hour_is_reported_once_until_it_accepts_a_message() {
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
    fn a_rejected_sender_is_reported_at_once() {
        for refused in [
            outcome(OutcomeClass::Misconfigured, Scope::Recipient, 550),
            outcome(OutcomeClass::Throttled, Scope::Recipient, 550),
            outcome(OutcomeClass::Throttled, Scope::SenderOrRecipient, 550),
        ] {
            let health = after(RecipientHealth::default(), &refused, None, NOW);
            assert_eq!(health.failing_since, Some(NOW), "for {refused:?}");
        }
    }

    #[test]
    fn a_failure_of_the_whole_channel_is_not_reported_for_the_recipient() {
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
    fn a_masked_address_is_recognized_by_those_who_know_it() {
        assert_eq!(masked("studio@example.com"), "st***@example.com");
        assert_eq!(masked("jo@example.com"), "j***@example.com");
        assert_eq!(masked("\"a@b\"@example.com"), "\"a***@example.com");
        assert_eq!(masked("äöüäö@bücher.example"), "äö***@bücher.example");
        assert_eq!(masked("no-address"), "***");
    }
}
