//! A delivery: one event to one channel and one recipient; decides what the outcome of an attempt
//! means.
//!
//! A delivery ends as delivered, dead or cancelled. A crash, a requested delay and a local
//! network failure charge no attempt. A delay is never shorter than requested. Rows, leases and
//! clocks are elsewhere.

pub mod attempt_slots;
pub mod retry_policy;
pub(crate) mod retry_after;
pub mod channel_health;
pub mod recipient_health;
pub mod dead_letter;
pub(crate) mod next_attempt;
pub mod egress_policy;
pub mod custom_header;
pub mod message_format;
pub(crate) mod ntfy_topic;
pub mod template_tree;

use std::fmt;
use std::time::Duration;

use crate::domain::delivery::retry_policy::{DeliveryPolicy, OnUnknown};
use crate::domain::id::{is_id, uuid_v7};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// The id of a delivery: `dlv_` and 32 hex digits of a version 7 UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(String);

/// The text is not a delivery id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a delivery id such as `dlv_0193…`")]
pub struct DeliveryIdError(String);

impl DeliveryId {
    /// A new id from the time and random bits.
    pub fn mint(now: Timestamp, random: RandomBits) -> Self {
        Self(format!("{DELIVERY_PREFIX}{}", uuid_v7(now, random)))
    }

    /// Parses an id.
    pub fn parse(text: &str) -> Result<Self, DeliveryIdError> {
        if !is_id(text, DELIVERY_PREFIX) {
            return Err(DeliveryIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waiting for its next attempt.
    Pending {
        /// The time of the next attempt.
        next_attempt_at: Timestamp,
    },
    /// An attempt is in flight.
    Sending,
    /// The receiver accepted it.
    Delivered,
    /// A dead letter.
    Dead {
        /// Why, for people.
        reason: String,
    },
}

impl DeliveryState {
    /// Whether no attempt follows.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Pending { .. } | Self::Sending => false,
            Self::Delivered | Self::Dead { .. } => true,
        }
    }

    /// The word for it in rows and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Dead { .. } => "dead",
        }
    }
}

/// The part of a delivery that outcomes change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryState {
    pub(crate) state: DeliveryState,
    /// Attempts that are charged to the schedule.
    pub charged_attempts: u32,
    /// Consecutive attempts that were not charged; they lengthen the delay.
    pub free_attempts: u32,
    /// Consecutive attempts with an unknown outcome.
    pub unknown_streak: u32,
    /// No attempt after this time, except one after a requested delay.
    pub expires_at: Timestamp,
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its class.
    pub class: OutcomeClass,
    /// The phase that the attempt reached: `connect`, `response`, `rcpt`, `data`, …
    pub phase: &'static str,
    /// The status code of HTTP or SMTP, if there was a response.
    pub code: Option<u16>,
    /// The delay that the receiver requests.
    pub retry_after: Option<Duration>,
    /// The error, for people; never a URL, an address or a secret.
    pub error: Option<String>,
    /// The beginning of the response, for people; untrusted.
    pub snippet: Option<String>,
    /// The time of the receiver's clock, if it sent it.
    pub clock: Option<Timestamp>,
    /// What it is about, besides this delivery.
    pub scope: Scope,
    /// How to fix it, for manual attempts; `None` if the class and the code are sufficient.
    pub help: Option<&'static str>,
}

/// What an outcome is about, besides its delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The channel: its connection, or its settings.
    #[default]
    Channel,
    /// The channel: the receiver rejects the sender, which may be fixed on either side, so attempts
    /// continue.
    Sender,
    /// One recipient of the channel, or one message to it; others may be accepted.
    Recipient,
    /// The recipient or the sender: the receiver does not say which.
    SenderOrRecipient,
}

