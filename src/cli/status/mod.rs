//! `avatar-watch status`: the last observed status of each avatar, and current problems.

pub(super) mod report;
pub(super) mod nagios;
pub(super) mod readiness_probe;

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::args::StatusArgs;
use crate::cli::exit::Exit;
use crate::cli::locations::find_and_warn;
use crate::cli::output::{age, json, line, print_store_error, print_unknown_avatar, table};
use crate::cli::status::report::StatusReport;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::avatar::status::Status;
use crate::domain::status_report::LATE_AFTER;
use crate::domain::time::timestamp::Timestamp;
use crate::text::sanitize::sanitize;
use crate::web::views::{AvatarView, FindingView};

pub(crate) fn status(config: Option<&Path>, args: &StatusArgs) -> Exit {
    let found = find_and_warn(config, args.database.database.as_deref());
    let (now, late_after) = (SystemClock.now(), args.late_after.unwrap_or(LATE_AFTER));
    let read = StatusReport::read(&found, args.id.as_deref(), late_after, now);
    if args.check {
        let (text, exit) = match &read {
            Ok(view) => nagios::check(view, late_after, now),
            Err(error) => nagios::unknown(error, &found),
        };
        line(&text);
        return exit;
    }
    let view = match read {
        Ok(view) => view,
        Err(error) => return print_store_error(&error),
    };
    if let (Some(id), true) = (&args.id, view.avatars().is_empty()) {
        return print_unknown_avatar(id);
    }
    if args.database.json {
        json(&view.status);
    } else {
        show(&view, now);
    }
    Exit::Ok
}

fn show(view: &StatusReport, now: Timestamp) {
    let status = &view.status;
    let several = view.avatars().iter().filter_map(|avatar| avatar.account.as_ref());
    let several = several.collect::<BTreeSet<_>>().len() > 1;
    let mut header = vec!["avatar", "name", "status", "for", "deliveries", "failure"];
    if several {
        header.insert(1, "account");
    }
    let rows = view.avatars().iter().map(|avatar| {
        let mut row = row(avatar, view.awaiting_reload.contains(&avatar.id), now);
        if several {
            row.insert(1, avatar.account.clone().unwrap_or_default());
        }
        row
    });
    let empty = "No avatars yet: add one under `[[avatars]]` in the config.";
    table(&header, rows.collect(), empty);
    if !status.findings.is_empty() {
        line("");
    }
    status.findings.iter().for_each(|finding| line(&finding_lines(finding, now)));
    let oldest = status.oldest_in_flight_at.as_deref().map(|at| age(at, now));
    oldest.iter().for_each(|age| line(&format!("\nThe oldest undelivered message is {age} old.")));
    file_lines(view).iter().for_each(|text| line(text));
    match (status.daemon.running, status.daemon.pid) {
        (true, Some(pid)) => line(&format!("\nThe daemon is running (process {pid}).")),
        (true, None) => line("\nThe daemon is running."),
        (false, _) => line("\nThe daemon is not running; this is its last recorded state."),
    }
    if view.covers_all {
        line(&format!("\n{}", sanitize(&nagios::sentence(view))));
    }
}

/// What is wrong, since when, and what to do.
fn finding_lines(finding: &FindingView, now: Timestamp) -> String {
    let FindingView { severity, since, text, help, .. } = finding;
    let for_long = since.as_deref().map(|since| format!(", for {}", age(since, now)));
    format!("{severity}: {}{}\n  help: {help}", sanitize(text), for_long.unwrap_or_default())
}

/// Which config the report shows, and the details of a config file that differs from it.
fn file_lines(view: &StatusReport) -> Vec<String> {
    let status = &view.status;
    let details: Vec<&String> =
        status.config_problems.iter().chain(&status.config_changes).collect();
    let is_active = status.config_readable && details.is_empty();
    let mut lines = Vec::new();
    if !view.knows_avatars {
        lines.push("\nThe config cannot be read and is not shown.".to_owned());
    } else if view.has_active_config && !is_active {
        let list = match (details.len(), status.config_problems.is_empty()) {
            (0 | 1, _) => ".",
            (_, true) => ". A reload also changes:",
            (_, false) => ". Further problems of the file:",
        };
        lines.push(format!("\nThis shows the active config{list}"));
    }
    // The finding shows the first.
    let details = details.iter().skip(1);
    let more = details.clone().count().saturating_sub(FILE_LINES_MAX);
    lines.extend(details.take(FILE_LINES_MAX).map(|text| format!("  {}", sanitize(text))));
    lines.extend((more > 0).then(|| format!("  and {more} more")));
    lines
}

fn row(avatar: &AvatarView, awaits_reload: bool, now: Timestamp) -> Vec<String> {
    let failure = avatar.failure.as_ref().map(|failure| {
        let since = age(&failure.since, now);
        format!("{} for {since}: {}", failure.kind.name(), failure.reason)
    });
    let deliveries = match (avatar.deliveries_in_flight, avatar.deliveries_failed) {
        (0, 0) => String::new(),
        (in_flight, 0) => format!("{in_flight} in flight"),
        (0, failed) => format!("{failed} FAILED"),
        (in_flight, failed) => format!("{in_flight} in flight, {failed} FAILED"),
    };
    let name = avatar.name.clone().unwrap_or_default();
    let name = match avatar.configured {
        Some(false) if awaits_reload => format!("{name} (not active until a reload)"),
        Some(false) if avatar.discovered => format!("{name} (discovered)"),
        Some(false) => format!("{name} (not in the config)"),
        Some(true) | None => name,
    };
    vec![
        avatar.id.clone(),
        name.trim().to_owned(),
        avatar.status.as_deref().map_or_else(
            || "not polled yet".to_owned(),
            |status| Status::from_name(status).display().into_owned(),
        ),
        avatar.since.as_deref().map(|since| age(since, now)).unwrap_or_default(),
        deliveries,
        failure.unwrap_or_default(),
    ]
}

/// The maximum of lines about the config file; `check` prints all of them.
const FILE_LINES_MAX: usize = 5;
