//! The status report: evaluates what is known into findings, the worst first.
//!
//! The page, the API and the command line share this evaluation, so that they never disagree. It
//! uses only its inputs, and sends no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel_health::ChannelState;
use crate::domain::event::EventKind;
use crate::domain::ordering_key::OrderingKey;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;
use crate::text::plural::counted;
use crate::text::sanitize::sanitize_line;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// No findings.
    Ok,
    /// Intended by an operator, or probably transient.
    Notice,
    /// An operator should check it.
    Warning,
    /// An operator must act.
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub severity: Severity,
    pub avatar: Option<String>,
    pub since: Option<Timestamp>,
    /// The text for people. It can contain untrusted text.
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct StatusInputs<'a> {
    pub running: bool,
    pub stalled: Vec<&'a str>,
    /// Why the daemon cannot work at all, as a sentence.
    pub not_ready_reason: Option<&'a str>,
    pub config_readable: bool,
    /// The problems of the config file, which would reject a reload.
    pub config_problems: &'a [String],
    /// The changes of the config file that were not reloaded.
    pub config_changes: &'a [String],
    /// The number of watched avatars; `None` if unknown, or with discovery.
    pub watched: Option<usize>,
    /// The firing conditions of what is watched.
    pub conditions: Vec<ConditionFacts<'a>>,
    /// The channels; `None` if not requested.
    pub channels: Option<Vec<ChannelFacts<'a>>>,
    pub failing: Vec<FailingAvatar<'a>>,
    pub unrecognized: Vec<UnrecognizedAvatar<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ConditionFacts<'a> {
    /// Its kind, such as `account.unavailable`.
    pub kind: &'a str,
    /// The subject: an avatar's id, or words such as `account argil`.
    pub subject: &'a str,
    /// The name of the avatar.
    pub name: Option<&'a str>,
    pub since: Option<Timestamp>,
    /// The cause of an outage, as a word.
    pub cause: Option<&'a str>,
    pub reason: Option<&'a str>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelFacts<'a> {
    pub name: &'a str,
    pub configured: bool,
    pub state: ChannelState,
    pub failing_since: Option<Timestamp>,
    pub reason: Option<&'a str>,
    /// Deliveries that are pending or being sent.
    pub undelivered: u64,
    pub oldest_at: Option<Timestamp>,
    /// Dead letters that were not sent again.
    pub dead_letters: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FailingAvatar<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    pub account: Option<&'a str>,
    pub kind: FailureKind,
    pub since: Option<Timestamp>,
    pub reason: &'a str,
}

/// An avatar in a status that this version does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnrecognizedAvatar<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    pub status: &'a str,
    pub since: Option<Timestamp>,
}

impl Severity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Notice => "OK, with notices",
            Self::Warning => "Warnings",
            Self::Critical => "Critical problems",
        }
    }

    pub(crate) fn of(findings: &[Finding]) -> Self {
        findings.iter().map(|finding| finding.severity).max().unwrap_or(Self::Ok)
    }

    /// Whether no operator needs to act.
    pub(crate) fn is_well(self) -> bool {
        self < Self::Warning
    }
}

