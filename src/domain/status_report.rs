//! The status report: evaluates what is known into findings, the worst first.
//!
//! The page, the API and the command line share this evaluation, so that they never disagree. It
//! uses only its inputs, and sends no requests.

use std::collections::BTreeSet;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// No findings.
    Ok,
    /// Intended by an operator, or probably transient.
    Info,
    /// An operator should check it.
    Warning,
    /// An operator must act.
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub level: Severity,
    pub avatar: Option<String>,
    pub since: Option<Timestamp>,
    /// The text for people. It can contain untrusted text.
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs<'a> {
    pub running: bool,
    pub stalled: Vec<&'a str>,
    /// Why the daemon cannot work at all, as a sentence, if so.
    pub obstacle: Option<&'a str>,
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
    pub unreachable: Vec<AvatarFacts<'a>>,
    pub unrecognized: Vec<StatusFacts<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ConditionFacts<'a> {
    /// Its kind, such as `account.unavailable`.
    pub kind: &'a str,
    /// The subject: an avatar's id, or words such as `account argil`.
    pub subject: &'a str,
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
pub(crate) struct AvatarFacts<'a> {
    pub id: &'a str,
    pub account: Option<&'a str>,
    pub kind: &'a str,
    pub since: Option<Timestamp>,
    pub reason: &'a str,
}

/// An avatar in a status that this version does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusFacts<'a> {
    pub id: &'a str,
    pub status: &'a str,
    pub since: Option<Timestamp>,
}

impl<'a> StatusFacts<'a> {
    /// The facts of an avatar with that status; `None` when it is a documented one.
    pub(crate) fn of(id: &'a str, status: &'a str, since: Option<Timestamp>) -> Option<Self> {
        (!Status::from_name(status).is_recognized()).then_some(Self { id, status, since })
    }
}

impl Severity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Info => "OK, with notices",
            Self::Warning => "Warnings",
            Self::Critical => "Critical problems",
        }
    }

    pub(crate) fn of(findings: &[Finding]) -> Self {
        findings.iter().map(|finding| finding.level).max().unwrap_or(Self::Ok)
    }

    /// Whether no operator needs to act.
    pub(crate) fn is_well(self) -> bool {
        self < Self::Warning
    }
}

