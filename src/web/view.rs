//! What is shown of each thing, in the words of the API. The page shows the same.

use serde::Serialize;

use crate::domain::foreign_text::plain;
use crate::domain::health::ChannelState;
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::transition::{Previous, Transition};
use crate::domain::verdict::{AvatarFacts, ChannelFacts, ConditionFacts, Finding};
use crate::domain::watch::Watch;
use crate::store::reader::{AttemptRow, ChannelRow, ConditionRow, DeliveryRow, FailingRecipient};

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
    /// Whether the config registers it.
    pub configured: bool,
    /// Whether a list showed it, and the config does not register it.
    pub discovered: bool,
    /// The status that was last seen; none before the first sight.
    pub status: Option<String>,
    /// When that status was first seen.
    pub since: Option<String>,
    /// When it was last seen, as far as this process and the tables know.
    pub last_seen_at: Option<String>,
    /// For how long it has been in training, in seconds, while it is.
    pub training_seconds: Option<u64>,
    /// How long a training of its model usually lasts, in seconds, once that is known.
    pub usual_training_seconds: Option<u64>,
    /// Why it cannot be seen just now.
    pub trouble: Option<TroubleView>,
    /// Deliveries about it that wait or are being sent.
    pub deliveries_under_way: u64,
    /// Dead letters about it that were not sent again since.
    pub deliveries_failed: u64,
}

/// Why an avatar cannot be seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TroubleView {
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
    /// Its place among those of all avatars.
    pub place: i64,
    /// The avatar.
    pub avatar_id: String,
    /// Its number among those of the avatar.
    pub sequence: u64,
    /// The status before; none at the first sight.
    pub previous_status: Option<String>,
    /// Whether the status before was seen by us, and not only assumed.
    pub previous_seen: bool,
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
    /// How many tries were begun.
    pub attempts: u32,
    /// When the next try is due.
    pub next_attempt_at: Option<String>,
    /// Why it ended, if it failed or was cancelled.
    pub final_reason: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// One try at a delivery.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptView {
    /// Its number, from one.
    pub number: u32,
    /// `scheduled` or `manual`.
    pub trigger: String,
    /// When it began.
    pub started_at: String,
    /// When it ended; none while it is under way.
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
    /// Its kind, if the config has it.
    pub kind: Option<String>,
    /// Whether the config has it.
    pub configured: bool,
    /// `active`, `paused` or `disabled`.
    pub state: &'static str,
    /// Since when it has been failing.
    pub failing_since: Option<String>,
    /// What went wrong last.
    pub reason: Option<String>,
    /// Its recipients that get nothing, though others may get theirs.
    pub failing_recipients: Vec<RecipientView>,
    /// It is left alone until then.
    pub not_before: Option<String>,
    /// Deliveries that wait or are being sent.
    pub under_way: u64,
    /// When the oldest of them was made.
    pub oldest_under_way_at: Option<String>,
    /// Dead letters that were not sent again since.
    pub failed: u64,
    /// When it last took something.
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
            recipient: plain(&failing.address),
            failing_since: failing.since.to_string(),
            reason: failing.reason.as_deref().map(plain),
        }
    }
}

/// A condition that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionView {
    /// Its kind, such as `watch.blind`.
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
    /// When its key last showed anything, since the start.
    pub answered_at: Option<String>,
    /// Why nothing can be seen with it, if so.
    pub blind: Option<ConditionView>,
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

/// All at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusView {
    /// The program's version.
    pub version: &'static str,
    /// The moment of this answer.
    pub now: String,
    /// Whether nobody has to look: the verdict is `ok` or `note`.
    pub well: bool,
    /// `ok`, `note`, `warning` or `critical`: the worst of the findings.
    pub verdict: &'static str,
    /// The same as a sentence.
    #[serde(skip)]
    pub headline: &'static str,
    /// What is wrong, or worth knowing, the worst first.
    pub findings: Vec<FindingView>,
    /// How many avatars are watched.
    pub avatars: u64,
    /// How many of them are in training.
    pub training: u64,
    /// Deliveries that wait or are being sent.
    pub deliveries_under_way: u64,
    /// Dead letters that were not sent again since.
    pub deliveries_failed: u64,
    /// When the oldest delivery was made that is not delivered.
    pub oldest_undelivered_at: Option<String>,
    /// The accounts.
    pub accounts: Vec<AccountView>,
    /// The channels.
    pub channels: Vec<ChannelView>,
    /// The conditions that hold.
    pub conditions: Vec<ConditionView>,
}

