//! `avatar-watch db`: backup, verify, restore.

use std::io::Read as _;
use std::path::Path;

use rustix::process::{getpriority_process, setpriority_process};
use serde::Serialize;

use crate::cli::args::admin::{DatabaseArgs, DbAction, DbArgs};
use crate::cli::exit::Exit;
use crate::cli::locations::{find_and_warn, print_read_error};
use crate::cli::output::{failed, json, line, print_error, print_help, print_store_error};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::files::open::open_for_reading;
use crate::store::error::StoreError;
use crate::store::sqlite::copy::backup;
use crate::store::sqlite::copy::restore::{self, Lost, Restore, Restored};
use crate::store::sqlite::integrity::{IntegrityCheck, IntegrityFinding, IntegrityReport};
use crate::store::sqlite::verify;
use crate::text::plural::counted;
use crate::text::sanitize::sanitize;

#[derive(Debug, Serialize)]
struct ReportView {
    file: String,
    sound: bool,
    schema: i64,
    transitions: u64,
    transitions_removed: u64,
    deliveries: u64,
    deliveries_in_flight: u64,
    newest_transition_at: Option<String>,
    findings: Vec<IntegrityFindingView>,
}

#[derive(Debug, Serialize)]
struct IntegrityFindingView {
    part: &'static str,
    what: String,
}

