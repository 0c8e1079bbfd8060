//! Views: the data types of the API, of `--json` on the command line and of the page.
//! `openapi.json` is their schema.
//!
//! Text from outside is not escaped here, but by the JSON serializer and the templates.

use serde::{Serialize, Serializer};

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::{Training, UsualDuration};
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::delivery::channel_health::{ChannelState, Pause};
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::polling::watch::Watch;
use crate::domain::status_report::{
    ChannelFacts, ConditionFacts, FailingAvatar, Finding, UnrecognizedAvatar,
};
use crate::domain::time::timestamp::Timestamp;
use crate::store::reader::{ChannelRow, ConditionRow};
use crate::store::tables::recipients::FailingRecipient;
use crate::text::sanitize::is_blank;
use crate::web::route_view::RouteView;
use crate::web::view_rows::ViewRows;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AvatarView {
    pub(crate) id: String,
    /// The name in the config, else the name in the API.
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) model: Option<String>,
    /// Whether the active config contains the avatar; `None` if the config cannot be read.
    pub(crate) configured: Option<bool>,
    /// Whether the avatar was discovered in the list of its account and is not in the config.
    pub(crate) discovered: bool,
    /// The last observed status; `None` before the first successful poll.
    pub(crate) status: Option<String>,
    /// When this status was first observed.
    pub(crate) since: Option<String>,
    /// When the avatar was last polled successfully. Polls without a change are known to the daemon
    /// only.
    pub(crate) last_seen_at: Option<String>,
    /// When the avatar is polled next; null for never. Known to the daemon only.
    pub(crate) next_poll_at: Option<String>,
    /// The time in training so far, in seconds; null if it is not in training.
    pub(crate) training_seconds: Option<u64>,
    /// How long trainings of its model usually take, if known.
    pub(crate) usual_training: Option<UsualView>,
    pub(crate) failure: Option<FailureView>,
    /// Deliveries about it that are pending or being sent.
    pub(crate) deliveries_in_flight: u64,
    /// Dead letters about it.
    pub(crate) dead_letters: u64,
    /// Its last observed training that ended; only where one avatar is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_training: Option<TrainingView>,
    /// Which channels get its next event, and why; only where one avatar is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) routes: Option<Vec<RouteView>>,
}

/// The input of an [`AvatarView`], besides the rows.
#[derive(Debug)]
pub(crate) struct AvatarContext<'a> {
    /// The possible names in order of preference; blank ones are skipped.
    pub(crate) names: [Option<&'a String>; 3],
    /// The account in the config.
    pub(crate) account: Option<&'a AccountName>,
    /// Whether the active config contains the avatar; `None` if the config cannot be read.
    pub(crate) configured: Option<bool>,
    /// The account in which it was discovered.
    pub(crate) discovered: Option<&'a AccountName>,
    /// When this process last polled it successfully.
    pub(crate) seen_at: Option<Timestamp>,
    pub(crate) next_poll_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FailureView {
    #[serde(serialize_with = "kind_name")]
    pub(crate) kind: FailureKind,
    pub(crate) since: String,
    pub(crate) reason: String,
}

/// The middle four fifths of the trainings that became ready.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct UsualView {
    pub(crate) seconds_min: u64,
    pub(crate) seconds_max: u64,
    /// The number of trainings.
    pub(crate) trainings: usize,
    /// In words.
    #[serde(skip)]
    pub(crate) text: String,
}

