//! `avatar-watch history`: lists the observed changes of status.

use std::error::Error;
use std::path::Path;

use csv::Writer;

use crate::cli::args::HistoryArgs;
use crate::cli::avatar_names::AvatarNames;
use crate::cli::exit::Exit;
use crate::cli::local_time::LocalTime;
use crate::cli::locations::{Locations, find_and_warn, print_read_error};
use crate::cli::output::{failed, json, known_or_print, print, print_count};
use crate::cli::table::{Column, table};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::store::error::StoreError;
use crate::store::reader::{Reader, TransitionFilter};
use crate::web::views::{TrainingView, TransitionView};

/// The rows to print, the oldest first, and how many there are in all.
struct HistoryPage {
    names: AvatarNames,
    views: Vec<TransitionView>,
    total: u64,
}

pub(crate) fn history(config: Option<&Path>, args: &HistoryArgs) -> Exit {
    let found = find_and_warn(config, args.database.database.as_deref());
    let read = Reader::snapshot(&found.database, |reader| read(reader, &found, args));
    let HistoryPage { names, views, total } = match read {
        Ok(Ok(listed)) => listed,
        Ok(Err(exit)) => return exit,
        Err(error) => return print_read_error(&found, &error),
    };
    if args.database.json {
        json(&views);
        return Exit::Ok;
    }
    if args.csv {
        return match csv(&views) {
            Ok(text) => {
                print(&text);
                Exit::Ok
            }
            Err(error) => failed(&*error, Exit::Software),
        };
    }
    let time = LocalTime::new(args.database.utc);
    let rows: Vec<_> = views.iter().map(|view| row(view, &names, &time)).collect();
    table(&COLUMNS, &rows, "No status was observed yet, or none that these options select.");
    if !rows.is_empty() {
        print_count(rows.len(), total, "newest", "change");
    }
    Exit::Ok
}

fn read(
    reader: &Reader,
    found: &Locations,
    args: &HistoryArgs,
) -> Result<Result<HistoryPage, Exit>, StoreError> {
    let names = AvatarNames::read(found, reader)?;
    let filter = match filter(args, &names, &reader.statuses()?) {
        Ok(filter) => filter,
        Err(exit) => return Ok(Err(exit)),
    };
    let (rows, total) = reader.transitions_matching(&filter, args.limit)?;
    let view = |(seq, row): &(i64, _)| TransitionView::new(*seq, row, names.name(&row.avatar_id));
    let views = rows.iter().rev().map(view).collect();
    Ok(Ok(HistoryPage { names, views, total }))
}

fn filter(
    args: &HistoryArgs,
    names: &AvatarNames,
    observed: &[String],
) -> Result<TransitionFilter, Exit> {
    let avatars = match (&args.avatar, &args.name) {
        (Some(text), _) => Some(vec![names.find_or_print(text)?]),
        (None, Some(pattern)) => Some(names.matching_or_print(pattern)?),
        (None, None) => None,
    };
    let status = args.status.as_deref().map(|word| status_or_print(word, observed)).transpose()?;
    let zone = LocalTime::new(args.database.utc);
    let since = args.since.map(|since| since.at(SystemClock.now(), &zone));
    Ok(TransitionFilter { avatars, status, since })
}

/// The status that a filter names: a documented or an observed one.
pub(in crate::cli) fn status_or_print(word: &str, observed: &[String]) -> Result<String, Exit> {
    let documented = Status::DOCUMENTED.into_iter();
    let others = observed.iter().map(String::as_str);
    let others = others.filter(|name| !Status::DOCUMENTED.contains(name));
    known_or_print("status", word, &documented.chain(others).collect::<Vec<_>>())
}

fn row(view: &TransitionView, names: &AvatarNames, time: &LocalTime) -> Vec<String> {
    let shown = |status: &str| Status::from_name(status).display().into_owned();
    let from = match (view.previous_status.as_deref().map(shown), view.previous_assumed) {
        (None, _) => "(first poll)".to_owned(),
        (Some(status), true) => format!("{status} (assumed)"),
        (Some(status), false) => status,
    };
    let id = AvatarId::parse(&view.avatar_id);
    vec![
        time.show(&view.detected_at),
        id.map_or_else(|_| view.avatar_id.clone(), |id| names.label(&id)),
        view.sequence.to_string(),
        from,
        shown(&view.status),
        view.training.as_ref().map(|it| it.text.clone()).unwrap_or_default(),
        view.last_seen_previous_at.as_deref().map(|at| time.show(at)).unwrap_or_default(),
    ]
}

/// The changes as CSV (RFC 4180).
fn csv(views: &[TransitionView]) -> Result<String, Box<dyn Error>> {
    let mut csv = Writer::from_writer(Vec::new());
    csv.write_record(CSV_COLUMNS)?;
    for view in views {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let training = view.training.as_ref();
        let of_training = |value: fn(&TrainingView) -> Option<String>| {
            training.and_then(value).unwrap_or_default()
        };
        csv.write_record([
            view.seq.to_string(),
            view.detected_at.clone(),
            optional(&view.last_seen_previous_at),
            as_text(&view.avatar_id),
            as_text(view.avatar_name.as_deref().unwrap_or_default()),
            view.sequence.to_string(),
            as_text(view.previous_status.as_deref().unwrap_or_default()),
            as_text(&view.status),
            view.training_observed.to_string(),
            as_text(&of_training(|it| it.model.clone())),
            of_training(|it| Some(it.seconds_min.to_string())),
            of_training(|it| it.seconds_max.map(|seconds| seconds.to_string())),
            of_training(|it| it.started_after.clone()),
            of_training(|it| Some(it.started_before.clone())),
        ])?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

/// A text that no spreadsheet takes for a formula
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn as_text(text: &str) -> String {
    let quote = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("{quote}{text}")
}

const CSV_COLUMNS: [&str; 14] = [
    "seq",
    "detected_at",
    "last_seen_previous_at",
    "avatar_id",
    "avatar_name",
    "sequence",
    "previous_status",
    "status",
    "training_observed",
    "training_model",
    "training_seconds_min",
    "training_seconds_max",
    "training_started_after",
    "training_started_before",
];
const COLUMNS: [Column; 7] = [
    Column::text("seen at"),
    Column::cut("avatar", 16),
    Column::number("#").rank(3),
    Column::cut("from", 12),
    Column::cut("to", 12),
    Column::cut("training took", 13).rank(1),
    Column::text("before that seen at").rank(2),
];
