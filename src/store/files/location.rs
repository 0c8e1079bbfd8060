//! Checks whether a daemon of this user can keep a database at a location.
//!
//! The check creates a temporary database there: one with a write-ahead log needs file locks, free
//! space, and memory shared between processes.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rusqlite::ffi;
use rustix::fs::statvfs;
use rustix::io::Errno;

use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::store::error::{ErrorContext as _, StoreError, disk};
use crate::store::files::obstacle::{self, OpenFor, SQLITE_ENDS};
use crate::store::files::ownership::FsUserGuard;
use crate::store::files::permissions;
use crate::store::files::temp_copy;
use crate::store::sqlite::connection;

/// Checks that a daemon can create or use a database at this path.
pub fn check_location(database: &Path) -> Result<(), StoreError> {
    let file = resolve_symlinks(database);
    let folder = parent_dir(&file);
    let blocked = |what: String, help: &str| Err(obstacle::blocked(folder, what, help.to_owned()));
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Err(failure) if failure.kind() == ErrorKind::NotFound && parent_dir(folder).is_dir() => {
            return try_parent(folder);
        }
        Ok(_) => return blocked("is not a folder".to_owned(), "set another `store.path`"),
        Err(failure) if failure.kind() == ErrorKind::PermissionDenied => {
            return Err(obstacle::missing(database, failure));
        }
        Err(failure) => {
            let link = match file == *database {
                true => String::new(),
                false => format!("; `{}` is a link to it", database.display()),
            };
            let help = "create the folder above it, or set another `store.path`";
            return blocked(format!("cannot be used: {failure}{link}"), help);
        }
    }
    if let Err(failure) = fs::metadata(database)
        && failure.raw_os_error() == Some(Errno::LOOP.raw_os_error())
    {
        let what = "is a link that points to itself".to_owned();
        return Err(obstacle::blocked(database, what, "remove it".to_owned()));
    }
    match obstacle::find(database, OpenFor::Write) {
        Some(found) => Err(found),
        None => permissions::check(database, OpenFor::Write).and_then(|()| try_folder(folder)),
    }
}

/// The size of the database at `path` in bytes, including its log.
pub fn size_on_disk(path: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    size(path) + size(&with_suffix(path, "-wal"))
}

/// Checks that the missing folder of a database could be created, and hold one.
fn try_parent(folder: &Path) -> Result<(), StoreError> {
    let parent = parent_dir(folder);
    permissions::check(&folder.join("a.db"), OpenFor::Write)?;
    if let Some(found) = obstacle::writable(parent, parent) {
        return Err(found);
    }
    let test_folder = tempfile::tempdir_in(parent).map_err(disk(DOING, parent))?;
    try_folder(test_folder.path())
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
            Err(disk("creating the folder", folder)(source))
        }
        // Any other obstacle is reported when the database is opened.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Replaces a failure to open the database by its cause, if one is found: a file or folder, or what
/// the file system does not support.
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
    let file = temp_copy::create(folder).map_err(|failure| match failure.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::NoSpace(DOING),
        _ => unfit(folder, cannot_create(&failure)),
    })?;
    // Closed before it is removed: some file systems rename an open file instead.
    let path = file.into_temp_path();
    let result = check_wal(&path);
    for end in SQLITE_ENDS {
        drop(fs::remove_file(with_suffix(&path, end)));
    }
    result.map_err(|failure| match &failure {
        StoreError::Sqlite { .. } | StoreError::NoHandles { .. } if is_full_of_files(folder) => {
            StoreError::NoSpace(DOING)
        }
        StoreError::Sqlite(_, source) => unfit(folder, missing_feature(source)),
        StoreError::NoHandles { .. } => unfit(folder, failure.to_string()),
        _ => failure,
    })
}

/// Creates a database with a write-ahead log, as a daemon does.
fn check_wal(path: &Path) -> Result<(), StoreError> {
    let connection = connection::open(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String = connection
        .pragma_update(None, "synchronous", "OFF")
        .and_then(|()| {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        })
        .doing(DOING)?;
    if mode != "wal" {
        let code = ffi::Error::new(ffi::SQLITE_IOERR_SHMOPEN);
        return Err(rusqlite::Error::SqliteFailure(code, None)).doing(DOING);
    }
    let sql = format!("CREATE TABLE test(x); INSERT INTO test VALUES(zeroblob({ROOM_BYTES}))");
    connection.execute_batch(&sql).doing(DOING)?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").doing(DOING)
}

/// Whether its file system has no free inode; some do not count them.
fn is_full_of_files(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|it| it.f_files > 0 && it.f_favail == 0)
}

fn cannot_create(failure: &io::Error) -> String {
    // Without the random name of the file.
    let cause = failure.get_ref().and_then(|it| it.source()).map(ToString::to_string);
    format!(
        "no file can be created and locked in it: {}",
        cause.unwrap_or_else(|| failure.to_string())
    )
}

/// The missing feature of the file system, by the error code of SQLite.
fn missing_feature(failure: &rusqlite::Error) -> String {
    let code = failure.sqlite_error().map_or(0, |it| it.extended_code);
    let what = match code {
        ffi::SQLITE_IOERR_SHMMAP
        | ffi::SQLITE_IOERR_SHMOPEN
        | ffi::SQLITE_IOERR_SHMSIZE
        | ffi::SQLITE_IOERR_SHMLOCK => "its files cannot be mapped into shared memory",
        ffi::SQLITE_IOERR_LOCK
        | ffi::SQLITE_IOERR_RDLOCK
        | ffi::SQLITE_IOERR_UNLOCK
        | ffi::SQLITE_IOERR_CHECKRESERVEDLOCK => "its files cannot be locked",
        _ => "a test failed",
    };
    format!("{what} ({failure}, code {code})")
}

fn unfit(folder: &Path, what: String) -> StoreError {
    StoreError::UnsupportedFileSystem(folder.to_owned(), what)
}

const DOING: &str = "testing its folder";
const PRIVATE_MODE: u32 = 0o700;
/// The free space that is required.
const ROOM_BYTES: u32 = 128 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_check_leaves_nothing_behind_and_reports_the_cause() {
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
        // The daemon creates a missing folder.
        check_location(&at("none/a.db")).unwrap();
        assert!(names(folder.path()).is_empty());
        check(&at("none/none/a.db"), "none/none` cannot be used: No such file or directory");
        symlink(at("none/none/b.db"), at("link.db")).unwrap();
        check(&at("link.db"), "link.db` is a link to it");
        fs::write(at("file"), "").unwrap();
        check(&at("file/a.db"), "file` is not a folder");
        check(Path::new("/proc/a.db"), "`/proc` cannot hold a database: no file can be");
        symlink(at("file"), at("a.db-wal")).unwrap();
        check(&at("a.db"), "a.db-wal` is a link, where a file of the database belongs");
    }
}
