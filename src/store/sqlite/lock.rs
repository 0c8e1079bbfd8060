//! The lock that keeps a second daemon from the same database.
//!
//! The lock is the operating system's on an open file: it ends with the process, however that
//! ends. The number in the file only names the holder for people.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::files::paths::{resolve_symlinks, with_suffix};
use crate::store::error::StoreError;
use crate::store::files::obstacle::{self, LOCK_END};
use crate::store::files::ownership::{Owner, open_or_make};

/// Held as long as it lives.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Takes the lock of the database at `database`.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another process has it, [`StoreError::Blocked`] when something
    /// else stands in its place, [`StoreError::Disk`] when the lock file cannot be made.
    pub fn acquire(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let disk =
            |source| StoreError::Disk { doing: "making the lock file", path: path.clone(), source };
        obstacle::refuse_irregular(database, &[LOCK_END])?;
        let owner = Owner::of(&resolve_symlinks(database)).map_err(disk)?;
        let mut file = open_or_make(&path, MODE, owner).map_err(disk)?;
        if !take(&file).map_err(disk)? {
            let pid = read_pid(&mut file);
            return Err(StoreError::Locked { path: database.to_owned(), pid });
        }
        show_to_readers(&file, database);
        file.set_len(0).map_err(disk)?;
        file.seek(SeekFrom::Start(0)).map_err(disk)?;
        writeln!(file, "{}", std::process::id()).map_err(disk)?;
        Ok(Self { _file: file })
    }

    /// Whether a daemon ever held the lock of the database at `database`.
    pub(in crate::store) fn was_held(database: &Path) -> bool {
        fs::symlink_metadata(lock_path(database)).is_ok()
    }

    /// The process that holds the lock of the database at `database`, if any does: `Some(None)`
    /// when it is held by a process that does not name itself.
    ///
    /// # Errors
    /// When this user may not look, or when what stands there is no lock file.
    pub fn holder(database: &Path) -> Result<Option<Option<u32>>, StoreError> {
        let path = lock_path(database);
        obstacle::refuse_irregular(database, &[LOCK_END])?;
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(failure) if failure.kind() == io::ErrorKind::PermissionDenied => {
                return holder_by_list(&path).ok_or_else(|| obstacle::unreadable(&path, failure));
            }
            Err(_) => return Ok(None),
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Ok(Some(read_pid(&mut file))),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(None),
        }
    }
}

/// Takes the lock, unless a daemon has it. Whoever looks whether one has it, has it for a moment
/// together with others, and is waited for.
fn take(file: &File) -> io::Result<bool> {
    for _ in 0..READ_ATTEMPTS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(failure)) => return Err(failure),
        }
        match file.try_lock_shared() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(failure)) => return Err(failure),
        }
        thread::sleep(READ_DELAY);
    }
    Ok(false)
}

/// Lets whoever may read the database see who holds it. A file of somebody else stays as it is.
fn show_to_readers(file: &File, database: &Path) {
    let mode = |found: fs::Metadata| found.permissions().mode() & 0o777;
    if let (Ok(wanted), Ok(found)) = (fs::metadata(database).map(mode), file.metadata().map(mode))
        && wanted & READERS & !found != 0
    {
        let both = fs::Permissions::from_mode(found | (wanted & READERS));
        drop(file.set_permissions(both));
    }
}

/// The holder of a lock whose file this user may not read, by the kernel's own list
/// (<https://man7.org/linux/man-pages/man5/proc_locks.5.html>); `None` where that is not shown.
fn holder_by_list(path: &Path) -> Option<Option<Option<u32>>> {
    let inode = fs::metadata(path).ok()?.ino();
    let list = fs::read_to_string("/proc/locks").ok()?;
    Some(list.lines().find_map(|line| holder_in(line, inode)))
}

/// The process in an entry of the kernel's list, if it is of that file and nobody may share it.
fn holder_in(line: &str, inode: u64) -> Option<Option<u32>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, place, ..] = fields.as_slice() else { return None };
    let (_, number) = place.rsplit_once(':')?;
    (number.parse() == Ok(inode)).then(|| pid.parse().ok())
}

/// Beside the file itself, whatever link it was named by.
fn lock_path(database: &Path) -> PathBuf {
    with_suffix(database, LOCK_END)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_LENGTH_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const PID_LENGTH_MAX: u64 = 32;
/// Whoever may look at the folder may see who holds the database.
const MODE: u32 = 0o644;
const READERS: u32 = 0o044;
/// How often and for how long whoever only looks is waited for.
const READ_ATTEMPTS_MAX: u32 = 400;
const READ_DELAY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        assert_eq!(DatabaseLock::holder(&database).unwrap(), None);
        // A link is the same database, also before there is one.
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&database, &link).unwrap();
        let early = DatabaseLock::acquire(&link).unwrap();
        std::fs::write(&database, "").unwrap();
        assert!(matches!(DatabaseLock::acquire(&database), Err(StoreError::Locked { .. })));
        drop(early);
        let held = DatabaseLock::acquire(&database).unwrap();
        let StoreError::Locked { pid, .. } = DatabaseLock::acquire(&database).unwrap_err() else {
            panic!("not held");
        };
        assert_eq!(pid, Some(std::process::id()));
        assert_eq!(DatabaseLock::holder(&database).unwrap(), Some(pid));
        assert_eq!(DatabaseLock::holder(&link).unwrap(), Some(pid), "a link is the same database");
        assert!(DatabaseLock::acquire(&link).is_err());
        drop(held);
        assert_eq!(DatabaseLock::holder(&database).unwrap(), None);
        DatabaseLock::acquire(&database).unwrap();
    }

    #[test]
    fn the_kernel_s_list_tells_who_holds_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let lock = folder.path().join("a.db.lock");
        let held = DatabaseLock::acquire(&database).unwrap();
        assert_eq!(holder_by_list(&lock), Some(Some(Some(std::process::id()))));
        drop(held);
        assert_eq!(holder_by_list(&lock), Some(None));
        let check = |line: &str, expected| assert_eq!(holder_in(line, 77), expected, "{line}");
        check("1: FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF", Some(Some(12)));
        check("1: FLOCK  ADVISORY  READ 12 fe:00:77 0 EOF", None);
        check("1: POSIX  ADVISORY  WRITE 12 fe:00:77 0 EOF", None);
        check("1: FLOCK  ADVISORY  WRITE 12 fe:00:177 0 EOF", None);
        check("1: -> FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF", None);
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_leads_nobody_astray() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = (folder.path().join("a.db"), folder.path().join("other"));
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("a.db.lock")).unwrap();
        let refused = DatabaseLock::acquire(&database);
        assert!(matches!(refused, Err(StoreError::Blocked { .. })), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    }
}
