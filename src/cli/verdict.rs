//! The verdict: an overview judged in one line and one exit status, as monitoring plugins do
//! (<https://www.monitoring-plugins.org/doc/guidelines.html>).
//!
//! It judges what is written and asks nobody: neither Argil nor a receiver.

use std::time::Duration;

use crate::cli::channels::ChannelView;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::overview::{AvatarView, ConditionView, Overview};
use crate::domain::event::EventKind;
use crate::domain::foreign_text::one_line;
use crate::domain::span::rough;
use crate::domain::timestamp::Timestamp;
use crate::domain::trouble::TroubleKind;
use crate::store::error::StoreError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Good,
    Warning,
    Critical,
    Unknown,
}

/// What is wrong, the worst first, and the figures.
#[derive(Debug)]
pub struct Verdict {
    level: Level,
    text: String,
    figures: String,
}

impl Verdict {
    /// Judges; a message is late when it is older than `late_after`.
    pub fn of(view: &Overview, late_after: Duration, now: Timestamp) -> Self {
        let mut findings = Vec::new();
        if !view.daemon.running {
            findings.push((Level::Critical, "the daemon is not running".to_owned()));
        }
        findings.extend(view.conditions.iter().filter_map(condition));
        findings.extend(view.channels.iter().flat_map(|it| channel(it, late_after, now)));
        findings.extend(view.watched().filter_map(|avatar| sight(avatar, view, now)));
        if !view.config_readable || view.avatars.iter().any(|it| it.configured.is_none()) {
            findings.push((Level::Warning, "the config cannot be read".to_owned()));
        } else if let [first, ..] = view.config_problems.as_slice() {
            let count = counted(view.config_problems.len(), "problem");
            findings.push((Level::Warning, format!("the config has {count}: {first}")));
        }
        // Stable: of what is equally bad, the first comes first.
        findings.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        let figures = Figures::of(view, late_after, now);
        Self {
            level: findings.first().map_or(Level::Good, |(level, _)| *level),
            text: sentence(&findings, &figures),
            figures: figures.text(),
        }
    }

    /// Nothing can be known.
    pub fn unknown(error: &StoreError) -> Self {
        Self { level: Level::Unknown, text: error.to_string(), figures: String::new() }
    }

    /// The line that is printed.
    pub fn line(&self) -> String {
        let word = match self.level {
            Level::Good => "OK",
            Level::Warning => "WARNING",
            Level::Critical => "CRITICAL",
            Level::Unknown => "UNKNOWN",
        };
        // What stands behind the first bar is read as figures.
        let text = one_line(&self.text.replace('|', "/"), TEXT_CHARS_MAX);
        format!("AVATAR-WATCH {word}: {text}{}", self.figures)
    }

    /// The code to exit with.
    pub const fn exit(&self) -> Exit {
        match self.level {
            Level::Good => Exit::Good,
            Level::Warning => Exit::WARNING,
            Level::Critical => Exit::CRITICAL,
            Level::Unknown => Exit::UNKNOWN,
        }
    }
}

/// What a condition that holds comes to; what is said of channels anyway is not said twice.
fn condition(condition: &ConditionView) -> Option<(Level, String)> {
    let ConditionView { kind, subject, cause, reason, .. } = condition;
    if kind.starts_with("channel.") {
        return None;
    }
    let cause =
        cause.as_ref().map(|cause| format!(", {}", cause.replace('_', " "))).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let blind = kind == EventKind::WatchBlind.name();
    let level = if blind { Level::Critical } else { Level::Warning };
    Some((level, format!("{kind} for {subject}{cause}{reason}")))
}

/// What is wrong with a channel, and what waits too long for it.
fn channel(channel: &ChannelView, late_after: Duration, now: Timestamp) -> Vec<(Level, String)> {
    let ChannelView { name, under_way, failed, .. } = channel;
    let mut findings = Vec::new();
    let reason = channel.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    match channel.trouble() {
        Some((state @ "DISABLED", _)) => {
            findings.push((Level::Critical, format!("channel {name} is {state}{reason}")));
        }
        Some((state @ "FAILING", _)) => {
            findings.push((Level::Warning, format!("channel {name} is {state}{reason}")));
        }
        // Someone meant it so; that messages wait is told when they are late.
        Some(_) | None => {}
    }
    if *failed > 0 {
        let dead = counted(all(*failed), "dead letter");
        findings.push((Level::Critical, format!("{dead} of channel {name}")));
    }
    if let Some(age) =
        age(channel.oldest_under_way_at.as_deref(), now).filter(|it| *it > late_after)
    {
        let state = channel.trouble().map(|(state, _)| format!(", which is {state}"));
        findings.push((
            Level::Warning,
            format!(
                "{} waiting for channel {name}{}, the oldest for {}",
                counted(all(*under_way), "message"),
                state.unwrap_or_default(),
                rough(age)
            ),
        ));
    }
    findings
}

