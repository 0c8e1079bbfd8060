//! The verdict: an overview judged in one line and one exit status, as monitoring plugins do
//! (<https://www.monitoring-plugins.org/doc/guidelines.html>).
//!
//! It judges what is written and asks nobody: neither Argil nor a receiver. What is wrong is
//! decided in `domain/verdict.rs`, where the page asks too.

use std::error::Error as _;
use std::time::Duration;

use serde::Serialize;

use crate::cli::config_path::Whereabouts;
use crate::cli::exit::Exit;
use crate::cli::output::{counted, store_help};
use crate::cli::overview::{AvatarView, Overview};
use crate::domain::foreign_text::{one_line, plain};
use crate::domain::health::ChannelState;
use crate::domain::timestamp::Timestamp;
use crate::domain::verdict::{ChannelFacts, Facts, Finding, Level, StatusFacts, judge};
use crate::store::error::StoreError;
use crate::web::view::ConditionView;

/// What is wrong, the worst first, and the figures.
#[derive(Debug)]
pub struct Verdict {
    /// What was found; `None` when nothing can be known.
    findings: Option<Vec<Finding>>,
    text: String,
    figures: String,
}

/// A verdict, as programs get it.
#[derive(Debug, Serialize)]
pub struct VerdictView {
    /// `ok`, `note`, `warning` or `critical`: the worst of the findings.
    pub verdict: &'static str,
    /// What is wrong, or worth knowing, the worst first.
    pub findings: Vec<FindingView>,
}

/// One finding, as programs get it.
#[derive(Debug, Serialize)]
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

impl Verdict {
    /// Judges; a message is late when it is older than `late_after`.
    pub fn of(view: &Overview, late_after: Duration, now: Timestamp) -> Self {
        let findings = judge(&facts(view), late_after, now);
        let figures = Figures::of(view, late_after, now);
        Self {
            text: sentence(&findings, &figures),
            findings: Some(findings),
            figures: figures.text(),
        }
    }

    /// Nothing can be known.
    pub fn unknown(error: &StoreError, found: &Whereabouts) -> Self {
        let mut text = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push(error.to_string());
            cause = error.source();
        }
        let is_absent = matches!(error, StoreError::Absent { .. });
        if is_absent && !found.is_database_known {
            text.push(UNKNOWN_PLACE.to_owned());
        } else {
            text.extend(store_help(error).map(ToOwned::to_owned));
        }
        Self { findings: None, text: text.join("; "), figures: String::new() }
    }

    fn level(&self) -> Option<Level> {
        self.findings.as_deref().map(Level::of)
    }

    /// What it comes to, for people.
    pub fn sentence(&self) -> String {
        let headline = self.level().map_or("Nothing can be known", Level::headline);
        format!("{headline}: {}.", self.text)
    }

    /// The same for programs.
    pub fn view(&self) -> VerdictView {
        let findings = self.findings.iter().flatten().map(|it| FindingView {
            level: it.level.name(),
            avatar_id: it.avatar.clone(),
            since: it.since.map(|at| at.to_string()),
            text: plain(&it.text),
        });
        VerdictView {
            verdict: self.level().unwrap_or(Level::Critical).name(),
            findings: findings.collect(),
        }
    }

    /// The line that is printed.
    pub fn line(&self) -> String {
        let word = match self.level() {
            Some(Level::Good | Level::Note) => "OK",
            Some(Level::Warning) => "WARNING",
            Some(Level::Critical) => "CRITICAL",
            None => "UNKNOWN",
        };
        // What stands behind the first bar is read as figures.
        let text = one_line(&self.text.replace('|', "/"), TEXT_CHARS_MAX);
        format!("AVATAR-WATCH {word}: {text}{}", self.figures)
    }

    /// The code to exit with.
    pub fn exit(&self) -> Exit {
        match self.level() {
            Some(Level::Good | Level::Note) => Exit::Good,
            Some(Level::Warning) => Exit::WARNING,
            Some(Level::Critical) => Exit::CRITICAL,
            None => Exit::UNKNOWN,
        }
    }
}