/// What the outcome of an attempt means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeClass {
    /// Accepted.
    Delivered,
    /// Not accepted now; charges an attempt.
    Retryable,
    /// The connection or the response was lost after everything had been sent: it may have been
    /// accepted. Charges an attempt.
    Ambiguous,
    /// The receiver requests a delay; charges no attempt.
    Throttled,
    /// A local failure; charges no attempt.
    Local,
    /// The receiver will never accept this message.
    Rejected,
    /// The receiver is gone, or unsubscribed. Charges no attempt; the channel is disabled.
    Gone,
    /// The settings of the channel are rejected: login, sender or encryption. An operator must fix
    /// them. Charges no attempt; the channel is disabled if it lasts.
    Misconfigured,
    /// The process was killed during the attempt; charges no attempt, until it happens so often in
    /// a row that the message itself may be the cause.
    Unknown,
}

impl Outcome {
    /// An outcome with a class and a phase only.
    pub const fn new(class: OutcomeClass, phase: &'static str) -> Self {
        Self {
            class,
            phase,
            code: None,
            retry_after: None,
            error: None,
            snippet: None,
            clock: None,
            scope: Scope::Channel,
            help: None,
        }
    }

    /// The maximum number of attempts after an ambiguous response: the message may have been
    /// accepted each time.
    fn ambiguous_attempts_max(&self) -> Option<u32> {
        if self.class != OutcomeClass::Ambiguous {
            return None;
        }
        match self.code {
            // A success by its code, but not by its body: most likely accepted.
            Some(200..=299) => Some(AMBIGUOUS_ATTEMPTS_MAX),
            Some(_) | None => (self.phase == GARBLED).then_some(GARBLED_ATTEMPTS_MAX),
        }
    }

    /// Whether the receiver, or an intermediary, seems to be overloaded.
    const fn is_overload(&self) -> bool {
        matches!(self.class, OutcomeClass::Ambiguous) || matches!(self.code, Some(502..=504))
    }

    /// Whether the sender is rejected, or may be, even if the attempt is repeated: it is reported
    /// at once, since waiting may not fix it.
    pub fn is_sender_refused(&self) -> bool {
        let refused = matches!(self.code, Some(500..)) && self.scope != Scope::Channel;
        match self.class {
            OutcomeClass::Misconfigured => true,
            OutcomeClass::Throttled => refused,
            OutcomeClass::Delivered
            | OutcomeClass::Retryable
            | OutcomeClass::Ambiguous
            | OutcomeClass::Local
            | OutcomeClass::Rejected
            | OutcomeClass::Gone
            | OutcomeClass::Unknown => false,
        }
    }

    /// Whether it is about one recipient, or one message to it, and not about the channel.
    pub const fn is_about_recipient(&self) -> bool {
        match self.scope {
            Scope::Recipient | Scope::SenderOrRecipient => true,
            Scope::Channel | Scope::Sender => false,
        }
    }

    /// The outcome, if the recipient accepted another message since the first attempt: the
    /// rejection is then about this message.
    #[must_use]
    pub fn after_accepted_message(self) -> Self {
        let is_deferred = self.class == OutcomeClass::Throttled;
        match is_deferred && self.scope == Scope::SenderOrRecipient {
            true => Self { class: OutcomeClass::Rejected, scope: Scope::Recipient, ..self },
            false => self,
        }
    }

    /// A short description for people, with the text of the receiver.
    pub fn summary(&self) -> String {
        let happened = match (&self.error, self.code) {
            (Some(error), _) => error.clone(),
            (None, Some(code)) => format!("answered {code}"),
            (None, None) => self.class.name().to_owned(),
        };
        match &self.snippet {
            Some(words) if !happened.contains(words.as_str()) => format!("{happened}: {words}"),
            _ => happened,
        }
    }
}

impl OutcomeClass {
    /// The word for it in rows and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retryable => "retryable",
            Self::Ambiguous => "ambiguous",
            Self::Throttled => "throttled",
            Self::Local => "local",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Misconfigured => "misconfigured",
            Self::Unknown => "unknown",
        }
    }
}