/// An observed training that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TrainingView {
    /// The model of the avatar.
    pub(crate) model: Option<String>,
    /// The minimum duration in whole seconds.
    pub(crate) seconds_min: u64,
    /// The maximum duration in whole seconds; `None` if its start was not observed.
    pub(crate) seconds_max: Option<u64>,
    /// When the status before was last observed.
    pub(crate) started_after: Option<String>,
    /// When it was first observed.
    pub(crate) started_before: String,
    /// The duration in words.
    #[serde(skip)]
    pub(crate) text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TransitionView {
    /// The number among the transitions of all avatars.
    pub(crate) seq: i64,
    pub(crate) avatar_id: String,
    /// Its name: that in the config, else that in the API.
    pub(crate) avatar_name: Option<String>,
    /// The number among the transitions of the avatar, from 1, without gaps.
    pub(crate) sequence: u64,
    /// The previous status; `None` in the first transition.
    pub(crate) previous_status: Option<String>,
    /// Whether the previous status is `assume` of the config instead of an observed one.
    pub(crate) previous_assumed: bool,
    /// Whether the avatar was observed in training before this end of a training.
    pub(crate) training_observed: bool,
    /// The training that ended, if it was observed.
    pub(crate) training: Option<TrainingView>,
    pub(crate) last_seen_previous_at: Option<String>,
    pub(crate) status: String,
    pub(crate) detected_at: String,
    /// `updatedAt` of the API response, unchanged.
    pub(crate) upstream_updated_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ChannelView {
    pub(crate) name: String,
    /// The kind, such as `webhook, standard`; `None` if the channel is not in the active config.
    pub(crate) kind: Option<String>,
    /// The avatars that it is for; `None` is every avatar.
    pub(crate) only: Option<String>,
    pub(crate) configured: bool,
    /// `active`, `paused` or `disabled`.
    pub(crate) state: &'static str,
    /// Since when deliveries are suspended, because the channel is paused, disabled or not in the
    /// config.
    pub(crate) suspended_since: Option<String>,
    /// When the pause ends on its own.
    pub(crate) paused_until: Option<String>,
    pub(crate) pause_reason: Option<String>,
    /// Since when the channel, or one of its recipients, has been failing.
    pub(crate) failing_since: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) failing_recipients: Vec<RecipientView>,
    /// No delivery is attempted before this time.
    pub(crate) not_before: Option<String>,
    /// Deliveries that are pending or being sent.
    pub(crate) in_flight: u64,
    pub(crate) oldest_in_flight_at: Option<String>,
    /// Dead letters to it.
    pub(crate) dead_letters: u64,
    /// When the last delivery succeeded.
    pub(crate) delivered_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RecipientView {
    pub(crate) recipient: String,
    pub(crate) failing_since: String,
    pub(crate) reason: Option<String>,
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

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ConditionView {
    /// The kind, such as `account.unavailable`.
    pub(crate) kind: String,
    /// The subject: the id of an avatar, or a text such as `account argil`.
    pub(crate) subject: String,
    pub(crate) since: String,
    /// The cause of an account condition.
    pub(crate) cause: Option<String>,
    pub(crate) reason: Option<String>,
    /// The name of the avatar.
    #[serde(skip)]
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AccountView {
    pub(crate) name: String,
    /// The last successful poll with its key since the start of the daemon; always `None` on the
    /// command line.
    pub(crate) last_success_at: Option<String>,
    /// The condition `account.unavailable`, if it is active.
    pub(crate) unavailable: Option<ConditionView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FindingView {
    /// `notice`, `warning` or `critical`.
    pub(crate) severity: &'static str,
    pub(crate) avatar_id: Option<String>,
    pub(crate) since: Option<String>,
    /// What comes before the time since then.
    #[serde(skip)]
    pub(crate) lasting: &'static str,
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) help: String,
}

impl AvatarView {
    pub(crate) fn new(
        watch: &Watch,
        rows: &ViewRows,
        context: &AvatarContext<'_>,
        now: Timestamp,
    ) -> Self {
        let discovered = context.discovered;
        let usual = rows.usual_training.get(&watch.model).copied().flatten();
        let counts = rows.counts.get(&watch.id).copied().unwrap_or_default();
        let name = context.names.iter().flatten().find(|name| !is_blank(name));
        let observed = watch.observed.as_ref();
        let is_training = observed.is_some_and(|it| it.status == Status::Training);
        let training = watch.training_since().filter(|_| is_training);
        Self {
            id: watch.id.to_string(),
            name: name.map(|name| (*name).clone()),
            account: context.account.or(discovered).map(ToString::to_string),
            model: watch.model.clone(),
            configured: context.configured,
            discovered: discovered.is_some() && context.configured != Some(true),
            status: observed.map(|it| it.status.to_string()),
            since: observed.map(|it| it.since.to_string()),
            next_poll_at: text(context.next_poll_at.map(|at| at.max(now))),
            last_seen_at: text(context.seen_at.max(observed.map(|it| it.last_seen_at))),
            training_seconds: training.map(|since| now.since(since).as_secs()),
            usual_training: usual.map(UsualView::from),
            failure: watch.failure.as_ref().map(|failure| FailureView {
                kind: failure.kind,
                since: failure.since.to_string(),
                reason: failure.reason.clone(),
            }),
            deliveries_in_flight: counts.undelivered,
            dead_letters: counts.dead_letters,
            last_training: None,
            routes: None,
        }
    }

    /// Whether it is watched, or may be when the config cannot be read.
    pub(crate) fn is_watched(&self) -> bool {
        self.configured != Some(false) || self.discovered
    }

    /// The input about its failure for the status report.
    pub(crate) fn if_failing(&self) -> Option<FailingAvatar<'_>> {
        let FailureView { kind, since, reason } = self.failure.as_ref()?;
        Some(FailingAvatar {
            id: &self.id,
            name: self.name.as_deref(),
            account: self.account.as_deref(),
            kind: *kind,
            since: parse(Some(since)),
            reason,
        })
    }

    /// The input about an unrecognized status for the status report.
    pub(crate) fn if_unrecognized(&self) -> Option<UnrecognizedAvatar<'_>> {
        let status = self.status.as_deref()?;
        let (name, since) = (self.name.as_deref(), parse(self.since.as_deref()));
        let is_recognized = Status::from_name(status).is_recognized();
        (!is_recognized).then_some(UnrecognizedAvatar { id: &self.id, name, status, since })
    }
}

impl From<UsualDuration> for UsualView {
    fn from(usual: UsualDuration) -> Self {
        Self {
            seconds_min: usual.min.as_secs(),
            seconds_max: usual.max.as_secs(),
            trainings: usual.count,
            text: usual.to_string(),
        }
    }
}

impl From<&Training> for TrainingView {
    fn from(training: &Training) -> Self {
        Self {
            model: training.model.clone(),
            seconds_min: training.seconds_min(),
            seconds_max: training.seconds_max(),
            started_after: text(training.start.after),
            started_before: training.start.before.to_string(),
            text: training.describe_duration(),
        }
    }
}

impl TransitionView {
    pub(crate) fn new(seq: i64, transition: &Transition, name: Option<&str>) -> Self {
        Self {
            seq,
            avatar_id: transition.avatar_id.to_string(),
            avatar_name: name.map(str::to_owned),
            sequence: transition.sequence,
            previous_status: transition.previous.status().map(ToString::to_string),
            previous_assumed: matches!(transition.previous, Previous::Assumed(_)),
            training_observed: transition.training_observed(),
            training: transition.training.as_ref().map(TrainingView::from),
            last_seen_previous_at: text(transition.last_seen_previous_at()),
            status: transition.status.to_string(),
            detected_at: transition.detected_at.to_string(),
            upstream_updated_at: transition.upstream_updated_at.clone(),
        }
    }
}

impl ChannelView {
    pub(crate) fn new(row: &ChannelRow, kind: Option<&String>, now: Timestamp) -> Self {
        let health = &row.health;
        let pause = Some(&health.pause).filter(|_| health.state == ChannelState::Paused);
        Self {
            name: row.name.to_string(),
            kind: kind.cloned(),
            only: None,
            configured: row.configured,
            state: health.state.name(),
            suspended_since: text(row.suspended_since),
            paused_until: text(pause.and_then(|pause| pause.until)),
            pause_reason: pause.and_then(|pause| pause.reason.clone()),
            failing_since: text(row.failing_since()),
            reason: row.reason(),
            failing_recipients: row.recipients.iter().map(RecipientView::new).collect(),
            not_before: text(health.ready_at().filter(|at| *at > now)),
            in_flight: row.undelivered,
            oldest_in_flight_at: text(row.oldest_at),
            dead_letters: row.dead_letters,
            delivered_at: text(row.delivered_at),
        }
    }

    /// What follows the word `paused`.
    pub(crate) fn pause(&self) -> Pause {
        Pause { until: parse(self.paused_until.as_deref()), reason: self.pause_reason.clone() }
    }

    pub(crate) fn facts(&self) -> ChannelFacts<'_> {
        ChannelFacts {
            name: &self.name,
            configured: self.configured,
            state: ChannelState::from_name(self.state).unwrap_or_default(),
            failing_since: parse(self.failing_since.as_deref()),
            reason: self.reason.as_deref(),
            paused_until: parse(self.paused_until.as_deref()),
            pause_reason: self.pause_reason.as_deref(),
            undelivered: self.in_flight,
            oldest_at: parse(self.oldest_in_flight_at.as_deref()),
            dead_letters: self.dead_letters,
        }
    }
}

impl ConditionView {
    /// The input for the status report.
    pub(crate) fn facts(&self) -> ConditionFacts<'_> {
        ConditionFacts {
            kind: &self.kind,
            subject: &self.subject,
            name: self.name.as_deref(),
            since: parse(Some(&self.since)),
            cause: self.cause.as_deref(),
            reason: self.reason.as_deref(),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.name(),
            avatar_id: finding.avatar.clone(),
            since: text(finding.since),
            lasting: finding.lasting,
            text: finding.text.clone(),
            help: finding.help.clone(),
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
            name: None,
        }
    }
}

fn kind_name<S: Serializer>(kind: &FailureKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

fn parse(at: Option<&str>) -> Option<Timestamp> {
    at.and_then(Timestamp::parse_rfc3339)
}

/// Formats as RFC 3339.
pub(crate) fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
