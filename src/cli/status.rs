//! `avatar-watch status`: what each avatar was last seen as, and what is in the way.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::StatusArgs;
use crate::cli::channels::ChannelView;
use crate::cli::config_path::whereabouts;
use crate::cli::exit::Exit;
use crate::cli::output::{complain_of_store, complain_of_stranger, counted, json, line, table};
use crate::cli::overview::{AvatarView, Overview};
use crate::cli::verdict::{Verdict, VerdictView};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::foreign_text::plain;
use crate::domain::span::rough;
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::verdict::LATE_AFTER;
use crate::web::view::ConditionView;

/// What is known and what it comes to, as programs get it.
#[derive(Serialize)]
struct Judged<'a> {
    #[serde(flatten)]
    view: &'a Overview,
    #[serde(flatten)]
    verdict: VerdictView,
}

/// Shows the watches, the channels that need someone, and the conditions that hold.
pub fn status(config: Option<&Path>, args: &StatusArgs) -> Exit {
    let found = whereabouts(config, args.database.database.as_deref());
    let now = SystemClock.now();
    let read = Overview::read(&found, args.id.as_deref(), now);
    if args.check {
        let verdict = match &read {
            Ok(view) => Verdict::of(view, args.late_after.unwrap_or(LATE_AFTER), now),
            Err(error) => Verdict::unknown(error, &found),
        };
        line(&verdict.line());
        return verdict.exit();
    }
    let view = match read {
        Ok(view) => view,
        Err(error) => return complain_of_store(&error),
    };
    if let (Some(id), true) = (&args.id, view.avatars.is_empty()) {
        return complain_of_stranger(id);
    }
    let verdict = Verdict::of(&view, LATE_AFTER, now);
    if args.database.json {
        json(&Judged { view: &view, verdict: verdict.view() });
    } else {
        show(&view, &verdict, now);
    }
    Exit::Good
}

fn show(view: &Overview, verdict: &Verdict, now: Timestamp) {
    let several = view.avatars.iter().filter_map(|avatar| avatar.account.as_ref());
    let several = several.collect::<BTreeSet<_>>().len() > 1;
    let mut header = vec!["avatar", "name", "status", "for", "deliveries", "trouble"];
    if several {
        header.insert(1, "account");
    }
    let rows = view.avatars.iter().map(|avatar| {
        let mut row = row(avatar, now);
        if several {
            row.insert(1, avatar.account.clone().unwrap_or_default());
        }
        row
    });
    let empty = "No avatars yet: register one under `[[avatars]]` in the config.";
    table(&header, rows.collect(), empty);
    let channels = view.channels.iter().filter_map(|channel| channel_line(channel, now));
    let waits = view.oldest_under_way_at.as_deref().map(|at| {
        format!("the oldest message that was not delivered yet has waited for {}", age(at, now))
    });
    // What these would say of channels was just said, and more.
    let conditions = view.conditions.iter().filter(|it| !it.kind.starts_with("channel."));
    let conditions = conditions.map(|condition| condition_line(condition, now));
    let lines: Vec<String> = channels.chain(waits).chain(conditions).collect();
    if !lines.is_empty() {
        line("");
    }
    lines.iter().for_each(|text| line(&plain(text)));
    file_lines(view).iter().for_each(|text| line(text));
    match (view.daemon.running, view.daemon.pid) {
        (true, Some(pid)) => line(&format!("\nThe daemon is running (process {pid}).")),
        (true, None) => line("\nThe daemon is running."),
        (false, _) => line("\nThe daemon is not running: this is what it last wrote."),
    }
    if view.is_whole {
        line(&format!("\n{}", plain(&verdict.sentence())));
    }
}