impl RetryState {
    /// A delivery without attempts; the first is due after the first delay of the schedule.
    pub fn new(now: Timestamp, policy: &DeliveryPolicy) -> Self {
        let first = policy.schedule.delay(0).unwrap_or_default();
        Self {
            state: DeliveryState::Pending { next_attempt_at: now.plus(first) },
            charged_attempts: 0,
            free_attempts: 0,
            unknown_streak: 0,
            expires_at: now.plus(policy.expires_after),
        }
    }

    /// Applies the outcome of an attempt at `now`. `due_at_before_probe` is the due time of a
    /// delivery that was attempted early as a probe: a failed probe is neither charged nor changes
    /// the schedule. `random` gives the jitter.
    #[must_use]
    pub fn apply(
        self,
        outcome: &Outcome,
        due_at_before_probe: Option<Timestamp>,
        now: Timestamp,
        policy: &DeliveryPolicy,
        random: RandomBits,
    ) -> Self {
        let Some(due_at) = due_at_before_probe else {
            return self.apply_regular(outcome, now, policy, random);
        };
        let is_free_probe = match outcome.class {
            OutcomeClass::Retryable => true,
            OutcomeClass::Ambiguous => {
                policy.on_unknown == OnUnknown::Resend && outcome.ambiguous_attempts_max().is_none()
            }
            OutcomeClass::Delivered
            | OutcomeClass::Throttled
            | OutcomeClass::Local
            | OutcomeClass::Rejected
            | OutcomeClass::Gone
            | OutcomeClass::Misconfigured
            | OutcomeClass::Unknown => false,
        };
        if is_free_probe {
            return Self { state: DeliveryState::Pending { next_attempt_at: due_at }, ..self };
        }
        let mut updated = self.apply_regular(outcome, now, policy, random);
        if let DeliveryState::Pending { next_attempt_at } = &mut updated.state {
            *next_attempt_at = due_at.max(*next_attempt_at);
        }
        updated
    }

    /// Applies the outcome of an attempt that was due.
    fn apply_regular(
        mut self,
        outcome: &Outcome,
        now: Timestamp,
        policy: &DeliveryPolicy,
        random: RandomBits,
    ) -> Self {
        self.state = match self.next_attempt_at(outcome, now, policy, random) {
            Ok(next_attempt_at) => DeliveryState::Pending { next_attempt_at },
            Err(end) => end,
        };
        self
    }

    /// The time of the next attempt, or the state in which the delivery ends.
    fn next_attempt_at(
        &mut self,
        outcome: &Outcome,
        now: Timestamp,
        policy: &DeliveryPolicy,
        random: RandomBits,
    ) -> Result<Timestamp, DeliveryState> {
        let delay = self.delay(outcome, policy)?;
        if outcome.class != OutcomeClass::Unknown {
            self.unknown_streak = 0;
        }
        let delay = random.jitter(delay, JITTER);
        // Such deliveries are suspended with the channel until an operator fixes it.
        let suspended = matches!(outcome.class, OutcomeClass::Gone | OutcomeClass::Misconfigured);
        // A requested delay is always kept, and never expires a delivery: if it is longer than the
        // remaining time, one attempt follows it.
        if now.plus(delay) > self.expires_at && !suspended {
            return Err(dead(format!("{EXPIRED}: {}", outcome.summary())));
        }
        let requested = outcome.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Ok(now.plus(delay.max(requested)))
    }

