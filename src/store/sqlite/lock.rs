//! The lock file that keeps a second daemon from the same database.
//!
//! The lock is an `flock` of the kernel: it ends with the process. The file contains the process id
//! of the holder, for messages; the identity of its database file, for commands that write beside
//! it; and why its last write failed, which the database itself cannot show. Its mode is 0600,
//! since a user who can open the file can take the lock.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::files::open::open_regular;
use crate::files::paths::{resolve_symlinks, with_suffix};
use crate::store::error::{StoreError, disk};
use crate::store::files::obstacle::{self, LOCK_END, OpenFor};
use crate::store::files::ownership::{FsUserGuard, Owner, open_or_create};
use crate::store::files::permissions;
use crate::store::sqlite::open::FileIdentity;
use crate::text::sanitize::sanitize_line;

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct DatabaseLock {
    file: File,
    /// Why the last write failed, as the file says it.
    write_failure: Option<String>,
}

impl DatabaseLock {
    /// Takes the lock of the database at `database`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Blocked`] when the path is
    /// not a regular file, [`StoreError::Disk`] when the lock file cannot be created.
    pub fn acquire(database: &Path) -> Result<Self, StoreError> {
        let path = with_suffix(database, LOCK_END);
        let disk = |source| disk("creating the lock file", &path)(source);
        let _fs_user = FsUserGuard::for_database(database)?;
        obstacle::refuse_irregular(database, &[LOCK_END])?;
        let owner = Owner::of(&resolve_symlinks(database)).map_err(disk)?;
        let mut file = open_or_create(&path, MODE, owner).map_err(disk)?;
        if !take(&file).map_err(disk)? {
            let pid = read_pid(&mut file);
            return Err(StoreError::Locked { path: database.to_owned(), pid });
        }
        // Older versions created it with mode 0644. This fails on a file of another user.
        drop(file.set_permissions(Permissions::from_mode(MODE)));
        file.set_len(0).map_err(disk)?;
        file.seek(SeekFrom::Start(0)).map_err(disk)?;
        writeln!(file, "{}", std::process::id()).map_err(disk)?;
        Ok(Self { file, write_failure: None })
    }

    /// Records which database file the holder has open.
    pub(in crate::store) fn record_file(&mut self, file: &FileIdentity) -> io::Result<()> {
        // The room for a failure exists before the disk is full.
        write!(self.file, "{}\n{}", file.to_text(), failure_line(""))
    }

    /// Records why the last write failed; `None` after one that succeeded.
    pub(in crate::store) fn record_write_failure(&mut self, failure: Option<&StoreError>) {
        let failure = failure.map(|it| sanitize_line(&it.to_string(), FAILURE_CHARS_MAX));
        if failure == self.write_failure {
            return;
        }
        let line = failure_line(failure.as_deref().unwrap_or_default());
        let end = SeekFrom::End(-i64::from(FAILURE_BYTES));
        // Without it, only the daemon's log and `/readyz` show the failure.
        let written = self.file.seek(end).and_then(|_| self.file.write_all(line.as_bytes()));
        if written.is_ok() {
            self.write_failure = failure;
        }
    }

