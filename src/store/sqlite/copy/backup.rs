//! Backups: consistent copies of the database, made beside a running daemon.
//!
//! Invariants: a file with the name of a backup is complete, verified, on disk, and readable by its
//! owner only. No file is overwritten. A rotation removes only files that it named itself, and only
//! after a good copy.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use tempfile::NamedTempFile;

use crate::domain::time::timestamp::Timestamp;
use crate::files::paths::{parent_dir, with_suffix};
use crate::files::trust::Trust;
use crate::files::write;
use crate::store::error::{ErrorContext as _, StoreError, damaged, disk};
use crate::store::files::location;
use crate::store::files::obstacle::OpenFor;
use crate::store::files::ownership::FsUserGuard;
use crate::store::files::permissions;
use crate::store::files::temp_copy;
use crate::store::sqlite::connection;
use crate::store::sqlite::copy::flush;
use crate::store::sqlite::copy::snapshot;
use crate::store::sqlite::database::Database;
use crate::store::sqlite::integrity::IntegrityReport;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::time_limit::TimeClass;
use crate::store::sqlite::verify::verify;

/// A completed backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub(crate) file: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) report: IntegrityReport,
    pub(crate) removed: Vec<PathBuf>,
}

/// Copies the database into a new file.
///
/// # Errors
/// When the file exists, the database cannot be read, or the disk fails; then no file is created.
pub fn to_file(database: &Path, file: &Path) -> Result<Backup, StoreError> {
    if file.symlink_metadata().is_ok() {
        return Err(StoreError::AlreadyExists(file.to_owned()));
    }
    let (copy, report) = copy(database, parent_dir(file))?;
    let bytes = fs::metadata(&copy).map_err(disk("reading", copy.path()))?.size();
    copy.persist_noclobber(file).map_err(|failure| match failure.error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::AlreadyExists(file.to_owned()),
        _ => disk("naming", file)(failure.error),
    })?;
    sync_folder(file)?;
    Ok(Backup { file: file.to_owned(), bytes, report, removed: Vec::new() })
}

/// Copies the database into a new file of a folder, named after `now`, and keeps the newest `keep`
/// of those. If the verification finds a problem, no older backup is removed.
pub fn to_folder(
    database: &Path,
    folder: &Path,
    keep: usize,
    now: Timestamp,
) -> Result<Backup, StoreError> {
    if !folder.is_dir() {
        let _fs_user = FsUserGuard::for_copy(database, parent_dir(folder))?;
        let made = DirBuilder::new().mode(PRIVATE_MODE).create(folder);
        made.map_err(disk("making the folder", folder))?;
    }
    let backup = to_file(database, &free_name(folder, now))?;
    if !backup.report.findings.is_empty() {
        return Ok(backup);
    }
    let removed = rotate(folder, keep, &backup.file).map_err(disk("clearing up", folder))?;
    Ok(Backup { removed, ..backup })
}

/// Whether there has never been a database to copy: no file, no lock file, and no backup in the
/// folder.
pub fn is_too_early(database: &Path, folder: &Path) -> bool {
    let leads = fs::symlink_metadata(database).is_ok() || DatabaseLock::lock_file_exists(database);
    let names = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let copied = names.filter_map(|entry| entry.file_name().into_string().ok());
    !leads && !copied.into_iter().any(|name| is_dated(&name))
}

/// Writes a consistent copy into a file of the folder, which is removed unless it is named, and
/// verifies it.
pub(in crate::store) fn copy(
    database: &Path,
    folder: &Path,
) -> Result<(NamedTempFile, IntegrityReport), StoreError> {
    temp_copy::remove_stale(folder);
    snapshot::read(database, |source| copy_from(source, database, folder))
}

fn copy_from(
    source: Database,
    database: &Path,
    folder: &Path,
) -> Result<(NamedTempFile, IntegrityReport), StoreError> {
    let copy = {
        let _fs_user = FsUserGuard::for_copy(database, folder)?;
        temp_copy::create(folder).map_err(disk("making a file in", folder))?
    };
    source.open_log_for_copy()?;
    let elsewhere = temp_copy::private_folder(folder, &Trust::for_named());
    let report = match elsewhere.map_err(disk("making a folder in", &std::env::temp_dir()))? {
        None => {
            let trust = Trust::for_named();
            permissions::check_folder(folder, &trust)?;
            permissions::check_path(copy.path(), &trust)?;
            vacuum_into(source, database, copy.path())?;
            verify(copy.path())?
        }
        Some(elsewhere) => {
            let file = elsewhere.path().join("copy.db");
            vacuum_into(source, database, &file)?;
            let report = verify(&file)?;
            let file = File::open(&file).map_err(disk("reading", &file))?;
            flush::copy_file(&file, &copy).map_err(disk("writing", copy.path()))?;
            report
        }
    };
    // A user who can write to the folder may have replaced it.
    if !temp_copy::is_at(copy.as_file(), copy.path()) {
        return Err(StoreError::FileReplaced(copy.path().to_owned()));
    }
    copy.as_file().sync_all().map_err(disk("writing", copy.path()))?;
    Ok((copy, report))
}

