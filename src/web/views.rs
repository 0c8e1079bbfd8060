//! The rows of the API, of `--json` on the command line and of the page: one type for each thing.
//! `openapi.json` beside this file is their schema.
//!
//! They hold foreign text as it came. Whatever prints it escapes it: as JSON, or as a page.

use std::time::Duration;

use serde::Serialize;

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::delivery::channel_health::ChannelState;
use crate::domain::polling::watch::Watch;
use crate::domain::status_report::{
    AvatarFacts, ChannelFacts, ConditionFacts, Finding, StatusFacts,
};
use crate::domain::time::timestamp::Timestamp;
use crate::store::reader::{
    AttemptRow, ChannelRow, ConditionRow, DeliveryCounts, DeliveryRow, FailingRecipient,
};
use crate::text::sanitize::is_blank;

/// An avatar that is watched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AvatarView {
    /// Its id at Argil.
    pub id: String,
    /// The name that the config gives it, or the API.
    pub name: Option<String>,
    /// The account that it is watched with.
    pub account: Option<String>,
    /// The model, as the API names it.
    pub model: Option<String>,
    /// Whether the active config registers it; `None` if the config cannot be read.
    pub configured: Option<bool>,
    /// Whether a list showed it, and the config does not register it.
    pub discovered: bool,
    /// The status that was last seen; none before the first sight.
    pub status: Option<String>,
    /// When that status was first seen.
    pub since: Option<String>,
    /// When it was last seen. Only the daemon knows of polls that changed nothing.
    pub last_seen_at: Option<String>,
    /// For how long it has been in training, in seconds, while it is.
    pub training_seconds: Option<u64>,
    /// How long a training of its model usually lasts, in seconds, once that is known.
    pub usual_training_seconds: Option<u64>,
    /// Why the last poll did not show it.
    pub failure: Option<FailureView>,
    /// Deliveries about it that wait or are being sent.
    pub deliveries_in_flight: u64,
    /// Dead letters about it that were not sent again since.
    pub deliveries_failed: u64,
}

/// What an avatar's view is made of, besides its watch.
#[derive(Debug)]
pub struct AvatarContext<'a> {
    /// The names that it may have, the best first; a blank one is none.
    pub names: [Option<&'a String>; 3],
    /// The account that it is watched with.
    pub account: Option<&'a AccountName>,
    /// Whether the active config registers it; `None` if the config cannot be read.
    pub configured: Option<bool>,
    /// Whether a list showed it.
    pub discovered: bool,
    /// When this process last saw it.
    pub seen_at: Option<Timestamp>,
    /// How long a training of its model usually lasts.
    pub usual: Option<Duration>,
    /// Its deliveries.
    pub counts: DeliveryCounts,
}

/// Why polling an avatar fails.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureView {
    /// A word: `missing`, `denied`, `throttled` or `failed`.
    pub kind: &'static str,
    /// Since when.
    pub since: String,
    /// Why, for people.
    pub reason: String,
}

