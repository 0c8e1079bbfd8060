//! Restore: replaces the database with a copy of a backup, and keeps the old one.
//!
//! Invariants: the backup is verified and copied to the same disk before a file is moved; the path
//! always names the complete old database or the complete new one; a log or journal of the old one
//! is never beside the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use crate::domain::time::timestamp::Timestamp;
use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::store::error::{ErrorContext as _, StoreError, damaged, disk};
use crate::store::files::obstacle::OpenFor;
use crate::store::files::ownership::{FsUserGuard, Owner};
use crate::store::files::permissions;
use crate::store::sqlite::application_id;
use crate::store::sqlite::connection;
use crate::store::sqlite::copy::backup::{compact, copy, sync_folder};
use crate::store::sqlite::database::Database;
use crate::store::sqlite::integrity::IntegrityReport;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::time_limit::{TimeClass, TimeLimit, TimeLimits};
use crate::store::sqlite::verify::verify;

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The backup has replaced the database.
    Done(Restored),
    /// The backup is damaged; no file was moved.
    Damaged(IntegrityReport),
}

/// A completed restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub(crate) report: IntegrityReport,
    /// The path where the old database is kept, if there was one.
    pub(crate) kept: Option<PathBuf>,
    /// The rows that only the old database had; `None` when it could not be read.
    pub(crate) lost: Option<Lost>,
}

/// The rows that a database had in addition to its backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    pub(crate) transitions: u64,
    pub(crate) deliveries: u64,
    /// Deliveries that are pending in the backup, and have ended since.
    pub(crate) sent_again: u64,
}

/// Replaces `database` with a copy of the backup `file`.
///
/// # Errors
/// When a daemon or another program has the database open, the backup cannot be read, or the disk
/// fails; then the database is unchanged.
pub fn restore(database: &Path, file: &Path, now: Timestamp) -> Result<Restore, StoreError> {
    let report = verify(file)?;
    if !report.findings.is_empty() {
        return Ok(Restore::Damaged(report));
    }
    // A link stays; the file that it points to is replaced.
    let database = &resolve_symlinks(database);
    // The new database will belong to the owner of the old one.
    permissions::check(database, OpenFor::Write)?;
    let fs_user = FsUserGuard::for_database(database)?;
    if let Err(foreign @ StoreError::ForeignFile { .. }) =
        application_id::check_application_id(database)
    {
        return Err(foreign);
    }
    drop(fs_user);
    let _lock = DatabaseLock::acquire(database)?;
    let (fresh, report) = copy(file, parent_dir(database))?;
    if !report.findings.is_empty() {
        return Ok(Restore::Damaged(report));
    }
    // Root usually restores the database of another user.
    let given = Owner::of(database).and_then(|owner| owner.chown(fresh.as_file()));
    given.map_err(disk("changing the owner of", database))?;
    let _fs_user = FsUserGuard::for_database(database)?;
    if !database.exists() {
        move_logs_away(database, None, &ENDINGS)?;
        let result = fresh.persist_noclobber(database);
        result.map_err(|failure| disk("replacing", database)(failure.error))?;
        sync_folder(database)?;
        return Ok(Restore::Done(Restored { report, kept: None, lost: None }));
    }
    let lost = lost(database, fresh.path()).ok();
    let kept = with_suffix(database, &format!(".before-restore-{}", compact(now)));
    // Locked until it is replaced, so that no other process writes to the old one.
    let held = hold(database)?;
    fs::hard_link(database, &kept).map_err(disk("keeping the old database as", &kept))?;
    // The locked connection has no log any more, and removes its journal when it is closed.
    let ended = usize::from(held.is_some());
    move_logs_away(database, Some(&kept), &ENDINGS[..ENDINGS.len() - ended])?;
    fresh.persist(database).map_err(|failure| disk("replacing", database)(failure.error))?;
    sync_folder(database)?;
    drop(held);
    Ok(Restore::Done(Restored { report, kept: Some(kept), lost }))
}

/// Checkpoints the log of the old database into its file, and locks it; does nothing to a damaged
/// database.
fn hold(database: &Path) -> Result<Option<Connection>, StoreError> {
    const DOING: &str = "closing the old database";
    let mut connection = connection::open(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // SQLite reads the schema here; one that takes too long is damaged.
    let limit = TimeLimit::install(&mut connection, TimeLimits::default()).doing(DOING)?;
    let limited = limit.begin(DOING, TimeClass::Schema)?;
    // Ending the log takes an exclusive lock.
    let locked = connection
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .and_then(|()| {
            connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        })
        .and_then(|()| connection.execute_batch("BEGIN EXCLUSIVE"));
    drop(limited);
    match locked.map_err(|source| damaged(database, DOING, source)) {
        Ok(()) => Ok(Some(connection)),
        Err(StoreError::Damaged { .. } | StoreError::TooLong { .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Moves leftover logs to the path where the old database is kept, or removes them if there is
/// none, and removes the index of the log.
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

/// The suffixes of the write-ahead log and the rollback journal.
const ENDINGS: [&str; 2] = ["-wal", "-journal"];

/// Counts the rows that the old database has in addition to the new one.
fn lost(database: &Path, fresh: &Path) -> Result<Lost, StoreError> {
    const DOING: &str = "comparing the databases";
    let connection = connection::open(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let old = Database::new(connection, database, OpenFor::Write)?;
    let name = fresh.to_str().ok_or(rusqlite::Error::InvalidQuery).doing(DOING)?;
    old.execute(DOING, "ATTACH ?1 AS fresh", [name])?;
    // Limited, since reading a damaged database may not end.
    old.read(DOING, TimeClass::Normal, |connection| {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
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
