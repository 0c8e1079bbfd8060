//! Temporary files for copies: created under a random name, removed when dropped, and cleaned up
//! after a process that was killed.
//!
//! Invariants: a process holds the lock of its copy until it is renamed, so an unlocked copy is
//! stale; a file with another name is never removed.

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

/// Creates and locks an empty file in the folder, with mode 0600.
pub(in crate::store) fn create(folder: &Path) -> io::Result<NamedTempFile> {
    for _ in 0..ATTEMPTS_MAX {
        let made =
            Builder::new().prefix(PREFIX).rand_bytes(RANDOM).suffix(SUFFIX).tempfile_in(folder)?;
        made.as_file().lock()?;
        // Another process may have removed it before it was locked.
        if is_at(made.as_file(), made.path()) {
            return Ok(made);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A private folder below `$TMPDIR`, when other users can write to the folder of a copy and could
/// replace it, or add a journal, before SQLite opens it. `None` when it is not needed, or the
/// folder for temporary files is missing, not writable or not safe either.
///
/// # Errors
/// When it cannot be created for another reason, such as a lack of space.
pub(in crate::store) fn private_folder(
    folder: &Path,
    trust: &Trust,
) -> io::Result<Option<TempDir>> {
    let temp_dir = std::env::temp_dir();
    if trust.check_folder(folder).is_ok() || trust.check_entries(&temp_dir).is_err() {
        return Ok(None);
    }
    let mut builder = Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(PRIVATE_MODE));
    match builder.tempdir_in(temp_dir) {
        Ok(made) => Ok(Some(made)),
        Err(failure) => match failure.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem => Ok(None),
            _ => Err(failure),
        },
    }
}

/// Removes the temporary files of processes that have ended, as far as possible.
pub(in crate::store) fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if !path.file_name().and_then(OsStr::to_str).is_some_and(is_temp_name) {
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

fn is_temp_name(name: &str) -> bool {
    let inside = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    inside.is_some_and(|it| it.len() == RANDOM && it.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Whether the path still names this file.
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
    fn only_unlocked_temporary_copies_are_removed() {
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
        assert!(held.path().exists(), "a copy in progress");
        assert!(link.symlink_metadata().is_ok(), "a link");
        for name in others {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        for name in left {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
        let path = held.into_temp_path().keep().unwrap();
        remove_stale(folder.path());
        assert!(!path.exists(), "no longer locked");
    }
}
