//! The lock that keeps a second daemon from the same database.
//!
//! The lock is the operating system's on an open file: it ends with the process, however that
//! ends. The number in the file only names the holder for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;

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
        let mut file = open(&path, true).map_err(disk)?;
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
        let mut file = open(&lock_path(database), false).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read_pid(&mut file)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Beside the file itself, whatever link it was named by.
fn lock_path(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}

fn open(path: &Path, create: bool) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(create).create(create).truncate(false).open(path)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_LENGTH_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const PID_LENGTH_MAX: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        assert_eq!(DatabaseLock::holder(&database), None);
        std::fs::write(&database, "").unwrap();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&database, &link).unwrap();
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
}
