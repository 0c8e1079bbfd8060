//! The verdict: what is wrong, or worth knowing, from what is known; the worst first.
//!
//! What always holds: the page, the API and the command line judge here and nowhere else, so none
//! of them says that all is well while another does not. It judges what it is given, and asks
//! nobody: neither Argil nor a receiver.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel_health::ChannelState;
use crate::domain::event::EventKind;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;
use crate::text::plural::counted;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There is nothing to say.
    Ok,
    /// Nothing is wrong: someone meant it so, or it may pass by itself.
    Info,
    /// Someone should look.
    Warning,
    /// Someone has to look.
    Critical,
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Severity,
    /// The avatar that it is about, if it is about one.
    pub avatar: Option<String>,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// What it is, for people. It can hold foreign text.
    pub text: String,
}

/// What is known, as far as it is judged.
#[derive(Clone, Debug, Default)]
pub struct Inputs<'a> {
    /// Whether the daemon runs.
    pub running: bool,
    /// The parts of it that do not move.
    pub stalled: Vec<&'a str>,
    /// Why it cannot do its work at all, in a sentence, if so.
    pub obstacle: Option<&'a str>,
    /// Whether the config can be read from end to end.
    pub config_readable: bool,
    /// What is wrong with the config as it stands, and would keep it from being taken.
    pub config_problems: &'a [String],
    /// What a reload of the config as it stands would change, while nobody has asked for one.
    pub config_changes: &'a [String],
    /// How many avatars are watched where none are searched for; `None` where nobody asked, or
    /// lists are searched.
    pub watched: Option<usize>,
    /// The conditions that hold, of what is watched.
    pub conditions: Vec<ConditionFacts<'a>>,
    /// The channels; `None` where nobody asked for them.
    pub channels: Option<Vec<ChannelFacts<'a>>>,
    /// The avatars that are watched and cannot be seen just now.
    pub unreachable: Vec<AvatarFacts<'a>>,
    /// The avatars that are watched and were last seen in a status that nobody knows.
    pub unrecognized: Vec<StatusFacts<'a>>,
}

/// A condition that holds.
#[derive(Clone, Copy, Debug)]
pub struct ConditionFacts<'a> {
    /// Its kind, such as `account.unavailable`.
    pub kind: &'a str,
    /// What it is about: an avatar's id, or words such as `account argil`.
    pub subject: &'a str,
    /// When it began.
    pub since: Option<Timestamp>,
    /// What keeps an account from seeing; a word.
    pub cause: Option<&'a str>,
    /// Why, for people.
    pub reason: Option<&'a str>,
}

/// A channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether the config has it.
    pub configured: bool,
    /// Whether it is told at all.
    pub state: ChannelState,
    /// Since when operators have to know that it takes nothing.
    pub failing_since: Option<Timestamp>,
    /// What went wrong last, for people.
    pub reason: Option<&'a str>,
    /// Messages that wait or are being sent.
    pub in_flight: u64,
    /// The oldest of them was made then.
    pub oldest_at: Option<Timestamp>,
    /// Dead letters that were not sent again since.
    pub failed: u64,
}

/// An avatar that cannot be seen just now.
#[derive(Clone, Copy, Debug)]
pub struct AvatarFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// The account that it is watched with.
    pub account: Option<&'a str>,
    /// The word of the trouble.
    pub kind: &'a str,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why, for people.
    pub reason: &'a str,
}

/// An avatar in a status that this version does not know.
#[derive(Clone, Copy, Debug)]
pub struct StatusFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// The status, as it came.
    pub status: &'a str,
    /// Since when it has it.
    pub since: Option<Timestamp>,
}

