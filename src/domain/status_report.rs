//! The status report: evaluates what is known into findings, the worst first.
//!
//! The page, the API and the command line share this evaluation, so that they never disagree. It
//! uses only its inputs, and sends no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::condition::OutageCause;
use crate::domain::delivery::channel_health::{ChannelState, Pause};
use crate::domain::event::EventKind;
use crate::domain::help::HelpTopic;
use crate::domain::ordering_key::OrderingKey;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::time::humanize::humanize;
use crate::domain::time::time_zone::TimeZone;
use crate::domain::time::timestamp::Timestamp;
use crate::domain::unreached_avatars::UnreachedAvatars;
use crate::text::capitalize::capitalized;
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
    /// What comes before the time since then: `, for`, or what lasts, if that is not the text.
    pub lasting: &'static str,
    /// What is wrong, as a sentence without a full stop. It can contain untrusted text.
    pub text: String,
    /// What to do about it.
    pub help: String,
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
    pub watched: Option<u64>,
    /// The firing conditions of what is watched.
    pub conditions: Vec<ConditionFacts<'a>>,
    /// The channels; `None` if not requested.
    pub channels: Option<Vec<ChannelFacts<'a>>>,
    /// The avatars that reach none of the channels.
    pub unreached: UnreachedAvatars,
    pub failing: Vec<FailingAvatar<'a>>,
    pub unrecognized: Vec<UnrecognizedAvatar<'a>>,
    /// The zone of times in texts.
    pub time_zone: TimeZone,
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
    /// When its pause ends on its own.
    pub paused_until: Option<Timestamp>,
    pub pause_reason: Option<&'a str>,
    /// Deliveries that are pending or being sent.
    pub undelivered: u64,
    pub oldest_at: Option<Timestamp>,
    /// Dead letters.
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
    let mut findings: Vec<Finding> = daemon(inputs).collect();
    let has_config_problems = !inputs.config_problems.is_empty();
    // The problems of the file say more than the condition.
    let conditions = inputs
        .conditions
        .iter()
        .filter(|it| !(has_config_problems && it.kind == EventKind::ConfigRejected.name()));
    findings.extend(by_name(conditions.filter_map(condition)));
    let channels = inputs.channels.iter().flatten();
    findings.extend(channels.flat_map(|it| channel(it, &inputs.time_zone, late_after, now)));
    if inputs.channels.as_ref().is_some_and(|all| !all.iter().any(|it| it.configured)) {
        let text = "There are no channels, so no notifications are sent".to_owned();
        findings.push(found(Severity::Notice, text, HelpTopic::NoChannels));
    }
    if inputs.watched == Some(0) {
        let text = "No avatar is watched".to_owned();
        findings.push(found(Severity::Warning, text, HelpTopic::NoAvatars));
    }
    findings.extend(unreached(&inputs.unreached));
    let subjects = |are_unrecognized: bool| -> BTreeSet<&str> {
        let is_wanted =
            |it: &&ConditionFacts<'_>| (it.kind == UNRECOGNIZED.name()) == are_unrecognized;
        inputs.conditions.iter().filter(is_wanted).map(|it| it.subject).collect()
    };
    let reported = subjects(true);
    let unreported = inputs.unrecognized.iter().filter(|avatar| !reported.contains(avatar.id));
    findings.extend(by_name(unreported.map(unrecognized)));
    let reported = subjects(false);
    let unreported = inputs.failing.iter().filter(|avatar| !is_reported(avatar, &reported));
    let unreported = by_cause(unreported);
    findings.extend(by_name(unreported.iter().filter_map(|avatars| failing(avatars, now))));
    findings.extend(config(inputs));
    // Stable: of what is equally bad, the first comes first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Findings of one kind beside each other, each kind where its first one is, and by name within it.
fn by_name(findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut kinds: Vec<Vec<Finding>> = Vec::new();
    for finding in findings {
        match kinds
            .iter_mut()
            .find(|of_kind| of_kind.first().is_some_and(|it| it.help == finding.help))
        {
            Some(of_kind) => of_kind.push(finding),
            None => kinds.push(vec![finding]),
        }
    }
    kinds.iter_mut().for_each(|of_kind| of_kind.sort_by_cached_key(|it| it.text.to_lowercase()));
    kinds.into_iter().flatten().collect()
}

/// The finding of avatars that reach no channel: often intended, unless none reaches one.
fn unreached(avatars: &UnreachedAvatars) -> Option<Finding> {
    let severity = match avatars.others_are_reached || !avatars.is_complete {
        true => Severity::Notice,
        false => Severity::Warning,
    };
    let avatar = avatars.only().map(str::to_owned);
    let found = found(severity, avatars.sentence()?, HelpTopic::AvatarsUnreached);
    Some(Finding { avatar, ..found })
}

