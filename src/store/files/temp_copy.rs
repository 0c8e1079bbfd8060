//! Copies that are not whole yet: made under a name of their own, gone when they are dropped, and
//! cleared up after a process that was killed amid one.
//!
//! What always holds: a process holds the lock of its copy until that has its final name, so what
//! nobody holds is left behind; a file with another name is never touched.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::{Builder, NamedTempFile, TempDir};

use crate::files::open::open_regular;
use crate::files::paths::with_suffix;
use crate::files::trust::Trust;

/// Makes an empty file in the folder, readable by its owner only, and holds it.
///
/// # Errors
/// When the folder cannot be written, or the file system knows no locks.
pub(in crate::store) fn create(folder: &Path) -> io::Result<NamedTempFile> {
    for _ in 0..ATTEMPTS_MAX {
        let made =
            Builder::new().prefix(PREFIX).rand_bytes(RANDOM).suffix(SUFFIX).tempfile_in(folder)?;
        made.as_file().lock()?;
        // Between the two, someone may have taken it for left behind.
        if is_at(made.as_file(), made.path()) {
            return Ok(made);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A folder for copies that only this user can enter, where one is needed: in the folder of the
/// copy others could put a file of their own in its place, or beside it, before SQLite opens it.
/// There is none where the folder for temporary files is missing, is no better or cannot be written
/// to.
///
/// # Errors
/// When it cannot be made for another reason, such as a lack of space.
pub(in crate::store) fn private_folder(
    folder: &Path,
    trust: &Trust,
) -> io::Result<Option<TempDir>> {
    let place = std::env::temp_dir();
    if trust.judge_folder(folder).is_ok() || trust.judge_names(&place).is_err() {
        return Ok(None);
    }
    let mut builder = Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(PRIVATE_MODE));
    match builder.tempdir_in(place) {
        Ok(made) => Ok(Some(made)),
        Err(failure) => match failure.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem => Ok(None),
            _ => Err(failure),
        },
    }
}

/// Removes what processes that are gone have left in the folder; what cannot be removed stays.
pub(in crate::store) fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if !path.file_name().and_then(OsStr::to_str).is_some_and(is_unfinished) {
            continue;
        }
        let opened = open_regular(&path, OpenOptions::new().read(true), OFlags::NOFOLLOW);
        let Ok(file) = opened else { continue };
        if file.try_lock().is_ok() && is_at(&file, &path) {
            drop(fs::remove_file(&path));
            for end in ["-journal", "-wal", "-shm"] {
                drop(fs::remove_file(with_suffix(&path, end)));
            }
        }
    }
}

fn is_unfinished(name: &str) -> bool {
    let inside = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    inside.is_some_and(|it| it.len() == RANDOM && it.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Whether the file still has that name.
pub(in crate::store) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}

const PREFIX: &str = ".avatar-watch-unfinished-";
const SUFFIX: &str = ".db";
const RANDOM: usize = 6;
const PRIVATE_MODE: u32 = 0o700;
const ATTEMPTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_cleared_up_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let held = create(folder.path()).unwrap();
        let others = [
            ".avatar-watch-unfinished-.db",
            ".avatar-watch-unfinished-abc.db",
            ".avatar-watch-unfinished-abcdefg.db",
            ".avatar-watch-unfinished-abc-ef.db",
            ".avatar-watch-abcdef.db",
            "avatar-watch-unfinished-abcdef.db",
            ".avatar-watch-unfinished-abcdef.db.old",
        ];
        let left = [".avatar-watch-unfinished-abcdef.db", ".avatar-watch-unfinished-abcdef.db-wal"];
        for name in others.iter().chain(&left) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let link = folder.path().join(".avatar-watch-unfinished-linked.db");
        std::os::unix::fs::symlink("avatar-watch-unfinished-abcdef.db", &link).unwrap();
        remove_stale(folder.path());
        assert!(held.path().exists(), "a copy that is being made");
        assert!(link.symlink_metadata().is_ok(), "a link");
        for name in others {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        for name in left {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
        let path = held.into_temp_path().keep().unwrap();
        remove_stale(folder.path());
        assert!(!path.exists(), "one that was held");
    }
}