impl<'a> StatusFacts<'a> {
    /// The facts of an avatar with that status; `None` when it is one of the documented ones.
    pub fn of(id: &'a str, status: &'a str, since: Option<Timestamp>) -> Option<Self> {
        (!Status::from_name(status).is_recognized()).then_some(Self { id, status, since })
    }
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Info, Self::Warning, Self::Critical];

    /// The word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The sentence for people.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Info => "OK, with notices",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
        }
    }

    /// The worst of what was found.
    pub fn of(findings: &[Finding]) -> Self {
        findings.iter().map(|finding| finding.level).max().unwrap_or(Self::Ok)
    }

    /// Whether nobody has to look.
    pub fn is_well(self) -> bool {
        self < Self::Warning
    }
}

/// What is wrong, or worth knowing, the worst first; a message is late when it is older than
/// `late_after`.
pub fn evaluate(facts: &Inputs<'_>, late_after: Duration, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.running {
        findings.push(found(Severity::Critical, "the daemon is not running".to_owned()));
    }
    let stuck = facts.stalled.iter().map(|part| format!("the {part} of the daemon does not move"));
    findings.extend(stuck.map(|text| found(Severity::Critical, text)));
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
    let told: BTreeSet<&str> = odd.iter().map(|it| it.subject).collect();
    let untold = facts.unrecognized.iter().filter(|it| !told.contains(it.id));
    findings.extend(untold.map(unrecognized));
    let told: BTreeSet<&str> = others.iter().map(|it| it.subject).collect();
    findings.extend(facts.unreachable.iter().filter_map(|avatar| unreachable(avatar, &told, now)));
    findings.extend(config(facts).map(|text| found(Severity::Warning, text)));
    // Stable: of what is equally bad, the first comes first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

/// What keeps a channel from being told, in a word; `None` for one that does well, or is not in
/// the config and waited for by nothing.
pub const fn blocked_reason(
    configured: bool,
    state: ChannelState,
    failing: bool,
    under_way: u64,
) -> Option<&'static str> {
    match (configured, state, failing) {
        (false, _, _) if under_way > 0 => Some("not in the config"),
        (true, ChannelState::Disabled, _) => Some("DISABLED"),
        (true, ChannelState::Paused, _) => Some("paused"),
        (true, ChannelState::Active, true) => Some("FAILING"),
        (false, _, _) | (true, ChannelState::Active, false) => None,
    }
}

/// What is wrong with the config file as it stands; it says nothing about what is in force.
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

/// What a condition that holds comes to; what is said of channels anyway is not said twice.
fn condition(condition: &ConditionFacts<'_>) -> Option<Finding> {
    let ConditionFacts { kind, subject, since, cause, reason } = condition;
    if kind.starts_with("channel.") {
        return None;
    }
    let cause = cause.map(|cause| format!(", {}", cause.replace('_', " "))).unwrap_or_default();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let blind = *kind == EventKind::AccountUnavailable.name();
    // Whatever is no avatar has words there, with a blank between them.
    let avatar = (!subject.is_empty() && !subject.contains(' ')).then(|| (*subject).to_owned());
    Some(Finding {
        level: if blind { Severity::Critical } else { Severity::Warning },
        avatar,
        since: *since,
        text: format!("{kind} for {subject}{cause}{reason}"),
    })
}