/// The findings about the daemon itself.
fn daemon(inputs: &StatusInputs<'_>) -> impl Iterator<Item = Finding> {
    let critical = |text: String, topic| found(Severity::Critical, text, topic);
    let stopped = (!inputs.running)
        .then(|| critical("The daemon is not running".to_owned(), HelpTopic::DaemonStopped));
    let stalled = inputs.stalled.iter().map(move |part| {
        critical(format!("The {part} of the daemon is stalled"), HelpTopic::DaemonStalled)
    });
    let not_ready = inputs.not_ready_reason.map(|reason| {
        let topic = match reason.starts_with(UNWRITABLE) {
            true => HelpTopic::DatabaseUnwritable,
            false => HelpTopic::DaemonNotReady,
        };
        critical(capitalized(reason), topic)
    });
    stopped.into_iter().chain(stalled).chain(not_ready)
}

/// The finding about the config file, which may differ from the active config.
fn config(inputs: &StatusInputs<'_>) -> Option<Finding> {
    let (text, topic) = match (inputs.config_readable, inputs.config_problems) {
        (false, []) => ("The config cannot be read".to_owned(), HelpTopic::ConfigUnreadable),
        (false, [first, ..]) => {
            (format!("The config cannot be read: {first}"), HelpTopic::ConfigUnreadable)
        }
        (true, all @ [first, ..]) => {
            let problems = counted(all.len(), "problem");
            (format!("The config has {problems}: {first}"), HelpTopic::ConfigRejected)
        }
        (true, []) => {
            let [first, rest @ ..] = inputs.config_changes else { return None };
            let more = match rest.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let text = format!("The config was changed and not reloaded: {first}{more}");
            (text, HelpTopic::ConfigNotReloaded)
        }
    };
    Some(found(Severity::Warning, text, topic))
}

fn found(severity: Severity, text: String, topic: HelpTopic<'_>) -> Finding {
    Finding { severity, avatar: None, since: None, lasting: ", for", text, help: topic.sentence() }
}

/// The finding of a firing condition; those of channels are covered by the channel.
fn condition(condition: &ConditionFacts<'_>) -> Option<Finding> {
    let kind = EventKind::condition_from_name(condition.kind)?;
    let cause = condition.cause.and_then(OutageCause::from_name);
    let topic = HelpTopic::of_condition(kind, cause, "", false)?;
    let because = |start: String| match condition.reason {
        Some(reason) => format!("{start}: {reason}"),
        None => start,
    };
    let who = named(condition.name, condition.subject);
    let (severity, text) = match kind {
        EventKind::AvatarMissing => (Severity::Warning, because(format!("{who} is missing"))),
        EventKind::AvatarUnreachable => {
            (Severity::Warning, because(format!("{who} cannot be checked")))
        }
        EventKind::AvatarTrainingOverdue => {
            let text = format!("{who} is in training for longer than expected");
            (Severity::Warning, because(text))
        }
        EventKind::AvatarStatusUnrecognized => {
            (Severity::Warning, because(format!("{who} has an unknown status")))
        }
        EventKind::AccountUnavailable => {
            let cause = cause.map(|cause| format!(": {}", cause.sentence()));
            let reason = condition.reason.map(|reason| format!(" ({reason})"));
            let (cause, reason) = (cause.unwrap_or_default(), reason.unwrap_or_default());
            let subject = capitalized(condition.subject);
            (Severity::Critical, format!("{subject} cannot be checked{cause}{reason}"))
        }
        EventKind::ConfigRejected => {
            let text = "The config was rejected, and the previous one stays active".to_owned();
            (Severity::Warning, because(text))
        }
        // Covered by the channel.
        EventKind::ChannelFailing | EventKind::ChannelDisabled => return None,
        EventKind::AvatarReady
        | EventKind::AvatarTrainingFailed
        | EventKind::AvatarRefused
        | EventKind::AvatarStatusChanged
        | EventKind::DeliveryExhausted
        | EventKind::TestPing => return None,
    };
    let lasting = match kind {
        // It may have begun with another cause.
        EventKind::AccountUnavailable => "; no poll has succeeded for",
        _ => ", for",
    };
    Some(Finding {
        avatar: OrderingKey::from_text(condition.subject).avatar_id().map(AvatarId::to_string),
        since: condition.since,
        lasting,
        ..found(severity, text, topic)
    })
}

