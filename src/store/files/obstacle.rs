//! Explains why this user cannot open a database: the file that prevents it, its owner and mode,
//! and a suggested fix.
//!
//! Called after a failure. It changes nothing; the cause may have been fixed since.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat};
use rustix::process::geteuid;

use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::files::users::{bare, user};
use crate::store::error::{StoreError, disk};
use crate::store::files::ownership::FsUserGuard;

/// The suffixes of the files that SQLite keeps beside a database.
pub(in crate::store) const SQLITE_ENDS: [&str; 3] = ["-wal", "-shm", "-journal"];
pub(in crate::store) const LOCK_END: &str = ".lock";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum OpenFor {
    Read,
    /// Write to it and to its folder.
    Write,
}

/// Replaces a failure of access by its cause, if one is found.
pub(in crate::store) fn explain(
    database: &Path,
    wanted: OpenFor,
    failure: StoreError,
) -> StoreError {
    match failure {
        StoreError::NoHandles { .. } | StoreError::Disk { .. } | StoreError::Sqlite { .. } => {
            find(database, wanted).unwrap_or(failure)
        }
        failure => failure,
    }
}

/// Why a database cannot be found: it does not exist, or a folder of its path cannot be entered.
pub(in crate::store) fn missing(database: &Path, failure: io::Error) -> StoreError {
    match failure.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::NotFound(database.to_owned()),
        _ => closed_folder(database).unwrap_or_else(|| disk("accessing", database)(failure)),
    }
}

/// The first file or folder of a database that does not permit this access.
pub(in crate::store) fn find(database: &Path, wanted: OpenFor) -> Option<StoreError> {
    let _fs_user = FsUserGuard::for_database(database);
    let file = resolve_symlinks(database);
    let folder = parent_dir(&file);
    if let Some(closed) = closed_folder(&file) {
        return Some(closed);
    }
    let lock = (wanted == OpenFor::Write).then_some(LOCK_END);
    let mut files = SQLITE_ENDS.into_iter().chain(lock).map(|end| with_suffix(&file, end));
    let found = files.find_map(|it| irregular(&it).or_else(|| openable(&it, wanted, &file)));
    let found = openable(&file, wanted, &file).or(found);
    found.or_else(|| (wanted == OpenFor::Write).then(|| writable(folder, &file)).flatten())
}

/// Explains why a file beside a database cannot be read.
pub(in crate::store) fn unreadable(path: &Path, failure: io::Error) -> StoreError {
    openable(path, OpenFor::Read, path).unwrap_or_else(|| disk("accessing", path)(failure))
}

/// A folder of the path that this user may not enter.
fn closed_folder(file: &Path) -> Option<StoreError> {
    let denied = |it: &Path| {
        fs::symlink_metadata(it).is_err_and(|it| it.kind() == ErrorKind::PermissionDenied)
    };
    let last = file.ancestors().filter(|it| denied(it)).last()?;
    let folder = parent_dir(last);
    let found = fs::symlink_metadata(folder).ok()?;
    let help = format!(
        "run the command as {} or root, or let other users in: `chmod o+x {}`",
        user(found.uid()),
        folder.display()
    );
    Some(blocked(folder, format!("cannot be entered by {}; {}", me(), described(&found)), help))
}

/// A link, folder, FIFO or device in place of a file of the database.
fn irregular(path: &Path) -> Option<StoreError> {
    let found = fs::symlink_metadata(path).ok().filter(|found| !found.is_file())?;
    let kind = if found.is_symlink() { "a link" } else { "not a regular file" };
    let what = format!("is {kind}, where a file of the database belongs; {}", described(&found));
    Some(blocked(
        path,
        what,
        format!("check it, and move it away: `mv {0} {0}.old`", path.display()),
    ))
}

/// Refuses a database if a path with one of these suffixes is not a regular file. Called before the
/// file is opened, since opening a FIFO blocks.
pub(in crate::store) fn refuse_irregular(database: &Path, ends: &[&str]) -> Result<(), StoreError> {
    let file = resolve_symlinks(database);
    match ends.iter().find_map(|end| irregular(&with_suffix(&file, end))) {
        Some(found) => Err(found),
        None => Ok(()),
    }
}

/// Why this user cannot open a file, if it exists.
fn openable(path: &Path, wanted: OpenFor, database: &Path) -> Option<StoreError> {
    let found = fs::metadata(path).ok().filter(Metadata::is_file)?;
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.read(true).write(wanted == OpenFor::Write).custom_flags(flags);
    let failure = options.open(path).err()?;
    let access = if wanted == OpenFor::Write { "opened for writing" } else { "read" };
    let what = format!("cannot be {access} by {}: {failure}; {}", me(), described(&found));
    Some(blocked(path, what, help(path, &found, wanted, &failure, database)))
}

/// Why this user cannot create files in a folder.
pub(in crate::store) fn writable(folder: &Path, database: &Path) -> Option<StoreError> {
    let found = fs::metadata(folder).ok()?;
    let access = Access::WRITE_OK | Access::EXEC_OK;
    let failure: io::Error = accessat(CWD, folder, access, AtFlags::EACCESS).err()?.into();
    let what = format!("cannot be written to by {}: {failure}; {}", me(), described(&found));
    Some(blocked(folder, what, help(folder, &found, OpenFor::Write, &failure, database)))
}

fn help(
    path: &Path,
    found: &Metadata,
    wanted: OpenFor,
    failure: &io::Error,
    database: &Path,
) -> String {
    let shown = path.display();
    if failure.kind() == ErrorKind::ReadOnlyFilesystem {
        return "its file system is mounted read-only: remount it, or name another `store.path`"
            .to_owned();
    }
    let owner = fs::metadata(database).or_else(|_| fs::metadata(parent_dir(database)));
    let owner = owner.map_or(found.uid(), |it| it.uid());
    let mine = geteuid().as_raw() == owner;
    match (wanted, mine) {
        (OpenFor::Read, false) => format!(
            "run the command as {} or root, or let other users read it: `chmod o+r {shown}`",
            user(found.uid())
        ),
        (OpenFor::Read, true) | (OpenFor::Write, true) if found.uid() == owner => {
            format!("`chmod u+rw {shown}`; if that does not help, check `lsattr -d {shown}`")
        }
        (OpenFor::Read | OpenFor::Write, true) => {
            format!("as root: `chown {} {shown}`", bare(owner))
        }
        (OpenFor::Write, false) => format!(
            "run the command as {}, who owns the database, or give it to this user, as root: \
             `chown -R {} {}`",
            user(owner),
            bare(geteuid().as_raw()),
            parent_dir(database).display()
        ),
    }
}

pub(in crate::store) fn blocked(path: &Path, what: String, help: String) -> StoreError {
    StoreError::Blocked { path: path.to_owned(), what, help }
}

/// The owner and mode of a file, for messages.
pub(in crate::store) fn described(found: &Metadata) -> String {
    let mode = found.mode() & 0o7777;
    format!("it belongs to {}, group {}, with mode {mode:04o}", user(found.uid()), found.gid())
}

fn me() -> String {
    user(geteuid().as_raw())
}