/// Evaluates the inputs into findings, the worst first; a message is late if it is older than
/// `late_after`.
pub(crate) fn evaluate(
    inputs: &StatusInputs<'_>,
    late_after: Duration,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !inputs.running {
        findings.push(found(Severity::Critical, "the daemon is not running".to_owned()));
    }
    let stalled = inputs.stalled.iter().map(|part| format!("the {part} of the daemon is stalled"));
    findings.extend(stalled.map(|text| found(Severity::Critical, text)));
    findings.extend(inputs.not_ready_reason.map(|text| found(Severity::Critical, text.to_owned())));
    findings.extend(inputs.conditions.iter().filter_map(condition));
    let channels = inputs.channels.iter().flatten();
    findings.extend(channels.flat_map(|it| channel(it, late_after, now)));
    if inputs.channels.as_ref().is_some_and(|all| !all.iter().any(|it| it.configured)) {
        findings.push(found(
            Severity::Notice,
            "there are no channels, so no notifications are sent".to_owned(),
        ));
    }
    if inputs.watched == Some(0) {
        findings.push(found(Severity::Warning, "no avatar is watched".to_owned()));
    }
    let subjects = |are_unrecognized: bool| -> BTreeSet<&str> {
        let is_wanted =
            |it: &&ConditionFacts<'_>| (it.kind == UNRECOGNIZED.name()) == are_unrecognized;
        inputs.conditions.iter().filter(is_wanted).map(|it| it.subject).collect()
    };
    let reported = subjects(true);
    let unreported = inputs.unrecognized.iter().filter(|avatar| !reported.contains(avatar.id));
    findings.extend(unreported.map(unrecognized));
    let reported = subjects(false);
    let unreported = inputs.failing.iter().filter(|avatar| !is_reported(avatar, &reported));
    findings.extend(by_cause(unreported).iter().filter_map(|avatars| failing(avatars, now)));
    findings.extend(config(inputs).map(|text| found(Severity::Warning, text)));
    // Stable: of what is equally bad, the first comes first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Why nothing is sent to a channel, as a word; `None` for a healthy channel, and for one that is
/// not in the config and has no pending deliveries.
pub(crate) const fn blocked_reason(
    configured: bool,
    state: ChannelState,
    failing: bool,
    undelivered: u64,
) -> Option<&'static str> {
    match (configured, state, failing) {
        (false, _, _) if undelivered > 0 => Some("not in the config"),
        (true, ChannelState::Disabled, _) => Some("DISABLED"),
        (true, ChannelState::Paused, _) => Some("paused"),
        (true, ChannelState::Active, true) => Some("FAILING"),
        (false, _, _) | (true, ChannelState::Active, false) => None,
    }
}

/// The finding about the config file, which may differ from the active config.
fn config(inputs: &StatusInputs<'_>) -> Option<String> {
    match (inputs.config_readable, inputs.config_problems, inputs.config_changes) {
        (false, [], _) => Some("the config cannot be read".to_owned()),
        (false, [first, ..], _) => Some(format!("the config cannot be read: {first}")),
        (true, all @ [first, ..], _) => {
            Some(format!("the config has {}: {first}", counted(all.len(), "problem")))
        }
        (true, [], [only]) => Some(format!("the config was changed and not reloaded: {only}")),
        (true, [], [first, rest @ ..]) => {
            let more = rest.len();
            Some(format!("the config was changed and not reloaded: {first}, and {more} more"))
        }
        (true, [], []) => None,
    }
}

fn found(severity: Severity, text: String) -> Finding {
    Finding { severity, avatar: None, since: None, text }
}

/// The finding of a firing condition; those of channels are covered by the channel.
fn condition(condition: &ConditionFacts<'_>) -> Option<Finding> {
    let ConditionFacts { kind, subject, name, since, cause, reason } = condition;
    if kind.starts_with("channel.") {
        return None;
    }
    let cause = cause.map(|cause| format!(", {}", cause.replace('_', " "))).unwrap_or_default();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let is_outage = *kind == EventKind::AccountUnavailable.name();
    Some(Finding {
        severity: if is_outage { Severity::Critical } else { Severity::Warning },
        avatar: OrderingKey::from_text(subject).avatar_id().map(AvatarId::to_string),
        since: *since,
        text: format!("{kind} for {}{cause}{reason}", named(*name, subject)),
    })
}

/// The findings of a channel, and of deliveries that wait too long or in vain.
fn channel(channel: &ChannelFacts<'_>, late_after: Duration, now: Timestamp) -> Vec<Finding> {
    let ChannelFacts { name, configured, state, failing_since, undelivered, dead_letters, .. } =
        *channel;
    let blocked = blocked_reason(configured, state, failing_since.is_some(), undelivered);
    let reason = channel.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut findings = Vec::new();
    let suspended = !configured || state == ChannelState::Paused;
    if let Some(word) = blocked {
        let severity = match state {
            ChannelState::Disabled if !suspended => Severity::Critical,
            ChannelState::Active if !suspended => Severity::Warning,
            // Intended by an operator; pending deliveries are reported below.
            ChannelState::Active | ChannelState::Paused | ChannelState::Disabled => {
                Severity::Notice
            }
        };
        let is_reported_below = suspended && undelivered > 0;
        if !is_reported_below {
            let text = format!("channel {name} is {word}{reason}");
            findings.push(Finding { since: failing_since, ..found(severity, text) });
        }
    }
    if dead_letters > 0 {
        let dead = counted(dead_letters, "dead letter");
        findings.push(found(Severity::Critical, format!("{dead} of channel {name}")));
    }
    let age = channel.oldest_at.map(|at| now.since(at));
    let late = age.is_some_and(|age| age > late_after);
    if undelivered > 0 && (late || suspended) {
        let state = blocked.map(|word| format!(", which is {word}")).unwrap_or_default();
        let oldest =
            age.map(|age| format!(", the oldest for {}", humanize(age))).unwrap_or_default();
        let waiting = counted(undelivered, "message");
        let text = format!("{waiting} waiting for channel {name}{state}{oldest}");
        // A pause is temporary; deliveries of a removed channel wait in vain.
        let is_intended = configured && suspended && !late;
        findings.push(found(if is_intended { Severity::Notice } else { Severity::Warning }, text));
    }
    findings
}