/// The findings of a channel, and of deliveries that wait too long or in vain.
fn channel(
    channel: &ChannelFacts<'_>,
    zone: &TimeZone,
    late_after: Duration,
    now: Timestamp,
) -> Vec<Finding> {
    let ChannelFacts { name, configured, state, failing_since, undelivered, dead_letters, .. } =
        *channel;
    let reason = channel.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let age = channel.oldest_at.map(|at| now.since(at));
    let is_late = age.is_some_and(|age| age > late_after);
    let waiting = (undelivered > 0).then(|| {
        let oldest = age.map(|age| format!(", the oldest for {}", humanize(age)));
        let verb = if undelivered == 1 { "waits" } else { "wait" };
        format!("{} {verb}{}", counted(undelivered, "message"), oldest.unwrap_or_default())
    });
    let is_failing = failing_since.is_some();
    let late = is_late.then_some(()).and(waiting.as_ref());
    let shown = waiting.as_ref().map(|waiting| format!("; {waiting}")).unwrap_or_default();
    let (severity, state, topic) = match (configured, state, is_failing) {
        (false, ..) => match &waiting {
            Some(waiting) => (
                Severity::Warning,
                format!("is not in the config, and {waiting}"),
                HelpTopic::ChannelRemoved(name),
            ),
            None => return dead_letter_finding(name, dead_letters).into_iter().collect(),
        },
        (true, ChannelState::Disabled, _) => (
            Severity::Critical,
            format!("is disabled{reason}{shown}"),
            HelpTopic::ChannelDisabled(name),
        ),
        (true, ChannelState::Paused, _) => {
            // A pause is intended, and temporary.
            let severity = if is_late { Severity::Warning } else { Severity::Notice };
            let pause_reason = channel.pause_reason.map(str::to_owned);
            let pause = Pause { until: channel.paused_until, reason: pause_reason };
            let topic = match pause.until {
                Some(_) => HelpTopic::ChannelPausedUntil(name),
                None => HelpTopic::ChannelPaused(name),
            };
            let pause = pause.text(zone, now);
            (severity, format!("is paused{pause}{reason}{shown}"), topic)
        }
        (true, ChannelState::Active, true) => (
            Severity::Warning,
            format!("is failing{reason}{shown}"),
            HelpTopic::ChannelFailing(name),
        ),
        (true, ChannelState::Active, false) => match late {
            Some(waiting) => {
                (Severity::Warning, format!("is late: {waiting}"), HelpTopic::MessagesLate(name))
            }
            None => return dead_letter_finding(name, dead_letters).into_iter().collect(),
        },
    };
    let text = format!("Channel {name} {state}");
    let since = failing_since.filter(|_| is_failing && configured);
    let finding = Finding { since, lasting: "; failing for", ..found(severity, text, topic) };
    [Some(finding), dead_letter_finding(name, dead_letters)].into_iter().flatten().collect()
}

fn dead_letter_finding(channel: &str, dead_letters: u64) -> Option<Finding> {
    let text = format!("Channel {channel} has {}", counted(dead_letters, "dead letter"));
    (dead_letters > 0).then(|| found(Severity::Critical, text, HelpTopic::DeadLetters(channel)))
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
    let (subject, avatar, verb) = if avatars.len() == 1 {
        (named(first.name, first.id), Some(first.id.to_owned()), "is")
    } else {
        let account = first.account.map(|name| format!(" of account {name}")).unwrap_or_default();
        (format!("{}{account}", counted(avatars.len(), "avatar")), None, "are")
    };
    let since = avatars.iter().filter_map(|avatar| avatar.since).min();
    let is_lasting = since.is_some_and(|since| now.since(since) > GRACE);
    let severity = if is_lasting || first.kind == FailureKind::Missing {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let reason = first.reason;
    let (text, topic) = match first.kind {
        FailureKind::Missing => {
            (format!("{subject} {verb} missing: {reason}"), HelpTopic::PollMissing)
        }
        FailureKind::Denied => (
            format!("{subject} cannot be checked: Argil denies access ({reason})"),
            HelpTopic::PollDenied,
        ),
        FailureKind::Throttled => (
            format!("{subject} cannot be checked: Argil limits the requests ({reason})"),
            HelpTopic::PollFailing,
        ),
        FailureKind::Failed => {
            (format!("{subject} cannot be checked: {reason}"), HelpTopic::PollFailing)
        }
    };
    Some(Finding { avatar, since, ..found(severity, text, topic) })
}

/// The finding of an unrecognized status without a condition, because it was reported before.
fn unrecognized(avatar: &UnrecognizedAvatar<'_>) -> Finding {
    let UnrecognizedAvatar { id, name, status, since } = avatar;
    let shown = Status::from_name(status).display().into_owned();
    let text = format!("{} has the unknown status {shown}", named(*name, id));
    Finding {
        avatar: Some((*id).to_owned()),
        since: *since,
        ..found(Severity::Warning, text, HelpTopic::StatusUnrecognized)
    }
}

/// The name of an avatar at the start of a sentence; its id if it has none.
fn named(name: Option<&str>, id: &str) -> String {
    let name = name.map(|name| sanitize_line(name, NAME_CHARS_MAX));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("Avatar {id}"))
}

/// That the database cannot be written, and why.
pub(crate) fn unwritable(cause: &str) -> String {
    format!(
        "{UNWRITABLE} ({cause}): observations are kept in memory, and no notifications are sent"
    )
}

const UNWRITABLE: &str = "the database is not writable";

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