/// What there is to say of the config file, which is not what is in force.
fn file_lines(view: &Overview) -> Vec<String> {
    let in_force = match view.is_in_force {
        true => "; what is shown is what is in force",
        false => "",
    };
    let mut lines = Vec::new();
    if !view.knows_avatars {
        lines.push("\nThe config cannot be read, so nothing of it is shown.".to_owned());
    } else if !view.config_readable {
        lines.push(format!("\nThe config cannot be read{in_force}."));
    } else if !view.config_problems.is_empty() {
        let count = counted(view.config_problems.len(), "problem");
        lines
            .push(format!("\nThe config has {count} (`avatar-watch check` names them){in_force}."));
    } else if !view.config_changes.is_empty() {
        lines.push(format!("\nThe config was changed and not reloaded{in_force}. By a reload:"));
    }
    let told = view.config_problems.iter().chain(&view.config_changes);
    lines.extend(told.take(FILE_LINES_MAX).map(|text| format!("  {}", plain(text))));
    let more = view.config_problems.len().max(view.config_changes.len());
    if more > FILE_LINES_MAX {
        lines.push(format!("  and {} more", more - FILE_LINES_MAX));
    }
    lines
}

/// A channel that is not told, or takes nothing; `None` for one that does well.
fn channel_line(channel: &ChannelView, now: Timestamp) -> Option<String> {
    let (state, since) = channel.trouble()?;
    let for_long = since.map(|since| format!(" for {}", age(since, now))).unwrap_or_default();
    let reason = channel.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let waiting = match &channel.oldest_under_way_at {
        None => "nothing waits".to_owned(),
        Some(at) => format!(
            "{} waiting, the oldest for {}",
            counted(usize::try_from(channel.under_way).unwrap_or(usize::MAX), "message"),
            age(at, now)
        ),
    };
    Some(format!("channel `{}` is {state}{for_long}{reason}; {waiting}", channel.name))
}

fn condition_line(condition: &ConditionView, now: Timestamp) -> String {
    let ConditionView { kind, subject, since, cause, reason } = condition;
    let cause = cause.as_ref().map(|cause| format!(", {}", cause.replace('_', " ")));
    let reason = reason.as_ref().map(|reason| format!(": {reason}"));
    let (cause, reason) = (cause.unwrap_or_default(), reason.unwrap_or_default());
    format!("{kind} for `{subject}` for {}{cause}{reason}", age(since, now))
}

/// How long ago that was, for people.
fn age(since: &str, now: Timestamp) -> String {
    let since = Timestamp::parse_rfc3339(since);
    since.map(|since| rough(now.since(since))).unwrap_or_default()
}

fn row(avatar: &AvatarView, now: Timestamp) -> Vec<String> {
    let trouble = avatar.trouble.as_ref().map(|trouble| {
        let since = age(&trouble.since, now);
        format!("{} for {since}: {}", trouble.kind, trouble.reason)
    });
    let deliveries = match (avatar.deliveries_under_way, avatar.deliveries_failed) {
        (0, 0) => String::new(),
        (under_way, 0) => format!("{under_way} under way"),
        (0, failed) => format!("{failed} FAILED"),
        (under_way, failed) => format!("{under_way} under way, {failed} FAILED"),
    };
    let name = avatar.name.clone().unwrap_or_default();
    let name = match avatar.configured {
        Some(false) if avatar.awaits_reload => format!("{name} (not in force yet)"),
        Some(false) if avatar.discovered => format!("{name} (found in a list)"),
        Some(false) => format!("{name} (not in the config)"),
        Some(true) | None => name,
    };
    vec![
        avatar.id.clone(),
        name.trim().to_owned(),
        avatar.status.as_deref().map_or_else(
            || "not seen yet".to_owned(),
            |status| Status::from_name(status).shown().into_owned(),
        ),
        avatar.since.as_deref().map(|since| age(since, now)).unwrap_or_default(),
        deliveries,
        trouble.unwrap_or_default(),
    ]
}

/// Lines about the config file that are shown; `check` has them all.
const FILE_LINES_MAX: usize = 5;