/// What is wrong with a channel, and what waits for it too long or in vain.
fn channel(channel: &ChannelFacts<'_>, late_after: Duration, now: Timestamp) -> Vec<Finding> {
    let ChannelFacts {
        name, configured, state, failing_since, in_flight: under_way, failed, ..
    } = *channel;
    let obstacle = blocked_reason(configured, state, failing_since.is_some(), under_way);
    let reason = channel.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut findings = Vec::new();
    let parked = !configured || state == ChannelState::Paused;
    if let Some(word) = obstacle {
        let level = match state {
            ChannelState::Disabled if !parked => Severity::Critical,
            ChannelState::Active if !parked => Severity::Warning,
            // Someone meant it so; if anything waits meanwhile, that is told below.
            ChannelState::Active | ChannelState::Paused | ChannelState::Disabled => Severity::Info,
        };
        let is_told_below = parked && under_way > 0;
        if !is_told_below {
            let text = format!("channel {name} is {word}{reason}");
            findings.push(Finding { since: failing_since, ..found(level, text) });
        }
    }
    if failed > 0 {
        let dead = counted(failed, "dead letter");
        findings.push(found(Severity::Critical, format!("{dead} of channel {name}")));
    }
    let age = channel.oldest_at.map(|at| now.since(at));
    let late = age.is_some_and(|age| age > late_after);
    if under_way > 0 && (late || parked) {
        let state = obstacle.map(|word| format!(", which is {word}")).unwrap_or_default();
        let oldest =
            age.map(|age| format!(", the oldest for {}", humanize(age))).unwrap_or_default();
        let waiting = counted(under_way, "message");
        let text = format!("{waiting} waiting for channel {name}{state}{oldest}");
        // A pause is meant, and lasts for a while; what the config has forgotten waits in vain.
        let meant = configured && parked && !late;
        findings.push(found(if meant { Severity::Info } else { Severity::Warning }, text));
    }
    findings
}

