//! `status --check`: one line and one exit code, in the format of monitoring plugins
//! (<https://www.monitoring-plugins.org/doc/guidelines.html>).
//!
//! Uses the database and the daemon's `/readyz`; contacts neither Argil nor receivers. The
//! severity is decided in `domain/status_report.rs`, as for the page.

use std::time::Duration;

use crate::cli::exit::Exit;
use crate::cli::locations::Locations;
use crate::cli::output::{causes, store_help};
use crate::cli::status::report::StatusReport;
use crate::domain::status_report::Severity;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::text::plural::counted;
use crate::text::sanitize::sanitize_line;
use crate::web::status::StatusView;

/// The line and the exit code of a check; a message is late when it is older than `late_after`.
pub(crate) fn check(view: &StatusReport, late_after: Duration, now: Timestamp) -> (String, Exit) {
    let (word, exit) = match view.status.severity {
        Severity::Ok | Severity::Notice => ("OK", Exit::Ok),
        Severity::Warning => ("WARNING", Exit::WARNING),
        Severity::Critical => ("CRITICAL", Exit::CRITICAL),
    };
    (line(word, &text(&view.status)) + &perf_data(view, late_after, now), exit)
}

/// The line and the exit code when the database cannot be read.
pub(crate) fn unknown(error: &StoreError, found: &Locations) -> (String, Exit) {
    let mut text = causes(error);
    let is_absent = matches!(error, StoreError::NotFound { .. });
    if is_absent && !found.is_database_known {
        text.push(UNKNOWN_DATABASE.to_owned());
    } else {
        text.extend(store_help(error).map(ToOwned::to_owned));
    }
    (line("UNKNOWN", &text.join("; ")), Exit::UNKNOWN)
}

/// The severity and the counts as a sentence; the findings are listed elsewhere.
pub(crate) fn sentence(view: &StatusReport) -> String {
    format!("{}: {}.", view.status.severity.summary(), counts(&view.status))
}

fn line(word: &str, text: &str) -> String {
    // The first bar separates the text from the performance data.
    format!("AVATAR-WATCH {word}: {}", sanitize_line(&text.replace('|', "/"), TEXT_CHARS_MAX))
}

fn counts(status: &StatusView) -> String {
    format!(
        "{} watched, {} in training, {} waiting",
        counted(status.avatars_watched, "avatar"),
        status.avatars_training,
        counted(status.deliveries_in_flight, "message")
    )
}

