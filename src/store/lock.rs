//! The lock that keeps a second daemon from the same database.
//!
//! The lock is the operating system's on an open file: it ends with the process, however that
//! ends. The number in the file only names the holder for people.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;
use crate::store::links::{beside, end_of};
use crate::store::owner::{Owner, open_or_make};

/// Held as long as it lives.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Takes the lock of the database at `database`.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another process has it, [`StoreError::Disk`] when the lock file
    /// cannot be made.
    pub fn acquire(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let disk =
            |source| StoreError::Disk { doing: "making the lock file", path: path.clone(), source };
        let owner = Owner::of(&end_of(database)).map_err(disk)?;
        let mut file = open_or_make(&path, MODE, owner).map_err(disk)?;
        if !file.metadata().map_err(disk)?.is_file() {
            return Err(disk(io::ErrorKind::InvalidInput.into()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_pid(&mut file);
                return Err(StoreError::Held { path: database.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(disk(source)),
        }
        file.set_len(0).map_err(disk)?;
        file.seek(SeekFrom::Start(0)).map_err(disk)?;
        writeln!(file, "{}", std::process::id()).map_err(disk)?;
        Ok(Self { _file: file })
    }

    /// The process that holds the lock of the database at `database`, if any does: `Some(None)`
    /// when it is held by a process that does not name itself.
    pub fn holder(database: &Path) -> Option<Option<u32>> {
        let mut file = File::open(lock_path(database)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read_pid(&mut file)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Beside the file itself, whatever link it was named by.
fn lock_path(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_LENGTH_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const PID_LENGTH_MAX: u64 = 32;
/// Whoever may look at the folder may see who holds the database.
const MODE: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        assert_eq!(DatabaseLock::holder(&database), None);
        // A link is the same database, also before there is one.
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&database, &link).unwrap();
        let early = DatabaseLock::acquire(&link).unwrap();
        std::fs::write(&database, "").unwrap();
        assert!(matches!(DatabaseLock::acquire(&database), Err(StoreError::Held { .. })));
        drop(early);
        let held = DatabaseLock::acquire(&database).unwrap();
        let StoreError::Held { pid, .. } = DatabaseLock::acquire(&database).unwrap_err() else {
            panic!("not held");
        };
        assert_eq!(pid, Some(std::process::id()));
        assert_eq!(DatabaseLock::holder(&database), Some(pid));
        assert_eq!(DatabaseLock::holder(&link), Some(pid), "a link is the same database");
        assert!(DatabaseLock::acquire(&link).is_err());
        drop(held);
        assert_eq!(DatabaseLock::holder(&database), None);
        DatabaseLock::acquire(&database).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_leads_nobody_astray() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = (folder.path().join("a.db"), folder.path().join("other"));
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("a.db.lock")).unwrap();
        let refused = DatabaseLock::acquire(&database);
        assert!(matches!(refused, Err(StoreError::Disk { .. })), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    }
}