/// What keeps an avatar from being seen, when no condition says it: a word only, while it may be a
/// hiccup.
fn unreachable(avatar: &AvatarFacts<'_>, told: &BTreeSet<&str>, now: Timestamp) -> Option<Finding> {
    let AvatarFacts { id, account, kind, since, reason } = avatar;
    let account = account.map(|name| format!("account {name}"));
    if told.contains(id) || account.is_some_and(|account| told.contains(account.as_str())) {
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

/// An avatar in an unknown status of which no condition is told: because it was told before.
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

/// What is found where the database cannot be written.
pub const UNWRITABLE: &str = "the database cannot be written: what is seen waits in memory, and \
                              nobody is told";

const UNRECOGNIZED: EventKind = EventKind::AvatarStatusUnrecognized;

/// How old a message may be, unless someone says otherwise: older than the first waits of the
/// usual schedule, younger than an outage.
pub const LATE_AFTER: Duration = Duration::from_secs(10 * 60);
/// A look that fails is repeated within seconds or minutes; only what lasts needs someone.
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
            in_flight: 0,
            oldest_at: None,
            failed: 0,
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

    fn check(facts: &Inputs<'_>, headline: &str, text: &str) {
        let findings = evaluate(facts, LATE_AFTER, at(0).unwrap());
        let said: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!((Severity::of(&findings).summary(), said.join("; ").as_str()), (headline, text));
    }

    #[test]
    fn everything_that_is_not_as_it_should_be_changes_the_headline() {
        const NOTE: &str = "OK, with notices";
        const LOOK: &str = "Warning";
        const WRONG: &str = "Critical";
        check(&well(), "OK", "");
        check(&Inputs { running: false, ..well() }, WRONG, "the daemon is not running");
        let stuck = vec!["poller"];
        check(
            &Inputs { stalled: stuck, ..well() },
            WRONG,
            "the poller of the daemon does not move",
        );
        check(&Inputs { config_readable: false, ..well() }, LOOK, "the config cannot be read");
        let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        let of_file = |config_readable, config_problems, config_changes, text: &str| {
            let facts = Inputs { config_readable, config_problems, config_changes, ..well() };
            check(&facts, LOOK, text);
        };
        of_file(false, &two, &[], "the config cannot be read: a");
        of_file(true, &two, &[], "the config has 2 problems: a");
        of_file(true, &[], &one, "the config was changed and not reloaded: a");
        of_file(true, &[], &two, "the config was changed and not reloaded: a, and 1 more");
        check(&Inputs { watched: Some(0), ..well() }, LOOK, "no avatar is watched");
        check(&Inputs { watched: Some(1), ..well() }, "OK", "");
        let nobody = "there are no channels, so no notifications are sent";
        check(&Inputs { channels: Some(vec![]), ..well() }, NOTE, nobody);
        let gone = vec![ChannelFacts { configured: false, ..channel() }];
        check(&Inputs { channels: Some(gone), ..well() }, NOTE, nobody);
        check(&Inputs { channels: None, ..well() }, "OK", "");
        let holds = |kind: &str, subject: &str, headline: &str, text: &str| {
            let reason = Some("it said no");
            let it = ConditionFacts { kind, subject, since: at(1), cause: None, reason };
            check(&Inputs { conditions: vec![it], ..well() }, headline, text);
        };
        let blind = "account.unavailable for account argil (it said no)";
        holds("account.unavailable", "account argil", WRONG, blind);
        for kind in
            ["avatar.missing", "avatar.unreachable", "avatar.training_overdue", "config.rejected"]
        {
            holds(kind, "a1", LOOK, &format!("{kind} for a1 (it said no)"));
        }
        let other = ChannelFacts { name: "other", ..channel() };
        let of = |it: ChannelFacts<'_>, headline: &str, text: &str| {
            check(&Inputs { channels: Some(vec![it, other]), ..well() }, headline, text);
        };
        let (paused, disabled) = (ChannelState::Paused, ChannelState::Disabled);
        let waiting = ChannelFacts { in_flight: 2, oldest_at: at(1), ..channel() };
        let gone = ChannelFacts { configured: false, ..channel() };
        of(waiting, "OK", "");
        of(gone, "OK", "");
        of(ChannelFacts { state: paused, ..channel() }, NOTE, "channel ops is paused");
        let text = "2 messages waiting for channel ops, which is paused, the oldest for 1m";
        of(ChannelFacts { state: paused, ..waiting }, NOTE, text);
        let text = "2 messages waiting for channel ops, which is paused, the oldest for 11m";
        of(ChannelFacts { state: paused, oldest_at: at(11), ..waiting }, LOOK, text);
        let text = "2 messages waiting for channel ops, which is not in the config, the oldest for \
                    1m";
        of(ChannelFacts { configured: false, ..waiting }, LOOK, text);
        of(ChannelFacts { state: disabled, ..channel() }, WRONG, "channel ops is DISABLED");
        of(ChannelFacts { failing_since: at(1), ..channel() }, LOOK, "channel ops is FAILING");
        let failing = ChannelFacts { failing_since: at(1), reason: Some("500"), ..channel() };
        of(failing, LOOK, "channel ops is FAILING (500)");
        of(ChannelFacts { failed: 1, ..channel() }, WRONG, "1 dead letter of channel ops");
        of(ChannelFacts { failed: 1, ..gone }, WRONG, "1 dead letter of channel ops");
        let text = "2 messages waiting for channel ops, the oldest for 11m";
        of(ChannelFacts { oldest_at: at(11), ..waiting }, LOOK, text);
        let unseen = |kind: &str, since, headline: &str, text: &str| {
            let account = Some("argil");
            let it = AvatarFacts { id: "a1", account, kind, since, reason: "it said no" };
            check(&Inputs { unreachable: vec![it], ..well() }, headline, text);
        };
        unseen("missing", at(0), LOOK, "avatar a1 is missing: it said no");
        for kind in ["denied", "throttled", "failed"] {
            let text = format!("avatar a1 is {kind}: it said no");
            unseen(kind, at(5), NOTE, &text);
            unseen(kind, at(6), LOOK, &text);
        }
    }

    #[test]
    fn nothing_is_said_twice_and_the_worst_comes_first() {
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
        let disabled = ChannelFacts { state: ChannelState::Disabled, failed: 2, ..channel() };
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
            "Critical",
            "account.unavailable for account argil; channel ops is DISABLED; 2 dead letters of \
             channel \
             ops; avatar.unreachable for a1",
        );
        let findings = evaluate(&facts, LATE_AFTER, at(0).unwrap());
        assert_eq!((findings[3].avatar.as_deref(), findings[3].since), (Some("a1"), at(7)));
        assert_eq!(findings[0].avatar, None);
    }
}
