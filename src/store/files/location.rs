//! A trial of the place of a database: whether a daemon of this user could have one there.
//!
//! It does there what a daemon does, with a file of its own that is gone afterwards: a database
//! with a write-ahead log needs locks, room, and memory that is shared between processes.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rusqlite::ffi;
use rustix::fs::statvfs;
use rustix::io::Errno;

use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::store::error::{ErrorContext as _, StoreError};
use crate::store::files::obstacle::{self, OpenFor, SQLITE_ENDS};
use crate::store::files::ownership::FsUserGuard;
use crate::store::files::permissions;
use crate::store::files::temp_copy;
use crate::store::sqlite::connection;

/// Tries whether a daemon could begin or go on with a database at that place.
///
/// # Errors
/// When it could not: says what is in the way, or what the file system cannot do.
pub fn check_location(database: &Path) -> Result<(), StoreError> {
    let file = resolve_symlinks(database);
    let folder = parent_dir(&file);
    let blocked = |what: String, help: &str| {
        Err(StoreError::Blocked { path: folder.to_owned(), what, help: help.to_owned() })
    };
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Err(failure) if failure.kind() == ErrorKind::NotFound && parent_dir(folder).is_dir() => {
            return try_parent(folder);
        }
        Ok(_) => return blocked("is no folder".to_owned(), "name another `store.path`"),
        Err(failure) if failure.kind() == ErrorKind::PermissionDenied => {
            return Err(obstacle::missing(database, failure));
        }
        Err(failure) => {
            let link = match file == *database {
                true => String::new(),
                false => format!("; `{}` is a link that leads there", database.display()),
            };
            let help = "make the folder above it, or name another `store.path`";
            return blocked(format!("cannot be used: {failure}{link}"), help);
        }
    }
    match fs::metadata(database) {
        Err(failure) if failure.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            let (path, what) =
                (database.to_owned(), "is a link that leads back to itself".to_owned());
            return Err(StoreError::Blocked { path, what, help: "remove it".to_owned() });
        }
        Ok(_) | Err(_) => {}
    }
    match obstacle::find(database, OpenFor::Write) {
        Some(found) => Err(found),
        None => permissions::check(database, OpenFor::Write).and_then(|()| try_folder(folder)),
    }
}

/// Checks that the missing folder of a database could be created, and hold one.
fn try_parent(folder: &Path) -> Result<(), StoreError> {
    let parent = parent_dir(folder);
    permissions::check(&folder.join("a.db"), OpenFor::Write)?;
    if let Some(found) = obstacle::writable(parent, parent) {
        return Err(found);
    }
    let disk = |source| StoreError::Disk { doing: DOING, path: parent.to_owned(), source };
    let trial = tempfile::tempdir_in(parent).map_err(disk)?;
    try_folder(trial.path())
}