#[derive(Debug, Serialize)]
struct BackupView {
    #[serde(flatten)]
    report: ReportView,
    bytes: u64,
    removed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RestoreView {
    database: String,
    restored: bool,
    kept: Option<String>,
    lost: Option<Lost>,
    backup: ReportView,
}

pub(crate) fn db(config: Option<&Path>, args: &DbArgs) -> Exit {
    let named = match &args.action {
        DbAction::Backup { database, .. } | DbAction::Restore { database, .. } => {
            database.database.as_deref()
        }
        DbAction::Verify { file, .. } => file.as_deref(),
    };
    let found = find_and_warn(config, named);
    let at = found.database.as_path();
    if matches!(args.action, DbAction::Backup { .. } | DbAction::Verify { .. }) {
        lower_priority();
    }
    let done = match &args.action {
        DbAction::Backup { path, keep, database } => backup(at, path, *keep, database),
        DbAction::Verify { json, .. } => verify(at, *json),
        DbAction::Restore { file, database } => restore(at, file, database),
    };
    done.unwrap_or_else(|error| match error {
        error if found.help_without_config(&error).is_some() => {
            print_read_error(&found, &error);
            Exit::DataErr
        }
        // For these commands a missing database is as bad as a damaged one, and the help of
        // `print_store_error` (start the daemon) would be wrong.
        StoreError::NotFound { .. } | StoreError::Empty { .. } => failed(&error, Exit::DataErr),
        error => print_store_error(&error),
    })
}

/// A daemon on this machine comes first, also on a busy one. As `Nice=` of the unit.
fn lower_priority() {
    if let Ok(..NICE) = getpriority_process(None) {
        // Without it the command is no worse.
        let _ = setpriority_process(None, NICE);
    }
}

const NICE: i32 = 10;

fn backup(
    database: &Path,
    path: &Path,
    keep: Option<u16>,
    args: &DatabaseArgs,
) -> Result<Exit, StoreError> {
    let made = match keep {
        Some(keep) => backup::to_folder(database, path, keep.into(), SystemClock.now()),
        None => backup::to_file(database, path),
    };
    let made = match made {
        Err(StoreError::AlreadyExists(existing)) if keep.is_none() && existing.is_dir() => {
            print_error(&format!(
                "avatar-watch: `{}` is a folder\n  help: name a file in it, or use `--keep 7` for \
                 dated copies in it",
                existing.display()
            ));
            return Ok(Exit::Problems);
        }
        Err(StoreError::NotFound { .. })
            if keep.is_some() && backup::is_too_early(database, path) =>
        {
            return Ok(no_database_yet(database, args));
        }
        made => made?,
    };
    let shown = made.file.display().to_string();
    let removed: Vec<String> = made.removed.iter().map(|it| it.display().to_string()).collect();
    if args.json {
        let report = report_view(&made.file, &made.report);
        json(&BackupView { report, bytes: made.bytes, removed });
    } else {
        line(&sanitize(&format!("{shown}: {}, {}", size(made.bytes), content(&made.report))));
        removed.iter().for_each(|old| line(&sanitize(&format!("removed {old}"))));
    }
    if made.report.findings.is_empty() {
        return Ok(Exit::Ok);
    }
    print_findings(&shown, &made.report);
    print_help("the damaged database was copied as it is; no older copy was removed");
    Ok(Exit::DataErr)
}

/// Success: the timer of the backup may run before the first start of the daemon.
fn no_database_yet(database: &Path, args: &DatabaseArgs) -> Exit {
    if args.json {
        json(&None::<BackupView>);
    } else {
        let shown = sanitize(&database.display().to_string());
        line(&format!("nothing to back up: no daemon has created `{shown}` yet"));
    }
    Exit::Ok
}

/// Whether the file begins like a database, so that it can be a damaged one.
fn opens_as_database(file: &Path) -> bool {
    let mut head = [0; HEAD.len()];
    let read = open_for_reading(file).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *HEAD
}

/// The finding about a file that SQLite does not take for a database.
const NO_DATABASE: &str = "file is not a database";
/// The first bytes of a database (<https://www.sqlite.org/fileformat2.html>, section 1.3).
const HEAD: &[u8; 16] = b"SQLite format 3\0";

fn verify(file: &Path, as_json: bool) -> Result<Exit, StoreError> {
    let report = match verify::verify(file) {
        Err(failure) if as_json && is_about_content(&failure) => {
            let what = failure.to_string();
            let findings = vec![IntegrityFinding { part: IntegrityCheck::Structure, what }];
            IntegrityReport { findings, ..IntegrityReport::default() }
        }
        report => report?,
    };
    let sound = report.findings.is_empty();
    let shown = file.display().to_string();
    if as_json {
        json(&report_view(file, &report));
    } else if sound {
        line(&sanitize(&format!("{shown}: sound, {}", content(&report))));
    } else {
        let is_no_database = report.findings.iter().any(|finding| finding.what == NO_DATABASE);
        if is_no_database && !opens_as_database(file) {
            print_error(&format!(
                "avatar-watch: `{}` is not of avatar-watch: {NO_DATABASE}",
                sanitize(&shown)
            ));
            print_help("name the database of avatar-watch, or a backup of it");
        } else {
            print_findings(&shown, &report);
            print_help("`avatar-watch db restore FILE` replaces it with a backup");
        }
    }
    Ok(if sound { Exit::Ok } else { Exit::DataErr })
}

/// Whether an error says what the file is, as opposed to a failure to read it.
const fn is_about_content(failure: &StoreError) -> bool {
    matches!(
        failure,
        StoreError::NotFound { .. }
            | StoreError::Empty { .. }
            | StoreError::ForeignFile { .. }
            | StoreError::Newer { .. }
    )
}

fn restore(database: &Path, file: &Path, args: &DatabaseArgs) -> Result<Exit, StoreError> {
    let (restored, report) = match restore::restore(database, file, SystemClock.now())? {
        Restore::Done(restored) => (Some(restored.clone()), restored.report),
        Restore::Damaged(report) => (None, report),
    };
    if args.json {
        let of = restored.as_ref();
        let kept = of.and_then(|it| it.kept.as_ref()).map(|kept| kept.display().to_string());
        let lost = of.and_then(|it| it.lost);
        json(&RestoreView {
            database: database.display().to_string(),
            restored: restored.is_some(),
            kept,
            lost,
            backup: report_view(file, &report),
        });
    }
    match restored {
        Some(restored) if !args.json => print_report(database, &restored),
        Some(_) => {}
        None => {
            print_findings(&file.display().to_string(), &report);
            print_help("nothing was changed; use an older backup");
            return Ok(Exit::DataErr);
        }
    }
    Ok(Exit::Ok)
}

fn print_report(database: &Path, restored: &Restored) {
    let Restored { report, kept, lost } = restored;
    line(&sanitize(&format!("{}: {}", database.display(), content(report))));
    if let Some(kept) = kept {
        line(&sanitize(&format!("old database kept as {}", kept.display())));
        match lost {
            Some(Lost { transitions, deliveries, .. }) => line(&format!(
                "in the old database since the backup: {}, {}",
                counted(*transitions, "change"),
                counted(*deliveries, "delivery")
            )),
            None => line("changes since the backup are unknown: the old database is unreadable"),
        }
    }
    let again = lost.map(|lost| format!(", {} of them for the second time", lost.sent_again));
    line(&format!(
        "next: `avatar-watch run` sends {} of the backup with the same ids{}; changes since the \
         backup are observed again, as far as they still show, and get new event ids",
        counted(report.undelivered, "delivery"),
        again.unwrap_or_default()
    ));
}

fn print_findings(file: &str, report: &IntegrityReport) {
    let count = counted(report.findings.len(), "problem");
    print_error(&format!("avatar-watch: `{file}` is damaged: {count}"));
    for finding in &report.findings {
        print_error(&format!("  {}: {}", finding.part.name(), finding.what.replace('\n', " ")));
    }
}

fn content(report: &IntegrityReport) -> String {
    let IntegrityReport { transitions, removed, deliveries, undelivered, newest_at, .. } = report;
    let newest = newest_at.map(|at| format!(" up to {at}")).unwrap_or_default();
    let removed = match removed {
        0 => String::new(),
        removed => format!(", {removed} older ones removed by retention"),
    };
    let deliveries = counted(*deliveries, "delivery");
    let changes = counted(*transitions, "change");
    format!("{changes}{newest}{removed}, {deliveries}, {undelivered} of them in flight")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=999_999 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}

fn report_view(file: &Path, report: &IntegrityReport) -> ReportView {
    let findings = report.findings.iter();
    ReportView {
        file: file.display().to_string(),
        sound: report.findings.is_empty(),
        schema: report.schema,
        transitions: report.transitions,
        transitions_removed: report.removed,
        deliveries: report.deliveries,
        deliveries_in_flight: report.undelivered,
        newest_transition_at: report.newest_at.map(|at| at.to_string()),
        findings: findings
            .map(|it| IntegrityFindingView { part: it.part.name(), what: it.what.clone() })
            .collect(),
    }
}