    /// Why the last write of the holder failed; `None` if it did not, if there is no holder, and
    /// if this user may not read the lock.
    pub fn write_failure(database: &Path) -> Option<String> {
        let _fs_user = FsUserGuard::for_database(database).ok()?;
        let mut file = open_lock(&with_suffix(database, LOCK_END)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let failure = read_lines(&mut file).get(2)?.trim().to_owned();
                (!failure.is_empty()).then_some(failure)
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// Refuses a file that has replaced the one that a daemon has open: the log beside it belongs
    /// to that one. A user who may not read the lock may still read the database.
    pub(in crate::store) fn refuse_replaced(file: &FileIdentity) -> Result<(), StoreError> {
        file.check()?;
        let _fs_user = FsUserGuard::for_database(&file.path)?;
        let Ok(mut lock) = open_lock(&with_suffix(&file.path, LOCK_END)) else { return Ok(()) };
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
        }
        match read_lines(&mut lock).get(1) {
            Some(held) if *held != file.to_text() => {
                Err(StoreError::FileReplaced(file.path.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether there is a lock file at `database`: a daemon or a restore created it.
    pub(in crate::store) fn lock_file_exists(database: &Path) -> bool {
        fs::symlink_metadata(with_suffix(database, LOCK_END)).is_ok()
    }

    /// The process that holds the lock of the database at `database`; `Some(None)` when its id is
    /// not known.
    ///
    /// # Errors
    /// When this user may not read the lock, or the path is not a regular file.
    pub fn holder(database: &Path) -> Result<Option<Option<u32>>, StoreError> {
        permissions::check(database, OpenFor::Read)?;
        let path = with_suffix(database, LOCK_END);
        let _fs_user = FsUserGuard::for_database(database)?;
        obstacle::refuse_irregular(database, &[LOCK_END])?;
        let mut file = match open_lock(&path) {
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

/// Takes the lock, unless a daemon has it. Commands that check the lock hold it shared for a short
/// time; this waits for them.
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

fn open_lock(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), OFlags::NOFOLLOW)
}

/// The holder of a lock file that this user may not read, from `/proc/locks`
/// (<https://man7.org/linux/man-pages/man5/proc_locks.5.html>); `None` if that is hidden.
fn holder_by_list(path: &Path) -> Option<Option<Option<u32>>> {
    let inode = fs::metadata(path).ok()?.ino();
    let list = fs::read_to_string("/proc/locks").ok()?;
    Some(list.lines().find_map(|line| holder_in(line, inode)))
}

/// The process of a line of `/proc/locks`, if it is an exclusive lock of that file.
fn holder_in(line: &str, inode: u64) -> Option<Option<u32>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields.as_slice() else { return None };
    let (_, number) = file.rsplit_once(':')?;
    (number.parse() == Ok(inode)).then(|| pid.parse().ok())
}

fn read_pid(file: &mut File) -> Option<u32> {
    read_lines(file).first()?.trim().parse().ok()
}

/// The last line, always of the same length: it is overwritten in place.
fn failure_line(failure: &str) -> String {
    let length = usize::from(FAILURE_BYTES) - 1;
    let (cut, _) = failure.split_at(failure.floor_char_boundary(length));
    format!("{cut}{}\n", " ".repeat(length - cut.len()))
}

/// The process id of the holder, the identity of its database file, and its write failure.
fn read_lines(file: &mut File) -> Vec<String> {
    let mut text = String::new();
    drop(file.take(LENGTH_MAX).read_to_string(&mut text));
    text.lines().map(str::to_owned).collect()
}

const LENGTH_MAX: u64 = 512;
/// The length of the line with the failure.
const FAILURE_BYTES: u16 = 256;
const FAILURE_CHARS_MAX: usize = 200;
const MODE: u32 = 0o600;
/// How often, and after which delay, the lock is tried again while it is held shared.
const READ_ATTEMPTS_MAX: u32 = 400;
const READ_DELAY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel_name::ChannelName;
    use crate::domain::time::timestamp::Timestamp;
    use crate::store::admin::channels::ChannelSwitch;
    use crate::store::admin::deliveries::DeliveryAdmin;
    use crate::store::handle::Store;

    #[test]
    fn a_second_holder_is_refused_with_the_process_id_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        assert_eq!(DatabaseLock::holder(&database).unwrap(), None);
        // A link is the same database, even before the file exists.
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
    fn the_lock_says_why_the_last_write_of_its_holder_failed() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        std::fs::write(&database, "").unwrap();
        let mut held = DatabaseLock::acquire(&database).unwrap();
        held.record_file(&FileIdentity::at(&database).unwrap()).unwrap();
        let length = || std::fs::metadata(folder.path().join("a.db.lock")).unwrap().len();
        let reserved = length();
        let said = || DatabaseLock::write_failure(&database);
        assert_eq!(said(), None);
        held.record_write_failure(Some(&StoreError::NoSpace("testing")));
        assert_eq!(said().unwrap(), StoreError::NoSpace("testing").to_string());
        held.record_write_failure(Some(&StoreError::Stopped));
        assert_eq!(said().unwrap(), StoreError::Stopped.to_string());
        assert_eq!(length(), reserved, "a full disk has room for it");
        DatabaseLock::refuse_replaced(&FileIdentity::at(&database).unwrap()).unwrap();
        held.record_write_failure(None);
        assert_eq!(said(), None);
        held.record_write_failure(Some(&StoreError::Stopped));
        drop(held);
        assert_eq!(said(), None, "no one holds it");
    }

    #[test]
    fn proc_locks_shows_the_holder_of_a_lock() {
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
    fn the_lock_has_mode_0600_and_a_fifo_in_its_place_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let (database, path) = (folder.path().join("a.db"), folder.path().join("a.db.lock"));
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(DatabaseLock::acquire(&database).unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(DatabaseLock::acquire(&database).unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::remove_file(&path).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        let of_owner = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, of_owner, 0).unwrap();
        assert!(open_lock(&path).is_err());
        assert!(open_or_create(&path, MODE, Owner::of(&database).unwrap()).is_err());
        assert!(matches!(DatabaseLock::holder(&database), Err(StoreError::Blocked { .. })));
    }

    #[test]
    fn a_file_that_replaced_the_daemons_database_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (other, other_writer) = Store::open(&at("b.db"), "boot".to_owned()).unwrap();
        drop(other);
        other_writer.join();
        let (store, writer) = Store::open(&at("a.db"), "boot".to_owned()).unwrap();
        let mut early = DeliveryAdmin::open(&at("a.db")).unwrap();
        let ops = ChannelName::parse("ops").unwrap();
        let mut pause = || early.switch(&ChannelSwitch::Resume, &ops, Timestamp::from_millis(1));
        pause().unwrap();
        std::fs::rename(at("a.db"), at("old.db")).unwrap();
        std::fs::rename(at("b.db"), at("a.db")).unwrap();
        let refused = pause().unwrap_err();
        assert!(matches!(refused, StoreError::FileReplaced { .. }), "{refused}");
        let refused = DeliveryAdmin::open(&at("a.db")).unwrap_err();
        assert!(matches!(refused, StoreError::FileReplaced { .. }), "{refused}");
        drop((store, early));
        writer.join();
        DeliveryAdmin::open(&at("a.db")).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = (folder.path().join("a.db"), folder.path().join("other"));
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("a.db.lock")).unwrap();
        let refused = DatabaseLock::acquire(&database);
        assert!(matches!(refused, Err(StoreError::Blocked { .. })), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    }
}