/// Writes the database into a file that is empty or does not exist.
fn vacuum_into(source: Database, database: &Path, file: &Path) -> Result<(), StoreError> {
    // No link is followed from here on.
    let folder = fs::canonicalize(parent_dir(file)).map_err(disk("naming", file))?;
    let end = folder.join(file.file_name().unwrap_or_default());
    let unnameable = || disk("naming", file)(io::ErrorKind::InvalidInput.into());
    let end = end.to_str().ok_or_else(unnameable)?;
    // A copy is compact.
    let bytes_max = location::size_on_disk(database).saturating_add(GROWTH_BYTES_MAX);
    source.copy_into(end, bytes_max).map_err(|failure| {
        // SQLite leaves it when the disk is full.
        drop(fs::remove_file(with_suffix(file, "-journal")));
        match damaged(database, DOING, failure) {
            StoreError::TooLong { .. } => StoreError::Damaged(
                database.to_owned(),
                format!("its copy has more than {bytes_max} bytes and keeps growing"),
            ),
            failure => failure,
        }
    })?;
    set_history_id(file)
}

/// Gives a copy a new history id: after a restore, its transitions are another history than those
/// of the database. Opening it compares the schema again, which may have changed meanwhile.
fn set_history_id(copy: &Path) -> Result<(), StoreError> {
    let connection = connection::open(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // The whole copy is synced before it is renamed.
    let set = connection.pragma_update(None, "journal_mode", "MEMORY");
    set.and_then(|()| connection.pragma_update(None, "synchronous", "OFF")).doing(DOING)?;
    let sql = "UPDATE history SET history_id = random()";
    Database::new(connection, copy, OpenFor::Write)?.write(
        DOING,
        TimeClass::Normal,
        |transaction| transaction.execute(sql, ()).map(drop),
    )
}

pub(in crate::store) fn sync_folder(file: &Path) -> Result<(), StoreError> {
    write::sync_folder(file).map_err(disk("writing", parent_dir(file)))
}

/// A dated name that is not taken: that of `now`, or of a few milliseconds later.
fn free_name(folder: &Path, now: Timestamp) -> PathBuf {
    let named = |later_ms| {
        let at = Timestamp::from_millis(now.as_millis().saturating_add(later_ms));
        folder.join(format!("{PREFIX}{}{SUFFIX}", compact(at)))
    };
    let mut names = (0..NAME_ATTEMPTS_MAX).map(named);
    names.find(|name| name.symlink_metadata().is_err()).unwrap_or_else(|| named(0))
}

/// Removes dated backups, except the newest `keep` up to the fresh one. Those that are dated after
/// the fresh one were made under another clock: they do not count, and are not removed.
fn rotate(folder: &Path, keep: usize, fresh: &Path) -> io::Result<Vec<PathBuf>> {
    let mut dated = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_old = entry.file_name().to_str().is_some_and(is_dated)
            && path.file_name() < fresh.file_name();
        if is_old && entry.file_type()?.is_file() {
            dated.push(path);
        }
    }
    dated.sort();
    let surplus = (dated.len() + 1).saturating_sub(keep.max(1));
    dated.truncate(surplus);
    let mut removed = Vec::new();
    for path in dated {
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            // Another rotation removed it.
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(removed)
}

/// Whether a file has a name of a rotation.
fn is_dated(name: &str) -> bool {
    let inside = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    inside.is_some_and(is_compact)
}

/// Whether a text is the output of [`compact`] for some timestamp.
fn is_compact(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    if !text.is_ascii() || date.len() != 8 || time.len() < 6 {
        return false;
    }
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, rest) = (&time[..2], &time[2..4], &time[4..]);
    let spelled = format!("{year}-{month}-{day}T{hour}:{minute}:{rest}");
    Timestamp::parse_rfc3339(&spelled).is_some_and(|at| compact(at) == text)
}