/// A change of status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransitionView {
    /// Its number among those of all avatars.
    pub seq: i64,
    /// The avatar.
    pub avatar_id: String,
    /// Its number among those of the avatar.
    pub sequence: u64,
    /// The status before; none at the first sight.
    pub previous_status: Option<String>,
    /// Whether the status before is what the config assumes, and was not observed.
    pub previous_assumed: bool,
    /// Whether the end of a training was observed, and its beginning before it.
    pub training_observed: bool,
    /// When the status before was last seen.
    pub last_seen_previous_at: Option<String>,
    /// The status from then on.
    pub status: String,
    /// When it was seen.
    pub detected_at: String,
    /// `updatedAt` of the answer that showed it.
    pub upstream_updated_at: Option<String>,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeliveryView {
    /// Its id.
    pub id: String,
    /// The id of the event, which every repeat carries.
    pub event_id: String,
    /// The kind of the event.
    pub event_type: String,
    /// What it is about: an avatar's id, or words such as `account argil`.
    pub subject: String,
    /// The avatar that it is about, if it is about one.
    pub avatar_id: Option<String>,
    /// Where it goes.
    pub channel: String,
    /// Who gets it, where the channel has more than one receiver.
    pub recipient: Option<String>,
    /// How often it was sent again by hand before.
    pub replay: u32,
    /// `pending`, `sending`, `delivered`, `failed` or `cancelled`.
    pub state: String,
    /// How many attempts were begun.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt_at: Option<String>,
    /// Why it ended, if it failed or was cancelled.
    pub final_reason: Option<String>,
    /// Why its message is the standard body instead of the channel's template.
    pub fallback: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// A delivery with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeliveryWithAttempts {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// The attempts, the first one first.
    pub attempt_log: Vec<AttemptView>,
    /// The message; only the command line shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptView {
    /// Its number, from one.
    pub number: u32,
    /// `scheduled` or `manual`.
    pub trigger: String,
    /// When it began.
    pub started_at: String,
    /// When it ended; none while it is in flight.
    pub finished_at: Option<String>,
    /// The word for how it ended.
    pub outcome: Option<String>,
    /// How far it came.
    pub phase: Option<String>,
    /// The status code of the answer.
    pub code: Option<u16>,
    /// How long it took, in milliseconds.
    pub latency_ms: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub response: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// Its kind, such as `webhook, standard`; `None` if the active config does not have it.
    pub kind: Option<String>,
    /// Whether the active config has it.
    pub configured: bool,
    /// `active`, `paused` or `disabled`.
    pub state: &'static str,
    /// Since when nothing is sent, because it is paused, disabled or not in the config.
    pub suspended_since: Option<String>,
    /// Since when it, or one of its recipients, has been failing.
    pub failing_since: Option<String>,
    /// The last error.
    pub reason: Option<String>,
    /// Its recipients that get nothing, though others may get theirs.
    pub failing_recipients: Vec<RecipientView>,
    /// Nothing is sent before then.
    pub not_before: Option<String>,
    /// Deliveries that wait or are being sent.
    pub in_flight: u64,
    /// When the oldest of them was made.
    pub oldest_in_flight_at: Option<String>,
    /// Dead letters that were not sent again since.
    pub failed: u64,
    /// When the last delivery succeeded.
    pub delivered_at: Option<String>,
}

/// A recipient that gets nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecipientView {
    /// Its address.
    pub recipient: String,
    /// Since when.
    pub failing_since: String,
    /// Why.
    pub reason: Option<String>,
}

impl RecipientView {
    fn new(failing: &FailingRecipient) -> Self {
        Self {
            recipient: failing.address.clone(),
            failing_since: failing.since.to_string(),
            reason: failing.reason.clone(),
        }
    }
}

/// A condition that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionView {
    /// Its kind, such as `account.unavailable`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Since when.
    pub since: String,
    /// What keeps an account from seeing; a word.
    pub cause: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// When a poll with its key last succeeded, since the daemon started; only the daemon knows.
    pub answered_at: Option<String>,
    /// Why no poll with it succeeds, if so.
    pub unavailable: Option<ConditionView>,
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingView {
    /// `note`, `warning` or `critical`.
    pub level: &'static str,
    /// The avatar that it is about, if it is about one.
    pub avatar_id: Option<String>,
    /// Since when, if that is known.
    pub since: Option<String>,
    /// What it is, for people.
    pub text: String,
}

impl AvatarView {
    /// An avatar at `now`.
    pub fn new(watch: &Watch, context: &AvatarContext<'_>, now: Timestamp) -> Self {
        let name = context.names.iter().flatten().find(|name| !is_blank(name));
        let sight = watch.observed.as_ref();
        let is_training = sight.is_some_and(|sight| sight.status == Status::Training);
        let training = watch.training_since().filter(|_| is_training);
        Self {
            id: watch.id.to_string(),
            name: name.map(|name| (*name).clone()),
            account: context.account.map(ToString::to_string),
            model: watch.model.clone(),
            configured: context.configured,
            discovered: context.discovered && context.configured != Some(true),
            status: sight.map(|sight| sight.status.to_string()),
            since: sight.map(|sight| sight.since.to_string()),
            last_seen_at: text(context.seen_at.max(sight.map(|sight| sight.last_seen_at))),
            training_seconds: training.map(|since| now.since(since).as_secs()),
            usual_training_seconds: context.usual.map(|usual| usual.as_secs()),
            failure: watch.failure.as_ref().map(|trouble| FailureView {
                kind: trouble.kind.name(),
                since: trouble.since.to_string(),
                reason: trouble.reason.clone(),
            }),
            deliveries_in_flight: context.counts.in_flight,
            deliveries_failed: context.counts.failed,
        }
    }

    /// Whether it is watched, as far as that is known, and not only remembered.
    pub fn is_watched(&self) -> bool {
        self.configured != Some(false) || self.discovered
    }

