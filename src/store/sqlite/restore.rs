//! The way back: puts a backup in the place of the database, and keeps what was there.
//!
//! What always holds: the backup was checked, and copied onto the same disk, before anything is
//! moved; under the name of the database stands the old one or the new one, whole, at every
//! moment; a log of the old one, of either kind, never stands beside the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::domain::time::timestamp::Timestamp;
use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::store::error::{ErrorContext as _, StoreError, damaged};
use crate::store::files::obstacle::OpenFor;
use crate::store::files::ownership::{FsUserGuard, Owner};
use crate::store::files::permissions;
use crate::store::sqlite::application_id;
use crate::store::sqlite::backup::{compact, copy, disk, sync_folder};
use crate::store::sqlite::connection;
use crate::store::sqlite::integrity::IntegrityReport;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::time_limit::{TimeLimit, TimeLimits, Work};
use crate::store::sqlite::transaction::Database;
use crate::store::sqlite::verify::verify;

/// A restore that was done, or refused for what is wrong with the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The backup stands in the place of the database.
    Done(Restored),
    /// The backup is damaged; nothing was moved.
    Unsound(IntegrityReport),
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is in the database now.
    pub report: IntegrityReport,
    /// Where the old database is kept, if there was one.
    pub kept: Option<PathBuf>,
    /// What the old database had that this one has not; `None` when it could not be read.
    pub lost: Option<Lost>,
}

/// What a database had that its backup has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Changes of status that were seen since.
    pub transitions: u64,
    /// Deliveries that were made since.
    pub deliveries: u64,
    /// Deliveries that are to be sent by the backup, and ended since.
    pub sent_again: u64,
}

/// Puts the backup `file` in the place of `database`.
///
/// # Errors
/// When a daemon or another program has the database open, the backup cannot be read, or the disk
/// fails; then the database is what it was.
pub fn restore(database: &Path, file: &Path, now: Timestamp) -> Result<Restore, StoreError> {
    let report = verify(file)?;
    if !report.findings.is_empty() {
        return Ok(Restore::Unsound(report));
    }
    // A link stays one: what it leads to is the database.
    let database = &resolve_symlinks(database);
    // What takes its place is given to its owner.
    permissions::check(database, OpenFor::Write)?;
    let fs_user = FsUserGuard::for_database(database)?;
    if let Err(foreign @ StoreError::NotOurs { .. }) =
        application_id::check_application_id(database)
    {
        return Err(foreign);
    }
    drop(fs_user);
    let _lock = DatabaseLock::acquire(database)?;
    let (fresh, report) = copy(file, parent_dir(database))?;
    if !report.findings.is_empty() {
        return Ok(Restore::Unsound(report));
    }
    // Whoever restores as root is rarely who runs the daemon.
    let given = Owner::of(database).and_then(|owner| owner.chown(fresh.as_file()));
    given.map_err(disk("giving its owner", database))?;
    let _fs_user = FsUserGuard::for_database(database)?;
    if !database.exists() {
        move_logs_away(database, None, &ENDINGS)?;
        let placed = fresh.persist_noclobber(database);
        placed.map_err(|failure| disk("placing", database)(failure.error))?;
        sync_folder(database)?;
        return Ok(Restore::Done(Restored { report, kept: None, lost: None }));
    }
    let lost = lost(database, fresh.path()).ok();
    let kept = with_suffix(database, &format!(".before-restore-{}", compact(now)));
    // Held until the new one stands there, so that nobody writes to the old one meanwhile.
    let held = hold(database)?;
    fs::hard_link(database, &kept).map_err(disk("keeping the old database as", &kept))?;
    // Whoever holds the old one has ended its journal, and removes it in the end.
    let ended = usize::from(held.is_some());
    move_logs_away(database, Some(&kept), &ENDINGS[..ENDINGS.len() - ended])?;
    fresh.persist(database).map_err(|failure| disk("placing", database)(failure.error))?;
    sync_folder(database)?;
    drop(held);
    Ok(Restore::Done(Restored { report, kept: Some(kept), lost }))
}

/// Puts what the log of the old database holds into its file, and keeps everybody else out; does
/// nothing to one that is damaged.
fn hold(database: &Path) -> Result<Option<Connection>, StoreError> {
    const DOING: &str = "closing the old database";
    let mut connection = connection::open(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // What is interrupted is damaged: SQLite reads the list of tables and indexes here.
    let limit = TimeLimit::of(&mut connection, TimeLimits::default()).doing(DOING)?;
    let limited = limit.begin(DOING, Work::Schema)?;
    // Only whoever is alone with the database can end its log.
    let alone = connection
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .and_then(|()| {
            connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        })
        .and_then(|()| connection.execute_batch("BEGIN EXCLUSIVE"));
    drop(limited);
    match alone.map_err(|source| damaged(database, DOING, source)) {
        Ok(()) => Ok(Some(connection)),
        Err(StoreError::Damaged { .. } | StoreError::TooLong { .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Moves logs that are left over to where the old database is kept, or removes them where there is
/// none; the index of a log is worth nothing by itself.
fn move_logs_away(
    database: &Path,
    kept: Option<&Path>,
    endings: &[&str],
) -> Result<(), StoreError> {
    let absent_is_fine = |done: io::Result<()>| match done {
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    for ending in endings {
        let log = with_suffix(database, ending);
        let moved = match kept {
            Some(kept) => fs::rename(&log, with_suffix(kept, ending)),
            None => fs::remove_file(&log),
        };
        absent_is_fine(moved).map_err(disk("moving away", &log))?;
    }
    let index = with_suffix(database, "-shm");
    absent_is_fine(fs::remove_file(&index)).map_err(disk("removing", &index))
}

/// What stands beside a database: the write-ahead log, and the journal of what is to be undone.
const ENDINGS: [&str; 2] = ["-wal", "-journal"];

/// Compares the old database with what takes its place.
fn lost(database: &Path, fresh: &Path) -> Result<Lost, StoreError> {
    const DOING: &str = "comparing the databases";
    let connection = connection::open(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let old = Database::new(connection, database, OpenFor::Write)?;
    let name = fresh.to_str().ok_or(rusqlite::Error::InvalidQuery).doing(DOING)?;
    old.execute(DOING, "ATTACH ?1 AS fresh", [name])?;
    // Of one that is damaged, reading may never end.
    old.read(DOING, Work::Normal, |connection| {
        let number = |sql: &str| {
            let counted = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            counted.map(|counted| u64::try_from(counted).unwrap_or(0))
        };
        Ok(Lost {
            transitions: number(
                "SELECT count(*) FROM main.transitions
                 WHERE seq > (SELECT coalesce(max(seq), 0) FROM fresh.transitions)",
            )?,
            deliveries: number(
                "SELECT count(*) FROM main.deliveries
                 WHERE seq > (SELECT coalesce(max(seq), 0) FROM fresh.deliveries)",
            )?,
            sent_again: number(
                "SELECT count(*) FROM fresh.deliveries f JOIN main.deliveries o ON o.id = f.id
                 WHERE f.state IN ('pending','sending') AND o.state NOT IN ('pending','sending')",
            )?,
        })
    })
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