impl AvatarView {
    /// Whether it is watched, and not only remembered.
    pub const fn is_watched(&self) -> bool {
        self.configured || self.discovered
    }
}

impl TroubleView {
    /// The trouble of a watch, if it has any.
    pub fn of(watch: &Watch) -> Option<Self> {
        watch.trouble.as_ref().map(|trouble| Self {
            kind: trouble.kind.name(),
            since: trouble.since.to_string(),
            reason: plain(&trouble.reason),
        })
    }
}

impl TransitionView {
    /// A transition at its place.
    pub fn new(place: i64, transition: &Transition) -> Self {
        let previous_seen = matches!(transition.previous, Previous::Seen { .. });
        Self {
            place,
            avatar_id: transition.avatar_id.to_string(),
            sequence: transition.sequence,
            previous_status: transition.previous.status().map(shown),
            previous_seen,
            last_seen_previous_at: text(transition.last_seen_previous_at()),
            status: shown(&transition.status),
            detected_at: transition.detected_at.to_string(),
            upstream_updated_at: transition.upstream_updated_at.as_deref().map(plain),
        }
    }
}

impl From<&DeliveryRow> for DeliveryView {
    fn from(row: &DeliveryRow) -> Self {
        let given = |text: &str| (!text.is_empty()).then(|| plain(text));
        Self {
            id: row.id.to_string(),
            event_id: row.event_id.to_string(),
            event_type: row.event_type.clone(),
            // What is about no avatar has words there, with a blank between them.
            avatar_id: given(&row.avatar_id).filter(|id| !id.contains(' ')),
            channel: row.channel.to_string(),
            recipient: given(&row.recipient),
            replay: row.replay,
            state: row.state.clone(),
            attempts: row.attempts,
            next_attempt_at: text(row.next_attempt_at),
            final_reason: row.final_reason.as_deref().map(plain),
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
            error: row.error.as_deref().map(plain),
            response: row.snippet.as_deref().map(plain),
        }
    }
}

impl ChannelView {
    /// A channel at `now`; its kind is the config's word.
    pub fn new(row: &ChannelRow, kind: Option<&String>, now: Timestamp) -> Self {
        let health = &row.health;
        Self {
            name: row.name.to_string(),
            kind: kind.cloned(),
            configured: kind.is_some(),
            state: health.state.name(),
            failing_since: text(row.failing_since()),
            reason: row.reason().as_deref().map(plain),
            failing_recipients: row.recipients.iter().map(RecipientView::new).collect(),
            not_before: text(health.ready_at().filter(|at| *at > now)),
            under_way: row.under_way,
            oldest_under_way_at: text(row.oldest_at),
            failed: row.failed,
            delivered_at: text(row.delivered_at),
        }
    }
}

impl ChannelView {
    /// What is judged of it.
    pub fn facts(&self) -> ChannelFacts<'_> {
        ChannelFacts {
            name: &self.name,
            configured: self.configured,
            state: ChannelState::from_name(self.state).unwrap_or_default(),
            failing_since: moment(self.failing_since.as_deref()),
            reason: self.reason.as_deref(),
            under_way: self.under_way,
            oldest_at: moment(self.oldest_under_way_at.as_deref()),
            failed: self.failed,
        }
    }
}

impl TroubleView {
    /// What is judged of the avatar that has it.
    pub fn facts<'a>(&'a self, id: &'a str, account: Option<&'a str>) -> AvatarFacts<'a> {
        let since = moment(Some(&self.since));
        AvatarFacts { id, account, kind: self.kind, since, reason: &self.reason }
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
            avatar_id: finding.avatar.as_deref().map(plain),
            since: text(finding.since),
            text: plain(&finding.text),
        }
    }
}

impl From<&ConditionRow> for ConditionView {
    fn from(row: &ConditionRow) -> Self {
        Self {
            kind: row.kind.clone(),
            subject: plain(&row.subject),
            since: row.since.to_string(),
            cause: row.cause.clone(),
            reason: row.reason.as_deref().map(plain),
        }
    }
}

/// A status as it may be shown: an unknown one can hold anything.
pub fn shown(status: &Status) -> String {
    plain(status.name())
}

/// The moment of a text.
fn moment(at: Option<&str>) -> Option<Timestamp> {
    at.and_then(Timestamp::parse_rfc3339)
}

/// A moment as text.
pub fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
