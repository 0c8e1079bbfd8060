//! A delivery: one event to one channel and one recipient, and what the outcome of a try means.
//!
//! What always holds: a delivery ends only as delivered, failed or cancelled; a crash, a
//! request to wait and our own lack of network spend no try; a wait is never shorter than the
//! other side asked for. Rows, leases and clocks are elsewhere.

pub mod retry_policy;
pub mod retry_after;
pub mod channel;
pub mod channel_health;
pub mod recipient_health;
pub mod dead_letter;
pub mod egress_policy;
pub mod custom_header;
pub mod ntfy_topic;
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

/// A text that is no delivery id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a delivery id: they look like `dlv_0193…`")]
pub struct DeliveryIdError(String);

impl DeliveryId {
    /// A fresh id, made of the moment and of chance.
    pub fn mint(now: Timestamp, roll: RandomBits) -> Self {
        Self(format!("{DELIVERY_PREFIX}{}", uuid_v7(now, roll)))
    }

    /// Takes an id that was minted before.
    ///
    /// # Errors
    /// When the text does not begin with `dlv_` or has other than letters and digits behind it.
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

/// Where a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waiting for its next try.
    Pending {
        /// Not to be tried before.
        next_attempt_at: Timestamp,
    },
    /// A try is under way.
    Sending,
    /// The other side took it.
    Delivered,
    /// Given up: a dead letter, with the reason.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// Ended by hand.
    Cancelled,
}

impl DeliveryState {
    /// The word for it in rows and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The part of a delivery that outcomes change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it stands.
    pub state: DeliveryState,
    /// Tries that count against the schedule.
    pub attempts_used: u32,
    /// Tries in a row that did not count: they make waits grow, too.
    pub free_attempts: u32,
    /// Tries in a row that ended with us dead.
    pub unknowns: u32,
    /// No attempt after this moment, but for one behind a wait that was asked for before it.
    pub expires_at: Timestamp,
}

/// How one try at a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it means.
    pub class: OutcomeClass,
    /// How far the try came: `connect`, `response`, `rcpt`, `data`, …
    pub phase: &'static str,
    /// The status code of HTTP or SMTP, if there was an answer.
    pub code: Option<u16>,
    /// How long the other side asks us to stay away.
    pub retry_after: Option<Duration>,
    /// What went wrong, for people; never a URL, an address or a secret.
    pub error: Option<String>,
    /// The beginning of the other side's answer, for people; data, never trusted.
    pub snippet: Option<String>,
    /// What the other side's clock said, where it said so.
    pub clock: Option<Timestamp>,
    /// Whom it tells about, beside this delivery.
    pub scope: Scope,
    /// What mends it, for whoever tries by hand; `None` where the class and the code say enough.
    pub help: Option<&'static str>,
}

/// Whom the end of an attempt tells about, beside its own delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The channel: the way to it, or its settings here.
    #[default]
    Channel,
    /// The channel, by how the other side judges us: it may be mended there as well as here, so it
    /// is tried on for as long as it lasts.
    Standing,
    /// One of the channel's recipients, or one message to it: others may get theirs.
    Recipient,
    /// The same, or us: the other side does not say which.
    Unclear,
}

/// What the end of a try means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeClass {
    /// Taken.
    Delivered,
    /// Not taken now; spends a try.
    Retryable,
    /// The other side, or its answer, was lost after everything had been sent: it may have been
    /// taken. Spends a try.
    Ambiguous,
    /// The other side asks us to wait; spends no try.
    Throttled,
    /// The fault is on our side of the wire; spends no try.
    Local,
    /// This message will never be taken.
    Rejected,
    /// Nothing will ever be taken there again: the place is gone, or wants no more. Spends no
    /// try; the channel is disabled.
    Gone,
    /// The channel's own settings are refused: its login, its sender, its way of securing the
    /// connection. A human has to mend them, or is just doing so. Spends no try; the channel is
    /// disabled when it lasts.
    Misconfigured,
    /// We were killed while it was under way; spends no try, until it happens so often in a row
    /// that the message itself may be what kills us.
    Unknown,
}

impl Outcome {
    /// A try that ended so in that phase, without anything more to say.
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