/// Whether a condition of the avatar or of its account says the same.
fn is_reported(avatar: &FailingAvatar<'_>, reported: &BTreeSet<&str>) -> bool {
    let account = avatar.account.map(|name| format!("account {name}"));
    reported.contains(avatar.id)
        || account.is_some_and(|account| reported.contains(account.as_str()))
}

/// Failing avatars in groups with one account and cause; a missing avatar is a group of its own.
fn by_cause<'f, 'a>(
    avatars: impl Iterator<Item = &'f FailingAvatar<'a>>,
) -> Vec<Vec<&'f FailingAvatar<'a>>> {
    let mut groups: BTreeMap<_, Vec<&FailingAvatar<'_>>> = BTreeMap::new();
    for avatar in avatars {
        let own = (avatar.kind == FailureKind::Missing).then_some(avatar.id);
        let cause = (avatar.account, avatar.kind.name(), avatar.reason, own);
        groups.entry(cause).or_default().push(avatar);
    }
    groups.into_values().collect()
}

/// The finding of failures with one cause and without a condition: a notice only while they may be
/// transient.
fn failing(avatars: &[&FailingAvatar<'_>], now: Timestamp) -> Option<Finding> {
    let first = avatars.first()?;
    let (subject, avatar) = if avatars.len() == 1 {
        (format!("avatar {}", named(first.name, first.id)), Some(first.id.to_owned()))
    } else {
        let account = first.account.map(|name| format!(" of account {name}")).unwrap_or_default();
        (format!("{}{account}", counted(avatars.len(), "avatar")), None)
    };
    let since = avatars.iter().filter_map(|avatar| avatar.since).min();
    let is_lasting = since.is_some_and(|since| now.since(since) > GRACE);
    let reason = first.reason;
    Some(Finding {
        severity: if is_lasting || first.kind == FailureKind::Missing {
            Severity::Warning
        } else {
            Severity::Notice
        },
        avatar,
        since,
        text: match first.kind {
            FailureKind::Missing => format!("{subject} is missing: {reason}"),
            FailureKind::Denied => format!("polling {subject} is denied: {reason}"),
            FailureKind::Throttled => format!("polling {subject} is rate-limited: {reason}"),
            FailureKind::Failed => format!("polling {subject} fails: {reason}"),
        },
    })
}

/// The finding of an unrecognized status without a condition, because it was reported before.
fn unrecognized(avatar: &UnrecognizedAvatar<'_>) -> Finding {
    let UnrecognizedAvatar { id, name, status, since } = avatar;
    let shown = Status::from_name(status).display().into_owned();
    Finding {
        severity: Severity::Warning,
        avatar: Some((*id).to_owned()),
        since: *since,
        text: format!("avatar {} has the unknown status {shown}", named(*name, id)),
    }
}

/// The name of an avatar, if it has one, and its id.
fn named(name: Option<&str>, id: &str) -> String {
    match name {
        Some(name) => format!("\"{}\" ({id})", sanitize_line(name, NAME_CHARS_MAX)),
        None => id.to_owned(),
    }
}

pub(crate) const UNWRITABLE: &str = "the database is not writable: observations are kept in \
                                     memory, and no notifications are sent";

/// Characters of a name in tables and findings.
pub(crate) const NAME_CHARS_MAX: usize = 60;
const UNRECOGNIZED: EventKind = EventKind::AvatarStatusUnrecognized;

/// The default of `late_after`: longer than the first delays of the usual schedule, shorter than an
/// outage.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(10 * 60);
/// A failed poll is repeated within seconds or minutes; only lasting failures are warnings.
const GRACE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
#[path = "status_report_tests.rs"]
mod tests;