fn facts(view: &Overview) -> Facts<'_> {
    let moment = |at: &Option<String>| at.as_deref().and_then(Timestamp::parse_rfc3339);
    let channels = view.channels.iter().map(|it| ChannelFacts {
        name: &it.name,
        configured: it.configured,
        state: ChannelState::from_name(it.state).unwrap_or_default(),
        failing_since: moment(&it.failing_since),
        reason: it.reason.as_deref(),
        under_way: it.under_way,
        oldest_at: moment(&it.oldest_under_way_at),
        failed: it.failed,
    });
    let unseen = view.watched().filter_map(|avatar| {
        Some(avatar.trouble.as_ref()?.facts(&avatar.id, avatar.account.as_deref()))
    });
    let unrecognized = view.watched().filter_map(|avatar| {
        StatusFacts::of(&avatar.id, avatar.status.as_deref()?, moment(&avatar.since))
    });
    Facts {
        running: view.daemon.running,
        // Its page tells whether they move.
        hindrance: view.daemon.hindrance.as_deref(),
        stuck: Vec::new(),
        config_readable: view.config_readable && view.knows_avatars,
        config_problems: &view.config_problems,
        config_changes: &view.config_changes,
        watched: (view.is_whole && view.knows_avatars && !view.discovers)
            .then(|| view.watched().count()),
        conditions: view.conditions.iter().map(ConditionView::facts).collect(),
        channels: view.is_whole.then(|| channels.collect()),
        unseen: unseen.collect(),
        unrecognized: unrecognized.collect(),
    }
}

fn sentence(findings: &[Finding], figures: &Figures) -> String {
    let well = Level::of(findings).is_well().then(|| {
        format!(
            "{} watched, {} in training, {} waiting",
            counted(figures.avatars, "avatar"),
            figures.training,
            counted(all(figures.waiting), "message")
        )
    });
    let shown = findings.iter().take(FINDINGS_SHOWN).map(|finding| finding.text.clone());
    let more = findings.len().saturating_sub(FINDINGS_SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    well.into_iter().chain(shown).chain(more).collect::<Vec<_>>().join("; ")
}

/// The figures behind the bar.
struct Figures {
    /// Whether the number of avatars is known.
    known: bool,
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
            known: view.knows_avatars,
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
        let Self { waiting, dead, .. } = self;
        // `U` is what cannot be known, in the words of the plugins' guidelines.
        let [avatars, training, troubled] =
            [self.avatars, self.training, self.troubled].map(|count| match self.known {
                true => count.to_string(),
                false => "U".to_owned(),
            });
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

const FINDINGS_SHOWN: usize = 5;
const TEXT_CHARS_MAX: usize = 1000;

/// What to do where a config that names the database cannot be read.
const UNKNOWN_PLACE: &str = "but the config cannot be read, and may name another one; `--database` \
                             finds it whatever becomes of the config";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::channels::ChannelView;
    use crate::cli::overview::DaemonView;
    use crate::domain::verdict::LATE_AFTER;
    use crate::web::view::TroubleView;

    /// The moment of the verdicts; the views say what happened before it.
    const NOW: &str = "2026-11-23T12:00:00Z";

    fn well() -> Overview {
        Overview {
            daemon: DaemonView { running: true, pid: Some(1), hindrance: None },
            config_readable: true,
            config_problems: Vec::new(),
            config_changes: Vec::new(),
            is_in_force: true,
            knows_avatars: true,
            discovers: false,
            avatars: vec![AvatarView {
                id: "a1".to_owned(),
                name: None,
                account: Some("argil".to_owned()),
                configured: Some(true),
                discovered: false,
                awaits_reload: false,
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
                failing_recipients: Vec::new(),
                not_before: None,
                under_way: 0,
                oldest_under_way_at: None,
                failed: 0,
                delivered_at: None,
            }],
            oldest_under_way_at: None,
            conditions: Vec::new(),
            is_whole: true,
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
            "OK: 1 avatar watched, 1 in training, 0 messages waiting; channel ops is paused",
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
        let odd = |view: &mut Overview| view.avatars[0].status = Some("IDL\u{415}".to_owned());
        check(odd, "WARNING: avatar a1 has the unknown status \"IDL\\u{415}\"", 1);
        check(
            |view| {
                odd(view);
                view.conditions = vec![condition("avatar.status_unrecognized", "a1", None)];
            },
            "WARNING: avatar.status_unrecognized for a1 (it said a/b c)",
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
        check(|view| view.knows_avatars = false, "WARNING: the config cannot be read", 1);
        check(|view| view.config_readable = false, "WARNING: the config cannot be read", 1);
        check(
            |view| view.config_problems = vec!["a.toml:3: `b` is odd".to_owned(), "c".to_owned()],
            "WARNING: the config has 2 problems: a.toml:3: `b` is odd",
            1,
        );
    }

    #[test]
    fn a_hiccup_is_worth_a_word_and_nobody_is_called() {
        check(
            |view| view.avatars[0].trouble = trouble("failed", "2026-11-23T11:55:00Z"),
            "OK: 1 avatar watched, 1 in training, 0 messages waiting; avatar a1 is failed: it said \
             no",
            0,
        );
    }

    #[test]
    fn someone_has_to_look() {
        check(|view| view.daemon.running = false, "CRITICAL: the daemon is not running", 2);
        check(|view| view.daemon.hindrance = Some("it hangs".to_owned()), "CRITICAL: it hangs", 2);
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