/// A timestamp as a sortable part of file names: `20261123T111522.123Z`.
pub(in crate::store) fn compact(at: Timestamp) -> String {
    at.to_string().chars().filter(|it| !['-', ':'].contains(it)).collect()
}

const DOING: &str = "copying the database";
/// How much larger a copy may be than the database and its log.
const GROWTH_BYTES_MAX: u64 = 16 << 20;
const PREFIX: &str = "avatar-watch-";
const SUFFIX: &str = ".db";
const PRIVATE_MODE: u32 = 0o700;
/// The number of milliseconds for which names are tried.
const NAME_ATTEMPTS_MAX: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::handle::Store;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn a_rotation_keeps_the_newest_but_those_dated_later_and_removes_no_other_file() {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("a.db");
        let (_store, _writer) = Store::open(&database, "boot".to_owned()).unwrap();
        let folder = home.path().join("backups");
        to_folder(&database, &folder, 2, at(0)).unwrap();
        let foreign = [
            "avatar-watch-19700101T000000.000Z.db.old",
            "avatar-watch-19701301T000001.000Z.db",
            "avatar-watch-mine.db",
            "b.db",
        ];
        foreign.iter().for_each(|name| fs::write(folder.join(name), "").unwrap());
        let dated = |time: &str| format!("avatar-watch-19700101T{time}Z.db");
        let check = |second: i64, fresh: &str, removed: &[&str], expected: &[&str]| {
            let made = to_folder(&database, &folder, 2, at(second)).unwrap();
            assert_eq!(made.file, folder.join(dated(fresh)));
            let removed: Vec<_> = removed.iter().map(|it| folder.join(dated(it))).collect();
            assert_eq!(made.removed, removed, "by {fresh}");
            let mut expected: Vec<String> = expected.iter().map(|it| dated(it)).collect();
            expected.extend(foreign.map(str::to_owned));
            expected.sort();
            assert_eq!(names(&folder), expected, "after {fresh}");
        };
        check(1, "000001.000", &[], &["000000.000", "000001.000"]);
        // Several within one millisecond.
        check(1, "000001.001", &["000000.000"], &["000001.000", "000001.001"]);
        check(1, "000001.002", &["000001.000"], &["000001.001", "000001.002"]);
        // The clock was ahead, and is set back.
        check(50, "000050.000", &["000001.001"], &["000001.002", "000050.000"]);
        check(51, "000051.000", &["000001.002"], &["000050.000", "000051.000"]);
        check(2, "000002.000", &[], &["000002.000", "000050.000", "000051.000"]);
        check(3, "000003.000", &[], &["000002.000", "000003.000", "000050.000", "000051.000"]);
        let left = ["000003.000", "000004.000", "000050.000", "000051.000"];
        check(4, "000004.000", &["000002.000"], &left);
        // The clock has passed their date.
        check(59, "000059.000", &left[..3], &["000051.000", "000059.000"]);
    }

    #[test]
    fn a_copy_follows_no_link_in_place_of_its_file() {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("a.db");
        let (link, target) = (home.path().join("link"), home.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let copy_into_link = || {
            snapshot::read(&database, |source| {
                Ok(source.copy_into(link.to_str().unwrap(), u64::MAX))
            })
        };
        let (store, writer) = Store::open(&database, "boot".to_owned()).unwrap();
        assert!(copy_into_link().unwrap().is_err(), "beside a daemon");
        drop(store);
        writer.join();
        assert!(copy_into_link().unwrap().is_err(), "without one");
        assert!(target.symlink_metadata().is_err());
    }

    #[test]
    fn a_missing_database_is_too_early_only_before_the_first_start() {
        let home = tempfile::tempdir().unwrap();
        let (database, folder) = (home.path().join("a.db"), home.path().join("backups"));
        assert!(is_too_early(&database, &folder));
        let (store, writer) = Store::open(&database, "boot".to_owned()).unwrap();
        to_folder(&database, &folder, 2, at(1)).unwrap();
        drop(store);
        writer.join();
        fs::remove_file(&database).unwrap();
        assert!(!is_too_early(&database, &home.path().join("none")), "its lock exists");
        fs::remove_file(home.path().join("a.db.lock")).unwrap();
        assert!(!is_too_early(&database, &folder), "a copy exists");
        assert!(is_too_early(&database, &home.path().join("none")));
        std::os::unix::fs::symlink("gone.db", &database).unwrap();
        assert!(!is_too_early(&database, &home.path().join("none")), "a link exists");
    }
}
