//! Reads one committed state of the database without write access, with or without a daemon.
//!
//! Invariant: no file is created beside the database or changed, so a start finds what the last run
//! left. If the log and its index exist, SQLite reads them as usual. Otherwise the files are read
//! without an index on disk, and again if they changed meanwhile.
//!
//! Not for the process that writes: closing a file releases all locks of the process on it.

use std::fs::{self, File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::{OpenFlags, ffi};
use rustix::fs::MemfdFlags;

use crate::files::open::open_for_reading;
use crate::files::paths::with_suffix;
use crate::store::error::{ErrorContext as _, StoreError, disk};
use crate::store::files::obstacle::{self, OpenFor, SQLITE_ENDS};
use crate::store::files::ownership::FsUserGuard;
use crate::store::files::permissions;
use crate::store::sqlite::application_id;
use crate::store::sqlite::connection::{self, BUSY_TIMEOUT};
use crate::store::sqlite::database::Database;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::open::{self, FileIdentity};

/// Reads one state of the database at `path`, of this or an older schema, and again from the start
/// when the files changed meanwhile.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none, [`StoreError::Empty`] when the file is empty,
/// [`StoreError::Blocked`] when this user may not read it, or another user could have written it;
/// when it is damaged, altered or newer, or belongs to another program; the error of `read`.
pub(in crate::store) fn read<T>(
    path: &Path,
    mut read: impl FnMut(Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut index = Index::Wanted;
    let mut last = StoreError::Busy(DOING);
    for attempt in 0..ATTEMPTS_MAX {
        thread::sleep(PAUSE * attempt);
        let files = Files::hold(path, index)?;
        let done = files.open().and_then(&mut read);
        match done {
            Err(failure) if index == Index::Wanted && is_one(&failure, &UNMAPPABLE) => {
                index = Index::Unusable;
            }
            Err(failure) if is_one(&failure, &UNSETTLED) => last = failure,
            done if files.are_as_they_were() => {
                return done.map_err(|failure| obstacle::explain(path, OpenFor::Read, failure));
            }
            _ => {}
        }
    }
    Err(obstacle::explain(path, OpenFor::Read, last))
}

/// Whether to use the index of the log that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    Wanted,
    /// The file system cannot map it into memory, so a daemon cannot use it either.
    Unusable,
}

fn is_one(failure: &StoreError, codes: &[i32]) -> bool {
    let StoreError::Sqlite(_, source) = failure else { return false };
    source.sqlite_error().is_some_and(|it| codes.contains(&it.extended_code))
}

/// The files of a database, locked so that the log is not removed.
struct Files {
    path: PathBuf,
    mode: OpenMode,
    /// The state of each file, if they are read without locks.
    states: Option<[SnapshotFileState; 2]>,
    /// Dropped last: closing it releases every lock of the process on the database.
    _database: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenMode {
    /// As usual, with the index on disk or, without a log, with locks on the file.
    Shared,
    /// With its log and an index in memory, without locks.
    WithLog,
    /// The file alone, without locks: there is no log, or an empty one.
    Alone,
}

impl Files {
    fn hold(path: &Path, wanted: Index) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(application_id::not_a_file(path)),
            Ok(_) => {}
            Err(failure) => return Err(obstacle::missing(path, failure)),
        }
        obstacle::refuse_irregular(path, &SQLITE_ENDS)?;
        permissions::check(path, OpenFor::Read)?;
        DatabaseLock::refuse_replaced(&FileIdentity::at(path)?)?;
        let _fs_user = FsUserGuard::for_database(path)?;
        let mut database = open_file(path)?;
        share(&database)?;
        let [log, index, journal] = SQLITE_ENDS.map(|end| with_suffix(path, end));
        let length = |file: &Path| fs::symlink_metadata(file).ok().map(|found| found.len());
        let mode = match (length(&log), length(&index), length(&journal)) {
            (Some(_), Some(_), _) if wanted == Index::Wanted => OpenMode::Shared,
            (Some(1..), ..) => OpenMode::WithLog,
            // Rolling back the journal takes write access.
            (_, _, Some(1..)) => {
                // SQLite takes an exclusive lock for that, so ours is released.
                database = open_file(path)?;
                OpenMode::Shared
            }
            (Some(0) | None, _, _) => OpenMode::Alone,
        };
        let states = (mode != OpenMode::Shared).then(|| settled(path, &log));
        Ok(Self { path: path.to_owned(), mode, states, _database: database })
    }

    fn open(&self) -> Result<Database, StoreError> {
        let _fs_user = FsUserGuard::for_database(&self.path)?;
        let options = match self.mode {
            OpenMode::Shared => return open::open_any_version(&self.path),
            OpenMode::WithLog => "mode=ro&vfs=unix-none",
            OpenMode::Alone => "mode=ro&immutable=1",
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let uri = application_id::uri(&self.path, options).map_err(disk(DOING, &self.path))?;
        let connection = connection::open(Path::new(&uri), flags)?;
        if self.mode == OpenMode::WithLog {
            // In this mode SQLite needs no index on disk.
            connection
                .pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))
                .doing(DOING)?;
        }
        let database = Database::new(connection, &self.path, OpenFor::Read)?;
        match database.schema {
            0 => Err(StoreError::Empty(self.path.clone())),
            _ => Ok(database),
        }
    }

    fn are_as_they_were(&self) -> bool {
        let Some([database, log]) = &self.states else { return true };
        let same_log = self.mode == OpenMode::Alone
            || *log == SnapshotFileState::of(&with_suffix(&self.path, "-wal"));
        same_log && *database == SnapshotFileState::of(&self.path)
    }
}

