//! `avatar-watch status`: the last observed status of each avatar, and current problems.

pub(super) mod report;
pub(super) mod nagios;
pub(super) mod readiness_probe;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::args::StatusArgs;
use crate::cli::avatar_names::AvatarNames;
use crate::cli::commands::history::status_or_print;
use crate::cli::exit::Exit;
use crate::cli::local_time::LocalTime;
use crate::cli::locations::{Locations, find_and_warn, print_read_error};
use crate::cli::output::{age, json, line, print_count};
use crate::cli::status::report::StatusReport;
use crate::cli::table::{Column, table};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::status_report::LATE_AFTER;
use crate::domain::time::timestamp::Timestamp;
use crate::store::reader::Reader;
use crate::text::sanitize::sanitize;
use crate::web::route_view::RouteView;
use crate::web::views::{AvatarView, FindingView};

pub(crate) fn status(config: Option<&Path>, args: &StatusArgs) -> Exit {
    let found = find_and_warn(config, args.database.database.as_deref());
    let (now, late_after) = (SystemClock.now(), args.late_after.unwrap_or(LATE_AFTER));
    let wanted = match args.avatar.as_deref().map(|text| find(&found, text)).transpose() {
        Ok(wanted) => wanted,
        Err(exit) => return exit,
    };
    let time = LocalTime::new(args.database.utc);
    let read = StatusReport::read(&found, wanted.as_ref(), late_after, &time, now);
    if args.check {
        let (text, exit) = match &read {
            Ok(view) => nagios::check(view, late_after, now),
            Err(error) => nagios::unknown(error, &found),
        };
        line(&text);
        return exit;
    }
    let mut view = match read {
        Ok(view) => view,
        Err(error) => return print_read_error(&found, &error),
    };
    let selected = match select(&view, args) {
        Ok(selected) => selected,
        Err(exit) => return exit,
    };
    if args.database.json {
        let limit = args.limit.map_or(usize::MAX, |limit| limit as usize);
        view.status.avatars = Some(selected.into_iter().take(limit).collect());
        json(&view.status);
    } else {
        show(&view, selected, args.limit.unwrap_or(AVATARS_MAX), now);
    }
    Exit::Ok
}

fn find(found: &Locations, text: &str) -> Result<AvatarId, Exit> {
    let names = Reader::snapshot(&found.database, |reader| AvatarNames::read(found, reader));
    names.map_err(|error| print_read_error(found, &error))?.find_or_print(text)
}

/// The avatars with the wanted status and name, by id.
fn select(view: &StatusReport, args: &StatusArgs) -> Result<Vec<AvatarView>, Exit> {
    let observed: Vec<String> =
        view.avatars().iter().filter_map(|avatar| avatar.status.clone()).collect();
    let status = args.status.as_deref().map(|word| status_or_print(word, &observed)).transpose()?;
    let named = args.name.as_deref().map(|text| view.names.matching_or_print(text)).transpose()?;
    let is_wanted = |avatar: &&AvatarView| {
        status.as_ref().is_none_or(|status| avatar.status.as_ref() == Some(status))
            && named.as_ref().is_none_or(|all| all.iter().any(|id| id.matches(&avatar.id)))
    };
    Ok(view.avatars().iter().filter(is_wanted).cloned().collect())
}

/// What needs a person first, then what is in training, then the latest change.
fn by_urgency(avatars: &mut [AvatarView]) {
    avatars.sort_by_cached_key(|avatar| {
        let has_problem = avatar.failure.is_some() || avatar.dead_letters > 0;
        let is_training = avatar.training_seconds.is_some();
        let is_watched = avatar.is_watched();
        let since = avatar.since.as_deref().and_then(Timestamp::parse_rfc3339);
        (!has_problem, !is_training, !is_watched, Reverse(since), avatar.name.clone())
    });
}

