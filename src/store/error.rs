//! The errors of the store, and whether the caller can retry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::migrations::newest;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon has the lock.
    #[error(
        "another avatar-watch{} holds `{}`",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The process that holds the lock, if known.
        pid: Option<u32>,
    },
    /// The database was written by a newer program.
    #[error(
        "`{}` has schema {}, this program knows up to {}: use the newer program",
        .0.display(), .1, newest()
    )]
    Newer(PathBuf, i64),
    /// The database was written by an older program, and no daemon has migrated it yet.
    #[error(
        "`{}` has schema {}, this program reads schema {}: `avatar-watch run` migrates it",
        .0.display(), .1, newest()
    )]
    Older(PathBuf, i64),
    /// The file is damaged.
    #[error("`{}` is damaged: {}", .0.display(), .1)]
    Damaged(PathBuf, String),
    /// The file belongs to another program.
    #[error("`{}` is not a database of avatar-watch, and is not changed: {}", .0.display(), .1)]
    ForeignFile(PathBuf, String),
    /// The schema differs from the one that this program creates; every difference, such as
    /// "unexpected trigger `x`".
    #[error("the schema of `{}` was altered: {}", .0.display(), listed(.1))]
    Altered(PathBuf, Vec<String>),
    /// There is no database to read.
    #[error("there is no database at `{}`", .0.display())]
    NotFound(PathBuf),
    /// The file is empty.
    #[error("`{}` is empty: no database was written to it yet", .0.display())]
    Empty(PathBuf),
    /// A new file would overwrite another one.
    #[error("`{}` exists, and is not overwritten", .0.display())]
    AlreadyExists(PathBuf),
    /// The file was removed or replaced while it was in use.
    #[error("`{}` was removed or replaced while it was in use", .0.display())]
    FileReplaced(PathBuf),
    /// A file or folder of the database does not permit the access, or is not trusted.
    #[error("`{}` {what}", .path.display())]
    Blocked {
        /// The file or folder.
        path: PathBuf,
        /// The reason, a sentence without its subject, the file.
        what: String,
        /// The suggested fix.
        help: String,
    },
    /// The file system lacks what a database needs.
    #[error("the file system of `{}` cannot hold a database: {}", .0.display(), .1)]
    UnsupportedFileSystem(PathBuf, String),
    /// The disk is full.
    #[error("no space left for the database while {0}")]
    NoSpace(&'static str),
    /// Another process locked the database for too long.
    #[error("the database was locked by another process while {0}")]
    Busy(&'static str),
    /// A statement exceeded its time limit, and was interrupted.
    #[error("the database took too long while {0}, and was interrupted")]
    TooLong(&'static str),
    /// The shutdown had interrupted a statement before.
    #[error("the shutdown interrupted the database before {0}")]
    Interrupted(&'static str),
    /// A file of the database could not be opened, most likely for lack of file handles.
    #[error(
        "a file of the database could not be opened while {0}: may this user open it, and \
         are there file handles left?"
    )]
    NoHandles(&'static str),
    /// The disk or the file system failed; this connection must not be used again.
    #[error("{} `{}` failed", .0, .1.display())]
    Disk(&'static str, PathBuf, #[source] std::io::Error),
    /// SQLite reported another error.
    #[error("the database failed while {0}")]
    Sqlite(&'static str, #[source] Arc<rusqlite::Error>),
    /// A group of writes was rolled back because one of them failed.
    #[error("the database rolled back a group of writes while {0}")]
    RolledBack(&'static str),
    /// The thread of the writer has ended.
    #[error("the database's writer has stopped")]
    Stopped,
}

/// What the caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Retry the same operation later.
    Retry,
    /// Do not retry in this process.
    Fail,
}

impl StoreError {
    /// Classifies an error of SQLite; `doing` is the operation, such as `claiming`.
    pub(super) fn sqlite(doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace(doing),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(doing),
            Some(ErrorCode::OperationInterrupted) => Self::TooLong(doing),
            Some(ErrorCode::CannotOpen) => Self::NoHandles(doing),
            // The disk is full, and the shared-memory file cannot grow.
            _ if source
                .sqlite_error()
                .is_some_and(|it| it.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                Self::NoSpace(doing)
            }
            _ => Self::Sqlite(doing, Arc::new(source)),
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
            // A change made while the database is open may be undone; an opening does not retry.
            Self::Altered { .. } => Recovery::Retry,
            Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Damaged { .. }
            | Self::ForeignFile { .. }
            | Self::NotFound { .. }
            | Self::Empty { .. }
            | Self::AlreadyExists { .. }
            | Self::FileReplaced { .. }
            | Self::Blocked { .. }
            | Self::UnsupportedFileSystem { .. }
            | Self::Interrupted { .. }
            | Self::Disk { .. }
            | Self::Sqlite { .. }
            | Self::Stopped => Recovery::Fail,
        }
    }

    /// The failure as reported for the other writes of the same group.
    pub(super) fn shared(&self, doing: &'static str) -> Self {
        match self {
            Self::NoSpace { .. } => Self::NoSpace(doing),
            Self::Busy { .. } => Self::Busy(doing),
            Self::TooLong { .. } => Self::TooLong(doing),
            Self::Interrupted { .. } => Self::Interrupted(doing),
            Self::Altered(path, differences) => Self::Altered(path.clone(), differences.clone()),
            Self::NoHandles { .. } => Self::NoHandles(doing),
            Self::FileReplaced(path) => Self::FileReplaced(path.clone()),
            Self::Sqlite(_, source) => Self::Sqlite(doing, Arc::clone(source)),
            Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Damaged { .. }
            | Self::ForeignFile { .. }
            | Self::NotFound { .. }
            | Self::Empty { .. }
            | Self::AlreadyExists { .. }
            | Self::Blocked { .. }
            | Self::UnsupportedFileSystem { .. }
            | Self::Disk { .. }
            | Self::RolledBack { .. }
            | Self::Stopped => Self::RolledBack(doing),
        }
    }
}

/// The first of them, and the number of the others.
pub(super) fn listed(all: &[String]) -> String {
    let named = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>();
    match (named.is_empty(), all.len().saturating_sub(NAMED_MAX)) {
        (true, _) => "no tables".to_owned(),
        (false, 0) => named.join(", "),
        (false, more) => format!("{}, and {more} more", named.join(", ")),
    }
}

/// The number of tables, indexes or differences that are named.
const NAMED_MAX: usize = 3;

/// Adds the action and the file to an I/O error.
pub(super) fn disk(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Disk(doing, path, source)
}

/// Maps errors of a corrupt file to [`StoreError::Damaged`].
pub(super) fn damaged(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged(path.to_owned(), source.to_string())
        }
        _ => StoreError::sqlite(doing, source),
    }
}

pub(super) trait ErrorContext<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> ErrorContext<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::sqlite(doing, source))
    }
}