    /// What is judged of its failure, if it has one.
    pub fn failure_facts(&self) -> Option<AvatarFacts<'_>> {
        let FailureView { kind, since, reason } = self.failure.as_ref()?;
        let (account, since) = (self.account.as_deref(), moment(Some(since)));
        Some(AvatarFacts { id: &self.id, account, kind, since, reason })
    }

    /// What is judged of its status, if that is not a documented one.
    pub fn status_facts(&self) -> Option<StatusFacts<'_>> {
        StatusFacts::of(&self.id, self.status.as_deref()?, moment(self.since.as_deref()))
    }
}

impl TransitionView {
    /// A transition with its number among all.
    pub fn new(seq: i64, transition: &Transition) -> Self {
        Self {
            seq,
            avatar_id: transition.avatar_id.to_string(),
            sequence: transition.sequence,
            previous_status: transition.previous.status().map(ToString::to_string),
            previous_assumed: matches!(transition.previous, Previous::Assumed(_)),
            training_observed: transition.training_observed(),
            last_seen_previous_at: text(transition.last_seen_previous_at()),
            status: transition.status.to_string(),
            detected_at: transition.detected_at.to_string(),
            upstream_updated_at: transition.upstream_updated_at.clone(),
        }
    }
}

impl From<&DeliveryRow> for DeliveryView {
    fn from(row: &DeliveryRow) -> Self {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: row.id.to_string(),
            event_id: row.event_id.to_string(),
            event_type: row.event_type.clone(),
            subject: row.avatar_id.clone(),
            // What is about no avatar has words there, with a blank between them.
            avatar_id: given(&row.avatar_id).filter(|id| !id.contains(' ')),
            channel: row.channel.to_string(),
            recipient: given(&row.recipient),
            replay: row.replay,
            state: row.state.clone(),
            attempts: row.attempts,
            next_attempt_at: text(row.next_attempt_at),
            final_reason: row.final_reason.clone(),
            fallback: row.fallback.clone(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }
}

impl From<&AttemptRow> for AttemptView {
    fn from(row: &AttemptRow) -> Self {
        Self {
            number: row.number,
            trigger: row.trigger.clone(),
            started_at: row.started_at.to_string(),
            finished_at: text(row.finished_at),
            outcome: row.outcome.clone(),
            phase: row.phase.clone(),
            code: row.code,
            latency_ms: row.latency_ms,
            error: row.error.clone(),
            response: row.snippet.clone(),
        }
    }
}

impl ChannelView {
    /// A channel at `now`; its kind is the config's.
    pub fn new(row: &ChannelRow, kind: Option<&String>, now: Timestamp) -> Self {
        let health = &row.health;
        Self {
            name: row.name.to_string(),
            kind: kind.cloned(),
            configured: row.configured,
            state: health.state.name(),
            suspended_since: text(row.suspended_since),
            failing_since: text(row.failing_since()),
            reason: row.reason(),
            failing_recipients: row.recipients.iter().map(RecipientView::new).collect(),
            not_before: text(health.ready_at().filter(|at| *at > now)),
            in_flight: row.in_flight,
            oldest_in_flight_at: text(row.oldest_at),
            failed: row.failed,
            delivered_at: text(row.delivered_at),
        }
    }

    /// What is judged of it.
    pub fn facts(&self) -> ChannelFacts<'_> {
        ChannelFacts {
            name: &self.name,
            configured: self.configured,
            state: ChannelState::from_name(self.state).unwrap_or_default(),
            failing_since: moment(self.failing_since.as_deref()),
            reason: self.reason.as_deref(),
            in_flight: self.in_flight,
            oldest_at: moment(self.oldest_in_flight_at.as_deref()),
            failed: self.failed,
        }
    }
}

impl ConditionView {
    /// What is judged of it.
    pub fn facts(&self) -> ConditionFacts<'_> {
        ConditionFacts {
            kind: &self.kind,
            subject: &self.subject,
            since: moment(Some(&self.since)),
            cause: self.cause.as_deref(),
            reason: self.reason.as_deref(),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            level: finding.level.name(),
            avatar_id: finding.avatar.clone(),
            since: text(finding.since),
            text: finding.text.clone(),
        }
    }
}

impl From<&ConditionRow> for ConditionView {
    fn from(row: &ConditionRow) -> Self {
        Self {
            kind: row.kind.clone(),
            subject: row.subject.clone(),
            since: row.since.to_string(),
            cause: row.cause.clone(),
            reason: row.reason.clone(),
        }
    }
}

/// The moment of a text.
fn moment(at: Option<&str>) -> Option<Timestamp> {
    at.and_then(Timestamp::parse_rfc3339)
}

/// A moment as text.
pub fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