    /// After how many attempts at most it is given up, where an answer came that is neither a yes
    /// nor a no: then the message may well have been taken each time.
    fn unclear_attempts_max(&self) -> Option<u32> {
        match (self.class, self.code) {
            // A success by its code, and not by its words: most likely taken.
            (OutcomeClass::Ambiguous, Some(200..=299)) => Some(UNCLEAR_ATTEMPTS_MAX),
            (OutcomeClass::Ambiguous, _) if self.phase == GARBLED => Some(GARBLED_ATTEMPTS_MAX),
            _ => None,
        }
    }

    /// Whether the other side, or the way to it, seems to be overloaded.
    const fn is_overload(&self) -> bool {
        matches!(self.class, OutcomeClass::Ambiguous) || matches!(self.code, Some(502..=504))
    }

    /// Whether it is we that are refused, or may be, though it is only waited for: operators have
    /// to know at once, since waiting alone may mend nothing.
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

    /// Whether it tells about one recipient, or one message to it, and of the channel nothing.
    pub const fn is_about_recipient(&self) -> bool {
        match self.scope {
            Scope::Recipient | Scope::Unclear => true,
            Scope::Channel | Scope::Standing => false,
        }
    }

    /// The same, when the recipient took another message since the first attempt at this one: a
    /// refusal that may have been meant for us or for the recipient was meant for this message.
    #[must_use]
    pub fn after_accepted_message(self) -> Self {
        match (self.class, self.scope) {
            (OutcomeClass::Throttled, Scope::Unclear) => {
                Self { class: OutcomeClass::Rejected, scope: Scope::Recipient, ..self }
            }
            _ => self,
        }
    }

    /// What happened, in a few words for people, and what the other side said itself.
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

impl Delivery {
    /// A delivery that has not been tried; its first try is due after the schedule's first wait.
    pub fn new(now: Timestamp, terms: &DeliveryPolicy) -> Self {
        let first = terms.schedule.delay(0).unwrap_or_default();
        Self {
            state: DeliveryState::Pending { next_attempt_at: now.plus(first) },
            attempts_used: 0,
            free_attempts: 0,
            unknowns: 0,
            expires_at: now.plus(terms.expires_after),
        }
    }

    /// What `outcome`, which came at `now`, means for the delivery. `roll` gives the jitter.
    #[must_use]
    pub fn apply_outcome(
        mut self,
        outcome: &Outcome,
        now: Timestamp,
        terms: &DeliveryPolicy,
        roll: RandomBits,
    ) -> Self {
        let in_doubt = matches!(outcome.class, OutcomeClass::Ambiguous | OutcomeClass::Unknown);
        if in_doubt && terms.on_unknown == OnUnknown::Hold {
            return self.fail(format!("{HELD}: {}", outcome.summary()));
        }
        let wait = match outcome.class {
            OutcomeClass::Delivered => {
                self.state = DeliveryState::Delivered;
                return self;
            }
            OutcomeClass::Rejected => return self.fail(outcome.summary()),
            OutcomeClass::Ambiguous
                if outcome
                    .unclear_attempts_max()
                    .is_some_and(|max| self.attempts_used + 1 >= max) =>
            {
                return self.fail(format!("{HELD}: {}", outcome.summary()));
            }
            OutcomeClass::Retryable | OutcomeClass::Ambiguous => {
                self.free_attempts = 0;
                match self.counted_delay(terms) {
                    Some(wait) if outcome.is_overload() => {
                        wait.max(terms.schedule.overload_delay())
                    }
                    Some(wait) => wait,
                    None => return self.fail(format!("{EXHAUSTED}: {}", outcome.summary())),
                }
            }
            OutcomeClass::Throttled => {
                let first =
                    if outcome.retry_after.is_some() { REQUESTED_DELAY } else { THROTTLED_DELAY };
                self.free_delay(first, THROTTLED_DELAY_MAX)
            }
            OutcomeClass::Local => self.free_delay(LOCAL_DELAY, LOCAL_DELAY_MAX),
            OutcomeClass::Gone | OutcomeClass::Misconfigured => {
                self.free_delay(MISCONFIGURED_DELAY, MISCONFIGURED_DELAY_MAX)
            }
            OutcomeClass::Unknown => {
                self.unknowns = self.unknowns.saturating_add(1);
                if self.unknowns < POISON_AFTER {
                    Duration::ZERO
                } else {
                    match self.counted_delay(terms) {
                        Some(wait) => wait,
                        None => return self.fail(POISON.to_owned()),
                    }
                }
            }
        };
        if outcome.class != OutcomeClass::Unknown {
            self.unknowns = 0;
        }
        let floor = outcome.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let wait = roll.jitter(wait, JITTER);
        // What waits for a human to mend the channel is parked with it.
        let parked = matches!(outcome.class, OutcomeClass::Gone | OutcomeClass::Misconfigured);
        // A wait that was asked for is kept in full, and never ends a delivery: when it is longer
        // than the delivery lives, there is one attempt behind it.
        if now.plus(wait) > self.expires_at && !parked {
            return self.fail(format!("{EXPIRED}: {}", outcome.summary()));
        }
        let next_attempt_at = now.plus(wait.max(floor));
        self.state = DeliveryState::Pending { next_attempt_at };
        self
    }