fn show(view: &StatusReport, mut selected: Vec<AvatarView>, limit: u32, now: Timestamp) {
    let status = &view.status;
    by_urgency(&mut selected);
    let total = selected.len() as u64;
    selected.truncate(limit as usize);
    let several = view.avatars().iter().filter_map(|avatar| avatar.account.as_ref());
    let several = several.collect::<BTreeSet<_>>().len() > 1;
    let mut columns = COLUMNS.to_vec();
    if several {
        columns.insert(1, Column::cut("account", 8).rank(3));
    }
    let rows: Vec<_> = selected
        .iter()
        .map(|avatar| {
            let mut row = row(avatar, view, now);
            if several {
                row.insert(1, avatar.account.clone().unwrap_or_default());
            }
            row
        })
        .collect();
    let empty = match view.avatars().is_empty() {
        true => "No avatars yet: add one under `[[avatars]]` in the config.",
        false => "No avatar has this status and name.",
    };
    table(&columns, &rows, empty);
    if (rows.len() as u64) < total {
        print_count(rows.len(), total, "first", "avatar");
    }
    for avatar in selected.iter().filter(|_| !view.covers_all) {
        training_lines(avatar).iter().chain(&route_lines(avatar)).for_each(|it| line(it));
    }
    if !status.findings.is_empty() {
        line("");
    }
    finding_lines(&status.findings, now).iter().for_each(|text| line(text));
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

/// What is wrong, since when, and what to do. Of what has one help, only the first ones are shown,
/// and the help once.
fn finding_lines(findings: &[FindingView], now: Timestamp) -> Vec<String> {
    let is_of_kind = |one: &FindingView, other: &FindingView| {
        (one.severity, &one.help) == (other.severity, &other.help)
    };
    let mut lines = Vec::new();
    for of_kind in findings.chunk_by(is_of_kind) {
        lines.extend(of_kind.iter().take(FINDINGS_SHOWN).map(|it| finding_line(it, now)));
        let more = of_kind.len().saturating_sub(FINDINGS_SHOWN);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
        lines.extend(of_kind.first().map(|it| format!("  help: {}", it.help)));
    }
    lines
}

fn finding_line(finding: &FindingView, now: Timestamp) -> String {
    let FindingView { severity, since, lasting, text, .. } = finding;
    let for_long = since.as_deref().map(|since| format!("{lasting} {}", age(since, now)));
    format!("{severity}: {}{}", sanitize(text), for_long.unwrap_or_default())
}

/// What is known of the duration of its trainings.
fn training_lines(avatar: &AvatarView) -> Vec<String> {
    let model = avatar.model.as_deref().map(|model| format!(" of {model}")).unwrap_or_default();
    let usual = avatar.usual_training.as_ref();
    let usual = usual.map(|it| sanitize(&format!("Trainings{model} usually take {}.", it.text)));
    let last = avatar.last_training.as_ref();
    let last = last.map(|it| format!("Its last training took {}.", it.text));
    let mut lines: Vec<String> = last.into_iter().chain(usual).collect();
    if let Some(first) = lines.first_mut() {
        first.insert(0, '\n');
    }
    lines
}

/// Which channels get the events of an avatar, and why.
fn route_lines(avatar: &AvatarView) -> Vec<String> {
    let Some(routes) = &avatar.routes else { return Vec::new() };
    let (yes, no): (Vec<_>, Vec<_>) = routes.iter().partition(|route| route.receives);
    let mut lines = Vec::new();
    let mut list = |title: &str, routes: Vec<&RouteView>| {
        if !routes.is_empty() {
            lines.push(format!("\n{title}:"));
        }
        let text = |it: &RouteView| sanitize(&format!("  {}: {}", it.channel, it.reason));
        lines.extend(routes.into_iter().map(text));
    };
    if yes.is_empty() {
        list("Its events go to no channel", no);
    } else {
        list("Its events go to", yes);
        list("and not to", no);
    }
    lines
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

fn row(avatar: &AvatarView, view: &StatusReport, now: Timestamp) -> Vec<String> {
    let failure = avatar.failure.as_ref().map(|failure| {
        let since = age(&failure.since, now);
        format!("{} for {since}: {}", failure.kind.name(), failure.reason)
    });
    let deliveries = match (avatar.deliveries_in_flight, avatar.dead_letters) {
        (0, 0) => String::new(),
        (waiting, 0) => format!("{waiting} waiting"),
        (0, dead) => format!("{dead} DEAD"),
        (waiting, dead) => format!("{waiting} waiting, {dead} DEAD"),
    };
    let id = AvatarId::parse(&avatar.id);
    let name = id.map_or_else(|_| avatar.id.clone(), |id| view.names.label(&id));
    let name = match avatar.configured {
        Some(false) if view.awaiting_reload.contains(&avatar.id) => {
            format!("{name} (not active until a reload)")
        }
        Some(false) if avatar.discovered => format!("{name} (discovered)"),
        Some(false) => format!("{name} (not in the config)"),
        Some(true) | None => name,
    };
    vec![
        name,
        avatar.status.as_deref().map_or_else(
            || "not polled yet".to_owned(),
            |status| Status::from_name(status).display().into_owned(),
        ),
        avatar.since.as_deref().map(|since| age(since, now)).unwrap_or_default(),
        view.poll_intervals.get(&avatar.id).cloned().unwrap_or_default(),
        deliveries,
        failure.unwrap_or_default(),
    ]
}

const COLUMNS: [Column; 6] = [
    Column::cut("avatar", 16),
    Column::cut("status", 15),
    Column::text("for"),
    Column::text("polled").rank(2),
    Column::text("deliveries").rank(1),
    Column::cut("failure", 20).rank(0),
];
/// The findings of one kind that are shown.
const FINDINGS_SHOWN: usize = 5;
/// The avatars that are shown without `--limit`.
const AVATARS_MAX: u32 = 50;
/// The maximum of lines about the config file; `check` prints all of them.
const FILE_LINES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(text: &str, help: &str) -> FindingView {
        FindingView {
            severity: "warning",
            avatar_id: None,
            since: Some("2026-11-23T12:00:00Z".to_owned()),
            lasting: ", for",
            text: text.to_owned(),
            help: help.to_owned(),
        }
    }

    #[test]
    fn of_many_findings_of_one_kind_the_first_are_shown_with_one_help() {
        let now = Timestamp::parse_rfc3339("2026-11-23T12:00:40Z").unwrap();
        let missing = |n: u32| finding(&format!("a{n} is missing"), "check the id.");
        let mut all: Vec<FindingView> = (1..=50).map(missing).collect();
        all.push(finding("Channel ops is late", "wait."));
        let lines = finding_lines(&all, now);
        assert_eq!(lines.len(), 9, "{lines:?}");
        assert_eq!(lines[0], "warning: a1 is missing, for 40s");
        let rest =
            ["  and 45 more", "  help: check the id.", "warning: Channel ops is late, for 40s"];
        assert_eq!(lines[5..8], rest);
    }
}