fn text(status: &StatusView) -> String {
    let counts = status.healthy.then(|| counts(status));
    let shown = status.findings.iter().take(FINDINGS_SHOWN).map(|finding| finding.text.clone());
    let more = status.findings.len().saturating_sub(FINDINGS_SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    counts.into_iter().chain(shown).chain(more).collect::<Vec<_>>().join("; ")
}

fn perf_data(view: &StatusReport, late_after: Duration, now: Timestamp) -> String {
    let status = &view.status;
    let failing = view.avatars().iter().filter(|it| it.is_watched() && it.failure.is_some());
    let counts = [status.avatars_watched, status.avatars_training, failing.count() as u64];
    // `U` means unknown in the plugins' guidelines.
    let [avatars, training, failing] = counts.map(|count| match view.knows_avatars {
        true => count.to_string(),
        false => "U".to_owned(),
    });
    let oldest = status.oldest_in_flight_at.as_deref().and_then(Timestamp::parse_rfc3339);
    let (oldest, late) = (oldest.map_or(0, |at| now.since(at).as_secs()), late_after.as_secs());
    let (waiting, dead_letters) = (status.deliveries_in_flight, status.dead_letters);
    format!(
        " | avatars={avatars};;;0 training={training};;;0 failing={failing};;;0 \
         waiting={waiting};;;0 oldest={oldest}s;{late};;0 dead_letters={dead_letters};;0;0"
    )
}

const FINDINGS_SHOWN: usize = 5;
const TEXT_CHARS_MAX: usize = 1000;

/// Help when the config, which may name another database, cannot be read.
const UNKNOWN_DATABASE: &str = "but the config cannot be read and may name another database; set \
                                `--database` to be independent of the config";

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::cli::avatar_names::AvatarNames;
    use crate::domain::polling::poll_failure::FailureKind;
    use crate::domain::status_report::LATE_AFTER;
    use crate::web::status::{DaemonView, Parts, WatchedAvatars};
    use crate::web::views::{AvatarView, ChannelView, ConditionView, FailureView};

    /// The time of the checks.
    const NOW: &str = "2026-11-23T12:00:00Z";

    struct Scene {
        parts: Parts,
        avatars: Vec<AvatarView>,
    }

    impl Scene {
        fn channel(&mut self) -> &mut ChannelView {
            &mut self.parts.channels.as_mut().unwrap()[0]
        }

        fn check(self) -> (String, u8) {
            let now = Timestamp::parse_rfc3339(NOW).unwrap();
            let Self { parts, avatars } = self;
            let knows_avatars = parts.knows_avatars;
            let status = StatusView::new(parts, WatchedAvatars::among(&avatars), LATE_AFTER, now);
            let view = StatusReport {
                status: StatusView { avatars: Some(avatars), ..status },
                has_active_config: true,
                knows_avatars,
                awaiting_reload: BTreeSet::new(),
                names: AvatarNames::default(),
                poll_intervals: BTreeMap::new(),
                covers_all: true,
            };
            let (line, exit) = super::check(&view, LATE_AFTER, now);
            (line, exit.code())
        }
    }

    fn healthy() -> Scene {
        Scene {
            parts: Parts {
                daemon: DaemonView { running: true, pid: Some(1), not_ready_reason: None },
                config_readable: true,
                knows_avatars: true,
                channels: Some(vec![ChannelView {
                    only: None,
                    name: "ops".to_owned(),
                    kind: None,
                    configured: true,
                    state: "active",
                    suspended_since: None,
                    paused_until: None,
                    pause_reason: None,
                    failing_since: None,
                    reason: None,
                    failing_recipients: Vec::new(),
                    not_before: None,
                    in_flight: 0,
                    oldest_in_flight_at: None,
                    dead_letters: 0,
                    delivered_at: None,
                }]),
                ..Parts::default()
            },
            avatars: vec![AvatarView {
                last_training: None,
                routes: None,
                id: "a1".to_owned(),
                name: None,
                account: Some("argil".to_owned()),
                model: None,
                configured: Some(true),
                discovered: false,
                status: Some("TRAINING".to_owned()),
                since: None,
                last_seen_at: None,
                next_poll_at: None,
                training_seconds: None,
                usual_training: None,
                failure: None,
                deliveries_in_flight: 0,
                dead_letters: 0,
            }],
        }
    }

    /// The word of the text is also the exit code.
    fn check(text: &str, change: impl FnOnce(&mut Scene)) {
        let mut scene = healthy();
        change(&mut scene);
        let (line, exit) = scene.check();
        let (summary, perf_data) = line.split_once(" | ").unwrap();
        assert!(!perf_data.contains('|') && !line.contains('\n'), "{line}");
        assert_eq!(summary.strip_prefix("AVATAR-WATCH ").unwrap(), text);
        let word = text.split(':').next().unwrap();
        assert_eq!(["OK", "WARNING", "CRITICAL"][usize::from(exit)], word, "{line}");
    }

    fn condition(kind: &str, subject: &str, cause: Option<&str>) -> ConditionView {
        ConditionView {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            since: NOW.to_owned(),
            cause: cause.map(ToOwned::to_owned),
            reason: Some("it said a|b\nc".to_owned()),
            name: None,
        }
    }

    fn waiting(scene: &mut Scene, since: &str) {
        scene.channel().in_flight = 2;
        scene.channel().oldest_in_flight_at = Some(since.to_owned());
    }

    fn failure(kind: FailureKind, since: &str) -> Option<FailureView> {
        Some(FailureView { kind, since: since.to_owned(), reason: "it said no".to_owned() })
    }

    #[test]
    fn ok() {
        const WELL: &str = "OK: 1 avatar watched, 1 in training, 0 messages waiting";
        check(WELL, |_| ());
        check("OK: 1 avatar watched, 1 in training, 2 messages waiting", |view| {
            waiting(view, "2026-11-23T11:50:00Z");
        });
        check(&format!("{WELL}; Channel ops is paused"), |view| view.channel().state = "paused");
        // A failure of a short time is a notice.
        check(&format!("{WELL}; Avatar a1 cannot be checked: it said no"), |view| {
            view.avatars[0].failure = failure(FailureKind::Failed, "2026-11-23T11:55:00Z");
        });
    }

    #[test]
    fn warning() {
        check(
            "WARNING: Avatar a1 is in training for longer than expected: it said a/b c",
            |view| {
                view.parts.conditions = vec![condition("avatar.training_overdue", "a1", None)];
            },
        );
        let odd = |view: &mut Scene| view.avatars[0].status = Some("IDL\u{415}".to_owned());
        check("WARNING: Avatar a1 has the unknown status \"IDL\\u{415}\"", odd);
        check("WARNING: Avatar a1 has an unknown status: it said a/b c", |view| {
            odd(view);
            view.parts.conditions = vec![condition("avatar.status_unrecognized", "a1", None)];
        });
        check("WARNING: Avatar a1 is missing: it said no", |view| {
            view.avatars[0].failure = failure(FailureKind::Missing, NOW);
        });
        check("WARNING: Avatar a1 cannot be checked: it said no", |view| {
            view.avatars[0].failure = failure(FailureKind::Failed, "2026-11-23T11:54:59Z");
        });
        check("WARNING: Channel ops is failing", |view| {
            view.channel().failing_since = Some(NOW.to_owned());
        });
        check("WARNING: Channel ops is late: 2 messages wait, the oldest for 10m 1s", |view| {
            waiting(view, "2026-11-23T11:49:59Z");
        });
        let text = "WARNING: Channel ops is paused; 2 messages wait, the oldest for 1h";
        check(text, |view| {
            waiting(view, "2026-11-23T11:00:00Z");
            view.channel().state = "paused";
        });
        let unread = "WARNING: The config cannot be read";
        check(unread, |view| view.parts.knows_avatars = false);
        check(unread, |view| view.parts.config_readable = false);
        check("WARNING: The config has 2 problems: a.toml:3: `b` is odd", |view| {
            view.parts.config_problems = vec!["a.toml:3: `b` is odd".to_owned(), "c".to_owned()];
        });
    }

    #[test]
    fn critical() {
        check("CRITICAL: The daemon is not running", |view| view.parts.daemon.running = false);
        check("CRITICAL: It hangs", |view| {
            view.parts.daemon.not_ready_reason = Some("it hangs".to_owned());
        });
        let text = "CRITICAL: Account argil cannot be checked: Argil rejects its API key (it said \
                    a/b c)";
        check(text, |view| {
            let cause = Some("key_rejected");
            view.parts.conditions = vec![condition("account.unavailable", "account argil", cause)];
            view.avatars[0].failure = failure(FailureKind::Denied, "2026-11-22T12:00:00Z");
        });
        check("CRITICAL: Channel ops is disabled: it answered 410", |view| {
            view.channel().state = "disabled";
            view.channel().reason = Some("it answered 410".to_owned());
            view.parts.conditions = vec![condition("channel.disabled", "channel ops", None)];
        });
        check("CRITICAL: Channel ops has 3 dead letters", |view| view.channel().dead_letters = 3);
    }

    #[test]
    fn findings_are_sorted_by_severity_and_limited() {
        let text = "CRITICAL: Channel ops has 1 dead letter; Avatar b0 is missing; Avatar b1 is \
                    missing; Avatar b2 is missing; Avatar b3 is missing; and 5 more";
        check(text, |view| {
            view.parts.conditions =
                (0..9).map(|n| condition("avatar.missing", &format!("b{n}"), None)).collect();
            view.parts.conditions.iter_mut().for_each(|it| it.reason = None);
            view.channel().dead_letters = 1;
        });
    }

    #[test]
    fn perf_data_has_the_format_of_plugins() {
        let mut view = healthy();
        view.channel().dead_letters = 1;
        waiting(&mut view, "2026-11-23T11:59:18Z");
        view.avatars[0].failure = failure(FailureKind::Failed, NOW);
        let (line, _) = view.check();
        let (_, perf_data) = line.split_once(" | ").unwrap();
        assert_eq!(
            perf_data,
            "avatars=1;;;0 training=1;;;0 failing=1;;;0 waiting=2;;;0 oldest=42s;600;;0 \
             dead_letters=1;;0;0"
        );
    }
}