/// Creates the folder of a database with mode 0700, if its parent exists. The folder gets the
/// owner of the parent when root creates it.
pub(in crate::store) fn create_folder(database: &Path) -> Result<(), StoreError> {
    let file = resolve_symlinks(database);
    let folder = parent_dir(&file);
    if fs::symlink_metadata(folder).is_ok() {
        return Ok(());
    }
    let _fs_user = FsUserGuard::for_database(folder)?;
    match DirBuilder::new().mode(PRIVATE_MODE).create(folder) {
        Err(source) if source.kind() == ErrorKind::PermissionDenied => {
            let (doing, path) = ("creating the folder", folder.to_owned());
            Err(StoreError::Disk { doing, path, source })
        }
        // Any other obstacle is reported when the database is opened.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The failure of a daemon to open its database, or instead of it what is in the way there, or
/// what the file system cannot do.
pub(in crate::store) fn explain(database: &Path, failure: StoreError) -> StoreError {
    match obstacle::explain(database, OpenFor::Write, failure) {
        failure @ (StoreError::NoHandles { .. }
        | StoreError::Disk { .. }
        | StoreError::Sqlite { .. }) => check_location(database).err().unwrap_or(failure),
        failure => failure,
    }
}

fn try_folder(folder: &Path) -> Result<(), StoreError> {
    let _fs_user = FsUserGuard::for_database(&folder.join("a.db"))?;
    temp_copy::remove_stale(folder);
    let trial = temp_copy::create(folder).map_err(|failure| match failure.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::NoSpace { doing: DOING },
        _ => unfit(folder, no_file(&failure)),
    })?;
    // Closed before it is removed: some file systems keep what is open under another name.
    let trial = trial.into_temp_path();
    let tried = check_wal(&trial);
    for end in SQLITE_ENDS {
        drop(fs::remove_file(with_suffix(&trial, end)));
    }
    tried.map_err(|failure| match &failure {
        StoreError::Sqlite { .. } | StoreError::NoHandles { .. } if is_full_of_files(folder) => {
            StoreError::NoSpace { doing: DOING }
        }
        StoreError::Sqlite { source, .. } => unfit(folder, missing_feature(source)),
        StoreError::NoHandles { .. } => unfit(folder, failure.to_string()),
        _ => failure,
    })
}

/// Does what a daemon does with its database first.
fn check_wal(path: &Path) -> Result<(), StoreError> {
    let trial = connection::open(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String = trial
        .pragma_update(None, "synchronous", "OFF")
        .and_then(|()| trial.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)))
        .doing(DOING)?;
    if mode != "wal" {
        let code = ffi::Error::new(ffi::SQLITE_IOERR_SHMOPEN);
        return Err(rusqlite::Error::SqliteFailure(code, None)).doing(DOING);
    }
    let sql = format!("CREATE TABLE trial(x); INSERT INTO trial VALUES(zeroblob({ROOM_BYTES}))");
    trial.execute_batch(&sql).doing(DOING)?;
    trial.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").doing(DOING)
}

/// Whether its file system has no room for one file more (inodes); some do not count them.
fn is_full_of_files(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|it| it.f_files > 0 && it.f_favail == 0)
}

fn no_file(failure: &io::Error) -> String {
    // That of the file's name says nothing to anybody.
    let cause = failure.get_ref().and_then(|it| it.source()).map(ToString::to_string);
    format!(
        "no file can be made and locked in it: {}",
        cause.unwrap_or_else(|| failure.to_string())
    )
}

/// What a file system cannot do, by what SQLite failed at.
fn missing_feature(failure: &rusqlite::Error) -> String {
    let code = failure.sqlite_error().map_or(0, |it| it.extended_code);
    let what = match code {
        ffi::SQLITE_IOERR_SHMMAP
        | ffi::SQLITE_IOERR_SHMOPEN
        | ffi::SQLITE_IOERR_SHMSIZE
        | ffi::SQLITE_IOERR_SHMLOCK => "its files cannot be mapped into memory that is shared",
        ffi::SQLITE_IOERR_LOCK
        | ffi::SQLITE_IOERR_RDLOCK
        | ffi::SQLITE_IOERR_UNLOCK
        | ffi::SQLITE_IOERR_CHECKRESERVEDLOCK => "its files cannot be locked",
        _ => "a trial failed",
    };
    format!("{what} ({failure}, code {code})")
}

fn unfit(folder: &Path, what: String) -> StoreError {
    StoreError::Unfit { folder: folder.to_owned(), what }
}

const DOING: &str = "trying its folder";
const PRIVATE_MODE: u32 = 0o700;
/// Room that there is to be at least.
const ROOM_BYTES: u32 = 128 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_trial_leaves_nothing_behind_and_finds_what_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        check_location(&at("a.db")).unwrap();
        assert!(names(folder.path()).is_empty());
        let check = |path: &Path, expected: &str| {
            let before = names(folder.path());
            let failure = check_location(path).unwrap_err().to_string();
            assert!(failure.contains(expected), "{failure}");
            assert_eq!(names(folder.path()), before);
        };
        // What is missing is made by the daemon.
        check_location(&at("none/a.db")).unwrap();
        assert!(names(folder.path()).is_empty());
        check(&at("none/none/a.db"), "none/none` cannot be used: No such file or directory");
        symlink(at("none/none/b.db"), at("link.db")).unwrap();
        check(&at("link.db"), "link.db` is a link that leads there");
        fs::write(at("file"), "").unwrap();
        check(&at("file/a.db"), "file` is no folder");
        check(Path::new("/proc/a.db"), "`/proc` cannot hold a database: no file can be");
        symlink(at("file"), at("a.db-wal")).unwrap();
        check(&at("a.db"), "a.db-wal` is a link, where a file of the database belongs");
    }
}
