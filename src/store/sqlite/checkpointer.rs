//! Copies the write-ahead log into the database file beside the thread that writes. That includes a
//! sync of the file, which takes long on a busy disk, and commits would wait for it.
//!
//! When it fails or falls behind, SQLite does the same within a commit.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::store::error::{StoreError, disk};
use crate::store::sqlite::database::Database;
use crate::store::sqlite::open;

/// A thread with a connection of its own; dropping it stops the thread.
#[derive(Debug)]
pub(in crate::store) struct Checkpointer {
    /// `None` while it stops.
    wakeup: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the database cannot be opened, or no thread be started.
    pub(in crate::store) fn start(path: &Path) -> Result<Self, StoreError> {
        let database = open::open_admin(path)?;
        let (wakeup, woken) = sync_channel(1);
        let copy = move || {
            while woken.recv().is_ok() {
                // The next one, or a commit, does what this one could not.
                drop(database.execute(COPYING, "PRAGMA wal_checkpoint(PASSIVE)", ()));
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(copy);
        let thread = thread.map_err(disk("starting the checkpoints of", path))?;
        Ok(Self { wakeup: Some(wakeup), thread: Some(thread) })
    }

    /// Wakes the thread if the log has become long.
    pub(in crate::store) fn after_commit(&self, writer: &Database) {
        let pages = writer.log_pages_to_copy().unwrap_or(0);
        if let Some(wakeup) = self.wakeup.as_ref().filter(|_| pages >= PAGES_MAX) {
            // It may be awake already.
            let _ = wakeup.try_send(());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wakeup = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

const COPYING: &str = "checkpointing the log";
/// As SQLite does by itself.
const PAGES_MAX: i64 = 1000;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rusqlite::Connection;

    use super::*;
    use crate::store::sqlite::time_limit::TimeClass;

    #[test]
    fn a_long_log_is_copied_beside_the_writer_before_a_commit_has_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (mut database, _) = open::open_for_writing(&path).unwrap();
        let checkpointer = Checkpointer::start(&path).unwrap();
        let row = "INSERT INTO unrecognized VALUES(hex(randomblob(999)), hex(randomblob(999)), 1)";
        let write = |connection: &Connection| connection.execute(row, ()).map(drop);
        while database.log_pages_to_copy().unwrap() < PAGES_MAX {
            database.write("testing", TimeClass::Normal, write).unwrap();
        }
        assert!(database.log_pages_to_copy().unwrap() < open::LOG_PAGES_MAX);
        checkpointer.after_commit(&database);
        let begun = Instant::now();
        while database.log_pages_to_copy().unwrap() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is copied");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