fn open_file(path: &Path) -> Result<File, StoreError> {
    open_for_reading(path)
        .map_err(disk(DOING, path))
        .map_err(|failure| obstacle::explain(path, OpenFor::Read, failure))
}

/// Takes the shared lock of SQLite, so that another process that closes the database does not
/// remove the log. Does nothing on a file system without locks.
fn share(database: &File) -> Result<(), StoreError> {
    let lock = libc::flock {
        l_type: SHARED,
        l_whence: BEGINNING,
        l_start: SHARED_FIRST,
        l_len: SHARED_SIZE,
        l_pid: 0,
    };
    for _ in 0..BUSY_TIMEOUT.as_millis() / PAUSE.as_millis() {
        match fcntl(database.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
            Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => thread::sleep(PAUSE),
            Ok(_) | Err(_) => return Ok(()),
        }
    }
    Err(StoreError::Busy(DOING))
}

/// The states of the database and its log, taken so late that a later write changes the timestamp.
fn settled(database: &Path, log: &Path) -> [SnapshotFileState; 2] {
    let mut states = [database, log].map(SnapshotFileState::of);
    for _ in 0..PAUSES_MAX {
        if states.iter().all(SnapshotFileState::is_past) {
            break;
        }
        thread::sleep(PAUSE);
        states = [database, log].map(SnapshotFileState::of);
    }
    states
}

/// The attributes that a write to a file changes; `None` for a missing file. Owner and mode are not
/// included, since some file systems set them whenever a file is opened.
#[derive(Debug, PartialEq, Eq)]
struct SnapshotFileState(Option<[i64; 5]>);

impl SnapshotFileState {
    fn of(path: &Path) -> Self {
        let described = |it: Metadata| {
            let [device, inode, size] = [it.dev(), it.ino(), it.size()].map(u64::cast_signed);
            [device, inode, size, it.mtime(), it.mtime_nsec()]
        };
        Self(fs::metadata(path).ok().map(described))
    }

    /// Whether a write now would get another timestamp than the last one.
    fn is_past(&self) -> bool {
        let Some([.., seconds, nanoseconds]) = self.0 else { return true };
        // A new file has the current time of the kernel clock for timestamps.
        let made = rustix::fs::memfd_create(c"now", MemfdFlags::CLOEXEC).map(File::from);
        let Ok(now) = made.map_err(Into::into).and_then(|made| made.metadata()) else {
            return true;
        };
        match nanoseconds {
            // Some file systems have a resolution of one or two seconds.
            0 => now.mtime() < seconds || now.mtime() > seconds + 2,
            _ => (now.mtime(), now.mtime_nsec()) != (seconds, nanoseconds),
        }
    }
}

const DOING: &str = "reading the database";
/// How often a database is read that changes meanwhile.
const ATTEMPTS_MAX: u32 = 20;
/// The codes of SQLite when files cannot be mapped into shared memory.
const UNMAPPABLE: [i32; 3] =
    [ffi::SQLITE_IOERR_SHMMAP, ffi::SQLITE_IOERR_SHMOPEN, ffi::SQLITE_IOERR_SHMLOCK];
/// Its codes for a reader while a writer opens or closes the database.
const UNSETTLED: [i32; 2] = [ffi::SQLITE_READONLY_RECOVERY, ffi::SQLITE_READONLY_CANTINIT];
const PAUSE: Duration = Duration::from_millis(5);
/// Enough pauses for the coarsest timestamps of a file system.
const PAUSES_MAX: usize = 700;
// The location of SQLite's locks (<https://www.sqlite.org/fileformat2.html#the_lock_byte_page>).
const SHARED_FIRST: libc::off_t = 0x4000_0002;
const SHARED_SIZE: libc::off_t = 510;
const SHARED: libc::c_short = libc::F_RDLCK as libc::c_short;
const BEGINNING: libc::c_short = libc::SEEK_SET as libc::c_short;
