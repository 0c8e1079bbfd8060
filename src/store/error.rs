//! What can go wrong with the store, sorted by what the caller can do about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon holds the database.
    #[error(
        "another avatar-watch{} holds `{}`",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The process that holds it, when the lock file names one.
        pid: Option<u32>,
    },
    /// The database was written by a newer program.
    #[error(
        "`{}` has schema {found}, this program knows up to {known}: use the newer program",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// The database was written by an older program, and no daemon has brought it forward yet.
    #[error(
        "`{}` has schema {found}, this program reads schema {known}: `avatar-watch run` brings it \
         forward",
        .path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema of this program.
        known: i64,
    },
    /// The file is not a sound database of ours.
    #[error("`{}` is damaged: {what}", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The file is another program's.
    #[error("`{}` is no database of avatar-watch, and is left alone: {what}", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The tables, indexes or whatever else is in it are not those that this program makes.
    #[error("`{}` is not as avatar-watch makes it: {}", .path.display(), listed(.differences))]
    Altered {
        /// The database.
        path: PathBuf,
        /// Every difference, such as "the trigger `x` is none of ours".
        differences: Vec<String>,
    },
    /// There is no database to read.
    #[error("there is no database at `{}`", .path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a file, and nothing in it.
    #[error("`{}` is empty: no database was written to it yet", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There is something where a new file was to be.
    #[error("`{}` is there already, and is not overwritten", .path.display())]
    AlreadyExists {
        /// Where.
        path: PathBuf,
    },
    /// The file was removed or replaced while it was in use.
    #[error("`{}` was removed or replaced while it was in use", .path.display())]
    FileReplaced {
        /// The database.
        path: PathBuf,
    },
    /// Something of the database, or its folder, is not for this user, or not what belongs there.
    #[error("`{}` {what}", .path.display())]
    Blocked {
        /// What is in the way.
        path: PathBuf,
        /// Why, and whose it is.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// The file system lacks what a database needs.
    #[error("the file system of `{}` cannot hold a database: {what}", .folder.display())]
    Unfit {
        /// Where.
        folder: PathBuf,
        /// What it cannot do.
        what: String,
    },
    /// The disk is full, for now.
    #[error("no space left for the database while {doing}")]
    NoSpace {
        /// What was being done.
        doing: &'static str,
    },
    /// Another process holds the database for long; it can be tried again.
    #[error("the database was locked by another process while {doing}")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// A statement took longer than it may, and was interrupted; it can be tried again.
    #[error("the database took too long while {doing}, and was interrupted")]
    TooLong {
        /// What was being done.
        doing: &'static str,
    },
    /// A statement was interrupted before, since the daemon stops.
    #[error("the database was interrupted since the daemon stops, before {doing}")]
    Interrupted {
        /// What was to be done.
        doing: &'static str,
    },
    /// A file of the database could not be opened, most likely for lack of handles.
    #[error(
        "a file of the database could not be opened while {doing}: may this user open it, and \
         are there file handles left?"
    )]
    NoHandles {
        /// What was being done.
        doing: &'static str,
    },
    /// The disk or the file system failed; this connection must not be used again.
    #[error("{doing} `{}` failed", .path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite reported something else.
    #[error("the database failed while {doing}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// A group of writes was rolled back because one of them failed.
    #[error("the database rolled back a group of writes while {doing}")]
    RolledBack {
        /// What was being done.
        doing: &'static str,
    },
    /// The writer's thread is gone.
    #[error("the database's writer has stopped")]
    Stopped,
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It can pass: the same write may be tried again later.
    Retry,
    /// It will not pass while this process runs.
    GiveUp,
}

impl StoreError {
    /// Takes an error of SQLite apart; `doing` says what was being done, like `claiming`.
    pub(super) fn sqlite(doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace { doing },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { doing },
            Some(ErrorCode::OperationInterrupted) => Self::TooLong { doing },
            Some(ErrorCode::CannotOpen) => Self::NoHandles { doing },
            _ if is_shm_size(&source) => Self::NoSpace { doing },
            _ => Self::Sqlite { doing, source: Arc::new(source) },
        }
    }

    /// What the caller can do.
    pub fn next_step(&self) -> Recovery {
        match self {
            Self::NoSpace { .. }
            | Self::Busy { .. }
            | Self::TooLong { .. }
            | Self::NoHandles { .. }
            | Self::RolledBack { .. } => Recovery::Retry,
            // Whoever changed it while it was in use may undo that; an opening does not retry.
            Self::Altered { .. } => Recovery::Retry,
            Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Damaged { .. }
            | Self::NotOurs { .. }
            | Self::NotFound { .. }
            | Self::Empty { .. }
            | Self::AlreadyExists { .. }
            | Self::FileReplaced { .. }
            | Self::Blocked { .. }
            | Self::Unfit { .. }
            | Self::Interrupted { .. }
            | Self::Disk { .. }
            | Self::Sqlite { .. }
            | Self::Stopped => Recovery::GiveUp,
        }
    }

    /// The same failure, for everyone else whose write was in the same group.
    pub(super) fn shared(&self, doing: &'static str) -> Self {
        match self {
            Self::NoSpace { .. } => Self::NoSpace { doing },
            Self::Busy { .. } => Self::Busy { doing },
            Self::TooLong { .. } => Self::TooLong { doing },
            Self::Interrupted { .. } => Self::Interrupted { doing },
            Self::Altered { path, differences } => {
                Self::Altered { path: path.clone(), differences: differences.clone() }
            }
            Self::NoHandles { .. } => Self::NoHandles { doing },
            Self::FileReplaced { path } => Self::FileReplaced { path: path.clone() },
            Self::Sqlite { source, .. } => Self::Sqlite { doing, source: Arc::clone(source) },
            Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Damaged { .. }
            | Self::NotOurs { .. }
            | Self::NotFound { .. }
            | Self::Empty { .. }
            | Self::AlreadyExists { .. }
            | Self::Blocked { .. }
            | Self::Unfit { .. }
            | Self::Disk { .. }
            | Self::RolledBack { .. }
            | Self::Stopped => Self::RolledBack { doing },
        }
    }
}

/// The first of them, and how many there are beside.
pub(super) fn listed(all: &[String]) -> String {
    let named = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>();
    match (named.is_empty(), all.len().saturating_sub(NAMED_MAX)) {
        (true, _) => "no tables".to_owned(),
        (false, 0) => named.join(", "),
        (false, more) => format!("{}, and {more} more", named.join(", ")),
    }
}

/// Tables, indexes or differences that are named.
const NAMED_MAX: usize = 3;

/// A full disk shows under this name, too, when the shared-memory file cannot grow.
fn is_shm_size(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        }
        _ => false,
    }
}

/// Errors of a file that cannot be read as a database are damage; others stay what they are.
pub(super) fn damaged(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.to_owned(), what: source.to_string() }
        }
        _ => StoreError::sqlite(doing, source),
    }
}

/// Names what was being done when SQLite failed.
pub(super) trait ErrorContext<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> ErrorContext<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::sqlite(doing, source))
    }
}