/// What keeps an avatar from being seen, when it is more than a hiccup and no condition says it.
fn sight(avatar: &AvatarView, view: &Overview, now: Timestamp) -> Option<(Level, String)> {
    let trouble = avatar.trouble.as_ref()?;
    let lasts = age(Some(&trouble.since), now).is_some_and(|age| age > HICCUP);
    let account = avatar.account.as_ref().map(|name| format!("account {name}"));
    let told = view
        .conditions
        .iter()
        .any(|it| it.subject == avatar.id || Some(&it.subject) == account.as_ref());
    let worth = (lasts || trouble.kind == TroubleKind::Missing.name()) && !told;
    worth.then(|| {
        let text = format!("avatar {} is {}: {}", avatar.id, trouble.kind, trouble.reason);
        (Level::Warning, text)
    })
}

fn sentence(findings: &[(Level, String)], figures: &Figures) -> String {
    let texts: Vec<&str> =
        findings.iter().take(FINDINGS_SHOWN).map(|(_, text)| text.as_str()).collect();
    match (texts.is_empty(), findings.len().saturating_sub(FINDINGS_SHOWN)) {
        (true, _) => format!(
            "{} watched, {} in training, {} waiting",
            counted(figures.avatars, "avatar"),
            figures.training,
            counted(all(figures.waiting), "message")
        ),
        (false, 0) => texts.join("; "),
        (false, more) => format!("{}; and {more} more", texts.join("; ")),
    }
}

/// The figures behind the bar.
struct Figures {
    avatars: usize,
    training: usize,
    troubled: usize,
    waiting: u64,
    oldest: Duration,
    late_after: Duration,
    dead: u64,
}

impl Figures {
    fn of(view: &Overview, late_after: Duration, now: Timestamp) -> Self {
        let training = |avatar: &&AvatarView| avatar.status.as_deref() == Some("TRAINING");
        Self {
            avatars: view.watched().count(),
            training: view.watched().filter(training).count(),
            troubled: view.watched().filter(|avatar| avatar.trouble.is_some()).count(),
            waiting: view.channels.iter().map(|channel| channel.under_way).sum(),
            oldest: age(view.oldest_under_way_at.as_deref(), now).unwrap_or_default(),
            late_after,
            dead: view.channels.iter().map(|channel| channel.failed).sum(),
        }
    }

    fn text(&self) -> String {
        let Self { avatars, training, troubled, waiting, dead, .. } = self;
        let (oldest, late) = (self.oldest.as_secs(), self.late_after.as_secs());
        format!(
            " | avatars={avatars};;;0 training={training};;;0 troubled={troubled};;;0 \
             waiting={waiting};;;0 oldest={oldest}s;{late};;0 dead={dead};;0;0"
        )
    }
}