    /// The same for any try. `probe_of` is when the delivery is due if the try was made before its
    /// time, to see whether the other side takes anything at all: such a try neither spends what
    /// the schedule has nor brings the next one forward.
    #[must_use]
    pub fn apply_attempt(
        self,
        outcome: &Outcome,
        probe_of: Option<Timestamp>,
        now: Timestamp,
        terms: &DeliveryPolicy,
        roll: RandomBits,
    ) -> Self {
        let Some(due_at) = probe_of else { return self.apply_outcome(outcome, now, terms, roll) };
        let spared = match outcome.class {
            OutcomeClass::Retryable => true,
            OutcomeClass::Ambiguous => {
                terms.on_unknown == OnUnknown::Resend && outcome.unclear_attempts_max().is_none()
            }
            OutcomeClass::Delivered
            | OutcomeClass::Throttled
            | OutcomeClass::Local
            | OutcomeClass::Rejected
            | OutcomeClass::Gone
            | OutcomeClass::Misconfigured
            | OutcomeClass::Unknown => false,
        };
        if spared {
            return Self { state: DeliveryState::Pending { next_attempt_at: due_at }, ..self };
        }
        let mut settled = self.apply_outcome(outcome, now, terms, roll);
        if let DeliveryState::Pending { next_attempt_at } = &mut settled.state {
            *next_attempt_at = due_at.max(*next_attempt_at);
        }
        settled
    }

    fn counted_delay(&mut self, terms: &DeliveryPolicy) -> Option<Duration> {
        self.attempts_used = self.attempts_used.saturating_add(1);
        terms.schedule.delay(self.attempts_used)
    }

    fn free_delay(&mut self, first: Duration, max: Duration) -> Duration {
        let wait = first.saturating_mul(1 << self.free_attempts.min(DOUBLINGS_MAX)).min(max);
        self.free_attempts = self.free_attempts.saturating_add(1);
        wait
    }

    fn fail(mut self, reason: String) -> Self {
        self.state = DeliveryState::Failed { reason };
        self
    }
}

/// A wait asked for by a receiver is obeyed up to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

const DELIVERY_PREFIX: &str = "dlv_";
const JITTER: f64 = 0.2;
/// The least wait of a receiver that says how long it wants to be left alone, …
const REQUESTED_DELAY: Duration = Duration::from_secs(5);
/// … and of one that does not say.
const THROTTLED_DELAY: Duration = Duration::from_secs(60);
const THROTTLED_DELAY_MAX: Duration = Duration::from_hours(1);
const LOCAL_DELAY: Duration = Duration::from_secs(5);
const LOCAL_DELAY_MAX: Duration = Duration::from_secs(300);
/// A password that is being changed is right again in minutes.
const MISCONFIGURED_DELAY: Duration = Duration::from_secs(60);
const MISCONFIGURED_DELAY_MAX: Duration = Duration::from_secs(15 * 60);
const DOUBLINGS_MAX: u32 = 16;
/// From this many deaths in a row on, each spends a try: a message that kills us must not keep
/// us from working, and one that only met bad luck must not be given up.
const POISON_AFTER: u32 = 5;
/// What was most likely taken is sent once more, and not as often as what was not.
const UNCLEAR_ATTEMPTS_MAX: u32 = 2;
/// An answer that cannot be read says less: it may also be of something else at that port.
const GARBLED_ATTEMPTS_MAX: u32 = 4;
/// The phase of an answer of a chat that came and cannot be read.
pub const GARBLED: &str = "garbled_response";
const EXHAUSTED: &str = "no attempts left";
const HELD: &str = "held, because it may have been taken";
const EXPIRED: &str = "expired";
const POISON: &str = "the program died again and again while sending it";

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