    /// The delay of our own before the next attempt, or the state in which the delivery ends.
    fn delay(
        &mut self,
        outcome: &Outcome,
        policy: &DeliveryPolicy,
    ) -> Result<Duration, DeliveryState> {
        let may_be_accepted =
            matches!(outcome.class, OutcomeClass::Ambiguous | OutcomeClass::Unknown);
        let is_last_ambiguous =
            outcome.ambiguous_attempts_max().is_some_and(|max| self.charged_attempts + 1 >= max);
        if (may_be_accepted && policy.on_unknown == OnUnknown::Hold) || is_last_ambiguous {
            return Err(dead(format!("{HELD}: {}", outcome.summary())));
        }
        match outcome.class {
            OutcomeClass::Delivered => Err(DeliveryState::Delivered),
            OutcomeClass::Rejected => Err(dead(outcome.summary())),
            OutcomeClass::Retryable | OutcomeClass::Ambiguous => {
                self.free_attempts = 0;
                let delay = self
                    .charged_delay(policy)
                    .ok_or_else(|| dead(format!("{EXHAUSTED}: {}", outcome.summary())))?;
                match outcome.is_overload() {
                    true => Ok(delay.max(policy.schedule.overload_delay())),
                    false => Ok(delay),
                }
            }
            OutcomeClass::Throttled => {
                let first =
                    if outcome.retry_after.is_some() { REQUESTED_DELAY } else { THROTTLED_DELAY };
                Ok(self.free_delay(first, THROTTLED_DELAY_MAX))
            }
            OutcomeClass::Local => Ok(self.free_delay(LOCAL_DELAY, LOCAL_DELAY_MAX)),
            OutcomeClass::Gone | OutcomeClass::Misconfigured => {
                Ok(self.free_delay(MISCONFIGURED_DELAY, MISCONFIGURED_DELAY_MAX))
            }
            OutcomeClass::Unknown => {
                self.unknown_streak = self.unknown_streak.saturating_add(1);
                match self.unknown_streak < POISON_AFTER {
                    true => Ok(Duration::ZERO),
                    false => self.charged_delay(policy).ok_or_else(|| dead(POISON.to_owned())),
                }
            }
        }
    }

    fn charged_delay(&mut self, policy: &DeliveryPolicy) -> Option<Duration> {
        self.charged_attempts = self.charged_attempts.saturating_add(1);
        policy.schedule.delay(self.charged_attempts)
    }

    fn free_delay(&mut self, first: Duration, max: Duration) -> Duration {
        let wait = first.saturating_mul(1 << self.free_attempts.min(DOUBLINGS_MAX)).min(max);
        self.free_attempts = self.free_attempts.saturating_add(1);
        wait
    }
}

const fn dead(reason: String) -> DeliveryState {
    DeliveryState::Dead { reason }
}

/// The maximum delay that a receiver can request.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// The phase of an attempt that reached only the proxy, or was refused by it.
pub(crate) const AT_PROXY: &str = "proxy";
/// The phase of an unreadable response of a chat service.
pub(crate) const GARBLED: &str = "garbled_response";

const DELIVERY_PREFIX: &str = "dlv_";
const JITTER: f64 = 0.2;
/// The minimum delay if the receiver requests a delay, …
const REQUESTED_DELAY: Duration = Duration::from_secs(5);
/// … and if it does not say how long.
const THROTTLED_DELAY: Duration = Duration::from_secs(60);
const THROTTLED_DELAY_MAX: Duration = Duration::from_hours(1);
const LOCAL_DELAY: Duration = Duration::from_secs(5);
const LOCAL_DELAY_MAX: Duration = Duration::from_secs(300);
/// A change of a password takes minutes.
const MISCONFIGURED_DELAY: Duration = Duration::from_secs(60);
const MISCONFIGURED_DELAY_MAX: Duration = Duration::from_secs(15 * 60);
const DOUBLINGS_MAX: u32 = 16;
/// The number of consecutive unknown outcomes after which each charges an attempt: a message that
/// crashes the process must not block others, and one that was only unlucky must not fail.
const POISON_AFTER: u32 = 5;
/// A message that was most likely accepted is sent once more only.
const AMBIGUOUS_ATTEMPTS_MAX: u32 = 2;
/// An unreadable response says less: it may come from another service.
const GARBLED_ATTEMPTS_MAX: u32 = 4;
const EXHAUSTED: &str = "no attempts left";
const HELD: &str = "held, because it may have been delivered";
const EXPIRED: &str = "expired";
const POISON: &str = "the process was killed repeatedly while sending it";

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
pub mod channel_name;