/// Evaluates the inputs into findings, the worst first; a message is late if it is older than
/// `late_after`.
pub(crate) fn evaluate(facts: &Inputs<'_>, late_after: Duration, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.running {
        findings.push(found(Severity::Critical, "the daemon is not running".to_owned()));
    }
    let stalled = facts.stalled.iter().map(|part| format!("the {part} of the daemon is stalled"));
    findings.extend(stalled.map(|text| found(Severity::Critical, text)));
    findings.extend(facts.obstacle.map(|text| found(Severity::Critical, text.to_owned())));
    findings.extend(facts.conditions.iter().filter_map(condition));
    let channels = facts.channels.iter().flatten();
    findings.extend(channels.flat_map(|it| channel(it, late_after, now)));
    if facts.channels.as_ref().is_some_and(|all| !all.iter().any(|it| it.configured)) {
        findings.push(found(
            Severity::Info,
            "there are no channels, so no notifications are sent".to_owned(),
        ));
    }
    if facts.watched == Some(0) {
        findings.push(found(Severity::Warning, "no avatar is watched".to_owned()));
    }
    let (odd, others): (Vec<&ConditionFacts<'_>>, Vec<&ConditionFacts<'_>>) =
        facts.conditions.iter().partition(|it| it.kind == UNRECOGNIZED.name());
    let reported: BTreeSet<&str> = odd.iter().map(|it| it.subject).collect();
    let unreported = facts.unrecognized.iter().filter(|it| !reported.contains(it.id));
    findings.extend(unreported.map(unrecognized));
    let reported: BTreeSet<&str> = others.iter().map(|it| it.subject).collect();
    findings
        .extend(facts.unreachable.iter().filter_map(|avatar| unreachable(avatar, &reported, now)));
    findings.extend(config(facts).map(|text| found(Severity::Warning, text)));
    // Stable: of what is equally bad, the first comes first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
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
fn config(facts: &Inputs<'_>) -> Option<String> {
    match (facts.config_readable, facts.config_problems, facts.config_changes) {
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

fn found(level: Severity, text: String) -> Finding {
    Finding { level, avatar: None, since: None, text }
}

/// The finding of a firing condition; those of channels are covered by the channel.
fn condition(condition: &ConditionFacts<'_>) -> Option<Finding> {
    let ConditionFacts { kind, subject, since, cause, reason } = condition;
    if kind.starts_with("channel.") {
        return None;
    }
    let cause = cause.map(|cause| format!(", {}", cause.replace('_', " "))).unwrap_or_default();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let is_outage = *kind == EventKind::AccountUnavailable.name();
    Some(Finding {
        level: if is_outage { Severity::Critical } else { Severity::Warning },
        avatar: OrderingKey::from_text(subject).avatar_id().map(AvatarId::to_string),
        since: *since,
        text: format!("{kind} for {subject}{cause}{reason}"),
    })
}

/// The findings of a channel, and of deliveries that wait too long or in vain.
fn channel(channel: &ChannelFacts<'_>, late_after: Duration, now: Timestamp) -> Vec<Finding> {
    let ChannelFacts { name, configured, state, failing_since, undelivered, dead_letters, .. } =
        *channel;
    let obstacle = blocked_reason(configured, state, failing_since.is_some(), undelivered);
    let reason = channel.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut findings = Vec::new();
    let suspended = !configured || state == ChannelState::Paused;
    if let Some(word) = obstacle {
        let level = match state {
            ChannelState::Disabled if !suspended => Severity::Critical,
            ChannelState::Active if !suspended => Severity::Warning,
            // Intended by an operator; pending deliveries are reported below.
            ChannelState::Active | ChannelState::Paused | ChannelState::Disabled => Severity::Info,
        };
        let is_reported_below = suspended && undelivered > 0;
        if !is_reported_below {
            let text = format!("channel {name} is {word}{reason}");
            findings.push(Finding { since: failing_since, ..found(level, text) });
        }
    }
    if dead_letters > 0 {
        let dead = counted(dead_letters, "dead letter");
        findings.push(found(Severity::Critical, format!("{dead} of channel {name}")));
    }
    let age = channel.oldest_at.map(|at| now.since(at));
    let late = age.is_some_and(|age| age > late_after);
    if undelivered > 0 && (late || suspended) {
        let state = obstacle.map(|word| format!(", which is {word}")).unwrap_or_default();
        let oldest =
            age.map(|age| format!(", the oldest for {}", humanize(age))).unwrap_or_default();
        let waiting = counted(undelivered, "message");
        let text = format!("{waiting} waiting for channel {name}{state}{oldest}");
        // A pause is temporary; deliveries of a removed channel wait in vain.
        let meant = configured && suspended && !late;
        findings.push(found(if meant { Severity::Info } else { Severity::Warning }, text));
    }
    findings
}

/// The finding of a failure without a condition: a notice only while it may be transient.
fn unreachable(
    avatar: &AvatarFacts<'_>,
    reported: &BTreeSet<&str>,
    now: Timestamp,
) -> Option<Finding> {
    let AvatarFacts { id, account, kind, since, reason } = avatar;
    let account = account.map(|name| format!("account {name}"));
    if reported.contains(id) || account.is_some_and(|account| reported.contains(account.as_str())) {
        return None;
    }
    let lasts = since.is_some_and(|since| now.since(since) > GRACE);
    let grave = lasts || *kind == FailureKind::Missing.name();
    Some(Finding {
        level: if grave { Severity::Warning } else { Severity::Info },
        avatar: Some((*id).to_owned()),
        since: *since,
        text: format!("avatar {id} is {kind}: {reason}"),
    })
}

/// The finding of an unrecognized status without a condition, because it was reported before.
fn unrecognized(avatar: &StatusFacts<'_>) -> Finding {
    let StatusFacts { id, status, since } = avatar;
    let shown = Status::from_name(status).display().into_owned();
    Finding {
        level: Severity::Warning,
        avatar: Some((*id).to_owned()),
        since: *since,
        text: format!("avatar {id} has the unknown status {shown}"),
    }
}

pub(crate) const UNWRITABLE: &str = "the database is not writable: observations are kept in \
                                     memory, and no notifications are sent";

const UNRECOGNIZED: EventKind = EventKind::AvatarStatusUnrecognized;

/// The default of `late_after`: longer than the first delays of the usual schedule, shorter than an
/// outage.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(10 * 60);
/// A failed poll is repeated within seconds or minutes; only lasting failures are warnings.
const GRACE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes_ago: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(1_000_000_000 - minutes_ago * 60_000))
    }

    fn channel() -> ChannelFacts<'static> {
        ChannelFacts {
            name: "ops",
            configured: true,
            state: ChannelState::Active,
            failing_since: None,
            reason: None,
            undelivered: 0,
            oldest_at: None,
            dead_letters: 0,
        }
    }

    fn well() -> Inputs<'static> {
        Inputs {
            running: true,
            config_readable: true,
            channels: Some(vec![channel()]),
            ..Inputs::default()
        }
    }

    fn check(facts: &Inputs<'_>, summary: &str, text: &str) {
        let findings = evaluate(facts, LATE_AFTER, at(0).unwrap());
        let said: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!((Severity::of(&findings).summary(), said.join("; ").as_str()), (summary, text));
    }

    #[test]
    fn every_problem_changes_the_summary() {
        const NOTICES: &str = "OK, with notices";
        const WARNINGS: &str = "Warnings";
        const CRITICAL: &str = "Critical problems";
        check(&well(), "OK", "");
        check(&Inputs { running: false, ..well() }, CRITICAL, "the daemon is not running");
        let stalled = vec!["poller"];
        check(&Inputs { stalled, ..well() }, CRITICAL, "the poller of the daemon is stalled");
        check(&Inputs { config_readable: false, ..well() }, WARNINGS, "the config cannot be read");
        let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        let of_file = |config_readable, config_problems, config_changes, text: &str| {
            let facts = Inputs { config_readable, config_problems, config_changes, ..well() };
            check(&facts, WARNINGS, text);
        };
        of_file(false, &two, &[], "the config cannot be read: a");
        of_file(true, &two, &[], "the config has 2 problems: a");
        of_file(true, &[], &one, "the config was changed and not reloaded: a");
        of_file(true, &[], &two, "the config was changed and not reloaded: a, and 1 more");
        check(&Inputs { watched: Some(0), ..well() }, WARNINGS, "no avatar is watched");
        check(&Inputs { watched: Some(1), ..well() }, "OK", "");
        let no_channels = "there are no channels, so no notifications are sent";
        check(&Inputs { channels: Some(vec![]), ..well() }, NOTICES, no_channels);
        let gone = vec![ChannelFacts { configured: false, ..channel() }];
        check(&Inputs { channels: Some(gone), ..well() }, NOTICES, no_channels);
        check(&Inputs { channels: None, ..well() }, "OK", "");
        let holds = |kind: &str, subject: &str, summary: &str, text: &str| {
            let reason = Some("it said no");
            let it = ConditionFacts { kind, subject, since: at(1), cause: None, reason };
            check(&Inputs { conditions: vec![it], ..well() }, summary, text);
        };
        let text = "account.unavailable for account argil (it said no)";
        holds("account.unavailable", "account argil", CRITICAL, text);
        for kind in
            ["avatar.missing", "avatar.unreachable", "avatar.training_overdue", "config.rejected"]
        {
            holds(kind, "a1", WARNINGS, &format!("{kind} for a1 (it said no)"));
        }
        let other = ChannelFacts { name: "other", ..channel() };
        let of = |it: ChannelFacts<'_>, summary: &str, text: &str| {
            check(&Inputs { channels: Some(vec![it, other]), ..well() }, summary, text);
        };
        let (paused, disabled) = (ChannelState::Paused, ChannelState::Disabled);
        let waiting = ChannelFacts { undelivered: 2, oldest_at: at(1), ..channel() };
        let gone = ChannelFacts { configured: false, ..channel() };
        of(waiting, "OK", "");
        of(gone, "OK", "");
        of(ChannelFacts { state: paused, ..channel() }, NOTICES, "channel ops is paused");
        let text = "2 messages waiting for channel ops, which is paused, the oldest for 1m";
        of(ChannelFacts { state: paused, ..waiting }, NOTICES, text);
        let text = "2 messages waiting for channel ops, which is paused, the oldest for 11m";
        of(ChannelFacts { state: paused, oldest_at: at(11), ..waiting }, WARNINGS, text);
        let text = "2 messages waiting for channel ops, which is not in the config, the oldest for \
                    1m";
        of(ChannelFacts { configured: false, ..waiting }, WARNINGS, text);
        of(ChannelFacts { state: disabled, ..channel() }, CRITICAL, "channel ops is DISABLED");
        of(ChannelFacts { failing_since: at(1), ..channel() }, WARNINGS, "channel ops is FAILING");
        let failing = ChannelFacts { failing_since: at(1), reason: Some("500"), ..channel() };
        of(failing, WARNINGS, "channel ops is FAILING (500)");
        of(ChannelFacts { dead_letters: 1, ..channel() }, CRITICAL, "1 dead letter of channel ops");
        of(ChannelFacts { dead_letters: 1, ..gone }, CRITICAL, "1 dead letter of channel ops");
        let text = "2 messages waiting for channel ops, the oldest for 11m";
        of(ChannelFacts { oldest_at: at(11), ..waiting }, WARNINGS, text);
        let failing = |kind: &str, since, summary: &str, text: &str| {
            let account = Some("argil");
            let it = AvatarFacts { id: "a1", account, kind, since, reason: "it said no" };
            check(&Inputs { unreachable: vec![it], ..well() }, summary, text);
        };
        failing("missing", at(0), WARNINGS, "avatar a1 is missing: it said no");
        for kind in ["denied", "throttled", "failed"] {
            let text = format!("avatar a1 is {kind}: it said no");
            failing(kind, at(5), NOTICES, &text);
            failing(kind, at(6), WARNINGS, &text);
        }
    }

    #[test]
    fn nothing_is_reported_twice_and_the_worst_comes_first() {
        let since = at(7);
        let holds =
            |kind, subject| ConditionFacts { kind, subject, since, cause: None, reason: None };
        let avatar = |id| AvatarFacts {
            id,
            account: Some("argil"),
            kind: "denied",
            since: at(60),
            reason: "no",
        };
        let disabled = ChannelFacts { state: ChannelState::Disabled, dead_letters: 2, ..channel() };
        let facts = Inputs {
            conditions: vec![
                holds("avatar.unreachable", "a1"),
                holds("channel.disabled", "channel ops"),
                holds("account.unavailable", "account argil"),
            ],
            channels: Some(vec![disabled]),
            unreachable: vec![avatar("a1"), avatar("a2")],
            ..well()
        };
        check(
            &facts,
            "Critical problems",
            "account.unavailable for account argil; channel ops is DISABLED; 2 dead letters of \
             channel \
             ops; avatar.unreachable for a1",
        );
        let findings = evaluate(&facts, LATE_AFTER, at(0).unwrap());
        assert_eq!((findings[3].avatar.as_deref(), findings[3].since), (Some("a1"), at(7)));
        assert_eq!(findings[0].avatar, None);
    }
}