fn all(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// How long ago that was.
fn age(at: Option<&str>, now: Timestamp) -> Option<Duration> {
    at.and_then(Timestamp::parse_rfc3339).map(|at| now.since(at))
}

/// How old a message may be, unless someone says otherwise: older than the first waits of the
/// usual schedule, younger than an outage.
pub const LATE_AFTER: Duration = Duration::from_secs(10 * 60);
/// A look that fails is repeated within seconds or minutes; only what lasts is worth a word.
const HICCUP: Duration = Duration::from_secs(5 * 60);
const FINDINGS_SHOWN: usize = 5;
const TEXT_CHARS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::overview::{DaemonView, TroubleView};

    /// The moment of the verdicts; the views say what happened before it.
    const NOW: &str = "2026-11-23T12:00:00Z";

    fn well() -> Overview {
        Overview {
            daemon: DaemonView { running: true, pid: Some(1) },
            config_readable: true,
            config_problems: Vec::new(),
            avatars: vec![AvatarView {
                id: "a1".to_owned(),
                name: None,
                account: Some("argil".to_owned()),
                configured: Some(true),
                discovered: false,
                status: Some("TRAINING".to_owned()),
                since: None,
                trouble: None,
                deliveries_under_way: 0,
                deliveries_failed: 0,
            }],
            channels: vec![ChannelView {
                name: "ops".to_owned(),
                configured: true,
                state: "active",
                parked_since: None,
                failing_since: None,
                reason: None,
                not_before: None,
                under_way: 0,
                oldest_under_way_at: None,
                failed: 0,
                delivered_at: None,
            }],
            oldest_under_way_at: None,
            conditions: Vec::new(),
        }
    }

    fn verdict(view: &Overview) -> (String, u8) {
        let now = Timestamp::parse_rfc3339(NOW).unwrap();
        let verdict = Verdict::of(view, LATE_AFTER, now);
        let line = verdict.line();
        let (text, figures) = line.split_once(" | ").unwrap();
        assert!(!figures.contains('|') && !line.contains('\n'), "{line}");
        (text.strip_prefix("AVATAR-WATCH ").unwrap().to_owned(), verdict.exit().code())
    }

    fn check(change: impl FnOnce(&mut Overview), text: &str, code: u8) {
        let mut view = well();
        change(&mut view);
        assert_eq!(verdict(&view), (text.to_owned(), code));
    }

    fn condition(kind: &str, subject: &str, cause: Option<&str>) -> ConditionView {
        ConditionView {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            since: NOW.to_owned(),
            cause: cause.map(ToOwned::to_owned),
            reason: Some("it said a|b\nc".to_owned()),
        }
    }

    fn waiting(view: &mut Overview, since: &str) {
        view.channels[0].under_way = 2;
        view.channels[0].oldest_under_way_at = Some(since.to_owned());
    }

    fn trouble(kind: &'static str, since: &str) -> Option<TroubleView> {
        Some(TroubleView { kind, since: since.to_owned(), reason: "it said no".to_owned() })
    }

    #[test]
    fn all_is_well() {
        check(|_| (), "OK: 1 avatar watched, 1 in training, 0 messages waiting", 0);
        check(
            |view| waiting(view, "2026-11-23T11:50:00Z"),
            "OK: 1 avatar watched, 1 in training, 2 messages waiting",
            0,
        );
        check(
            |view| view.channels[0].state = "paused",
            "OK: 1 avatar watched, 1 in training, 0 messages waiting",
            0,
        );
    }

    #[test]
    fn someone_should_look() {
        check(
            |view| view.conditions = vec![condition("avatar.training_overdue", "a1", None)],
            "WARNING: avatar.training_overdue for a1 (it said a/b c)",
            1,
        );
        check(
            |view| view.avatars[0].trouble = trouble("missing", NOW),
            "WARNING: avatar a1 is missing: it said no",
            1,
        );
        check(
            |view| view.avatars[0].trouble = trouble("failed", "2026-11-23T11:54:59Z"),
            "WARNING: avatar a1 is failed: it said no",
            1,
        );
        check(
            |view| view.channels[0].failing_since = Some(NOW.to_owned()),
            "WARNING: channel ops is FAILING",
            1,
        );
        check(
            |view| waiting(view, "2026-11-23T11:49:59Z"),
            "WARNING: 2 messages waiting for channel ops, the oldest for 10m 1s",
            1,
        );
        check(
            |view| {
                waiting(view, "2026-11-23T11:00:00Z");
                view.channels[0].state = "paused";
            },
            "WARNING: 2 messages waiting for channel ops, which is paused, the oldest for 1h",
            1,
        );
        check(|view| view.avatars[0].configured = None, "WARNING: the config cannot be read", 1);
        check(|view| view.config_readable = false, "WARNING: the config cannot be read", 1);
        check(
            |view| view.config_problems = vec!["a.toml:3: `b` is odd".to_owned(), "c".to_owned()],
            "WARNING: the config has 2 problems: a.toml:3: `b` is odd",
            1,
        );
    }

    #[test]
    fn a_hiccup_is_worth_no_word() {
        check(
            |view| view.avatars[0].trouble = trouble("failed", "2026-11-23T11:55:00Z"),
            "OK: 1 avatar watched, 1 in training, 0 messages waiting",
            0,
        );
    }

    #[test]
    fn someone_has_to_look() {
        check(|view| view.daemon.running = false, "CRITICAL: the daemon is not running", 2);
        check(
            |view| {
                view.conditions =
                    vec![condition("watch.blind", "account argil", Some("key_rejected"))];
                view.avatars[0].trouble = trouble("denied", "2026-11-22T12:00:00Z");
            },
            "CRITICAL: watch.blind for account argil, key rejected (it said a/b c)",
            2,
        );
        check(
            |view| {
                view.channels[0].state = "disabled";
                view.channels[0].reason = Some("it answered 410".to_owned());
                view.conditions = vec![condition("channel.disabled", "channel ops", None)];
            },
            "CRITICAL: channel ops is DISABLED (it answered 410)",
            2,
        );
        check(|view| view.channels[0].failed = 3, "CRITICAL: 3 dead letters of channel ops", 2);
    }

    #[test]
    fn the_worst_comes_first_and_the_line_ends() {
        check(
            |view| {
                view.conditions =
                    (0..9).map(|n| condition("avatar.missing", &format!("b{n}"), None)).collect();
                view.conditions.iter_mut().for_each(|it| it.reason = None);
                view.channels[0].failed = 1;
            },
            "CRITICAL: 1 dead letter of channel ops; avatar.missing for b0; avatar.missing for b1; \
             avatar.missing for b2; avatar.missing for b3; and 5 more",
            2,
        );
    }

    #[test]
    fn the_figures_are_as_plugins_write_them() {
        let mut view = well();
        view.channels[0].failed = 1;
        view.channels[0].under_way = 2;
        view.oldest_under_way_at = Some("2026-11-23T11:59:18Z".to_owned());
        view.avatars[0].trouble = trouble("failed", NOW);
        let now = Timestamp::parse_rfc3339(NOW).unwrap();
        let line = Verdict::of(&view, LATE_AFTER, now).line();
        let (_, figures) = line.split_once(" | ").unwrap();
        assert_eq!(
            figures,
            "avatars=1;;;0 training=1;;;0 troubled=1;;;0 waiting=2;;;0 oldest=42s;600;;0 \
             dead=1;;0;0"
        );
    }
}
