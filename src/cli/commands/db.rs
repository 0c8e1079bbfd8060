//! `avatar-watch db`: copies of the database, the check of it, the way back.

use std::path::Path;

use serde::Serialize;

use crate::cli::args::admin::{DatabaseArgs, DbAction, DbArgs};
use crate::cli::exit::Exit;
use crate::cli::output::{json, line, print_error, print_failure, print_store_error};
use crate::cli::paths::locations;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::store::error::StoreError;
use crate::store::sqlite::backup;
use crate::store::sqlite::integrity::{IntegrityCheck, IntegrityFinding, IntegrityReport};
use crate::store::sqlite::restore::{self, Lost, Restore, Restored};
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
    deliveries_under_way: u64,
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
    lost: Option<LostView>,
    backup: ReportView,
}

#[derive(Debug, Serialize)]
struct LostView {
    transitions: u64,
    deliveries: u64,
    sent_again: u64,
}

/// Does what was asked with the database.
pub fn db(config: Option<&Path>, args: &DbArgs) -> Exit {
    let done = match &args.action {
        DbAction::Backup { path, keep, database } => backup(config, path, *keep, database),
        DbAction::Verify { file, json } => verify(config, file.as_deref(), *json),
        DbAction::Restore { file, database } => restore(config, file, database),
    };
    done.unwrap_or_else(|error| match error {
        // Where a database was named to be copied, checked or put back, none is as bad as a
        // damaged one, and a daemon is not what makes it.
        StoreError::NotFound { .. } | StoreError::Empty { .. } => {
            print_failure(&error);
            Exit::Data
        }
        error => print_store_error(&error),
    })
}

fn backup(
    config: Option<&Path>,
    path: &Path,
    keep: Option<u16>,
    args: &DatabaseArgs,
) -> Result<Exit, StoreError> {
    let database = locations(config, args.database.as_deref()).database;
    let made = match keep {
        Some(keep) => backup::to_folder(&database, path, keep.into(), SystemClock.now()),
        None => backup::to_file(&database, path),
    };
    let made = match made {
        Err(StoreError::AlreadyExists { path: taken }) if keep.is_none() && taken.is_dir() => {
            print_error(&format!(
                "avatar-watch: `{}` is a folder\n  help: name a file in it, or write `--keep 7` \
                 for dated copies there",
                taken.display()
            ));
            return Ok(Exit::Problems);
        }
        Err(StoreError::NotFound { .. })
            if keep.is_some() && backup::is_too_early(&database, path) =>
        {
            return Ok(nothing_yet(&database, args));
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
        return Ok(Exit::Good);
    }
    print_findings(&shown, &made.report);
    print_error("  help: the copy was made as the database is, and no older one was removed");
    Ok(Exit::Data)
}

/// A timer may be earlier than the first start of the daemon.
fn nothing_yet(database: &Path, args: &DatabaseArgs) -> Exit {
    if args.json {
        json(&None::<BackupView>);
    } else {
        let shown = sanitize(&database.display().to_string());
        line(&format!("nothing to back up yet: no daemon has made `{shown}` so far"));
    }
    Exit::Good
}

fn verify(config: Option<&Path>, file: Option<&Path>, as_json: bool) -> Result<Exit, StoreError> {
    let file = file.map_or_else(|| locations(config, None).database, Path::to_owned);
    let report = match verify::verify(&file) {
        Err(failure) if as_json && says_what_it_is(&failure) => {
            let what = failure.to_string();
            let findings = vec![IntegrityFinding { part: IntegrityCheck::Structure, what }];
            IntegrityReport { findings, ..IntegrityReport::default() }
        }
        report => report?,
    };
    let sound = report.findings.is_empty();
    let shown = file.display().to_string();
    if as_json {
        json(&report_view(&file, &report));
    } else if sound {
        line(&sanitize(&format!("{shown}: sound, {}", content(&report))));
    } else {
        print_findings(&shown, &report);
        print_error("  help: `avatar-watch db restore FILE` puts a backup in its place");
    }
    Ok(if sound { Exit::Good } else { Exit::Data })
}

/// Whether a failure is about the file, and not about the reading of it.
const fn says_what_it_is(failure: &StoreError) -> bool {
    matches!(
        failure,
        StoreError::NotFound { .. }
            | StoreError::Empty { .. }
            | StoreError::NotOurs { .. }
            | StoreError::Newer { .. }
    )
}

fn restore(config: Option<&Path>, file: &Path, args: &DatabaseArgs) -> Result<Exit, StoreError> {
    let database = locations(config, args.database.as_deref()).database;
    let (restored, report) = match restore::restore(&database, file, SystemClock.now())? {
        Restore::Done(restored) => (Some(restored.clone()), restored.report),
        Restore::Unsound(report) => (None, report),
    };
    if args.json {
        let of = restored.as_ref();
        let kept = of.and_then(|it| it.kept.as_ref()).map(|kept| kept.display().to_string());
        let lost = of.and_then(|it| it.lost).map(lost_view);
        json(&RestoreView {
            database: database.display().to_string(),
            restored: restored.is_some(),
            kept,
            lost,
            backup: report_view(file, &report),
        });
    }
    match restored {
        Some(restored) if !args.json => print_report(&database, &restored),
        Some(_) => {}
        None => {
            print_findings(&file.display().to_string(), &report);
            print_error("  help: nothing was changed; take an older backup");
            return Ok(Exit::Data);
        }
    }
    Ok(Exit::Good)
}

/// Says what was put where, what is gone, and what comes now.
fn print_report(database: &Path, restored: &Restored) {
    let Restored { report, kept, lost } = restored;
    line(&sanitize(&format!("{}: {}", database.display(), content(report))));
    if let Some(kept) = kept {
        line(&sanitize(&format!("the old database is kept as {}", kept.display())));
        match lost {
            Some(Lost { transitions, deliveries, .. }) => line(&format!(
                "what the old one had since the backup: {}, {}",
                counted(*transitions, "change"),
                counted(*deliveries, "delivery")
            )),
            None => line("what the old one had since the backup is not known: it cannot be read"),
        }
    }
    let again = lost.map(|lost| format!(", {} of them for the second time", lost.sent_again));
    line(&format!(
        "next: `avatar-watch run` sends {} of the backup under the same ids{}; what changed since \
         the backup is seen again as far as it still shows, and told under new ids",
        counted(report.in_flight, "delivery"),
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

/// What is in a database, in words.
fn content(report: &IntegrityReport) -> String {
    let IntegrityReport {
        transitions, removed, deliveries, in_flight: under_way, newest_at, ..
    } = report;
    let newest = newest_at.map(|at| format!(" up to {at}")).unwrap_or_default();
    let removed = match removed {
        0 => String::new(),
        removed => format!(", {removed} older ones removed for their age"),
    };
    let deliveries = counted(*deliveries, "delivery");
    let changes = counted(*transitions, "change");
    format!("{changes}{newest}{removed}, {deliveries}, {under_way} of them under way")
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
        deliveries_under_way: report.in_flight,
        newest_transition_at: report.newest_at.map(|at| at.to_string()),
        findings: findings
            .map(|it| IntegrityFindingView { part: it.part.name(), what: it.what.clone() })
            .collect(),
    }
}

const fn lost_view(lost: Lost) -> LostView {
    let Lost { transitions, deliveries, sent_again } = lost;
    LostView { transitions, deliveries, sent_again }
}
