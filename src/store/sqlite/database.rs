//! An open database: every transaction compares the schema if it has changed.
//!
//! Invariants: rows are read and written only in a transaction that has compared the schema, even
//! if another process has changed it since the database was opened. Every transaction has a time
//! limit, except for work that takes long.

use std::cell::Cell;
use std::mem;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::store::error::{ErrorContext as _, StoreError};
use crate::store::files::obstacle::OpenFor;
use crate::store::files::ownership::{FsUserGuard, Owner};
use crate::store::files::permissions;
use crate::store::migrations::newest;
use crate::store::sqlite::application_id::{self, Identity, schema_version};
use crate::store::sqlite::copy::flush::CopyFlush;
use crate::store::sqlite::schema_check;
use crate::store::sqlite::time_limit::{TimeClass, TimeLimit, TimeLimits};

#[derive(Debug)]
pub(in crate::store) struct Database {
    connection: Connection,
    path: PathBuf,
    /// The user that root switches to for file access.
    owner: Option<Owner>,
    /// The version of its schema; zero for an empty database.
    pub(in crate::store) schema: i64,
    /// `PRAGMA schema_version` when the schema was last compared; it changes with every change of
    /// the schema (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
    compared_version: Cell<i64>,
    pub(in crate::store) limit: TimeLimit,
}

impl Database {
    /// Compares the schema of the database at `path`, of this or an older version, and checks the
    /// owner and mode of its files again, which could have been replaced before they were opened.
    pub(in crate::store) fn new(
        mut connection: Connection,
        path: &Path,
        wanted: OpenFor,
    ) -> Result<Self, StoreError> {
        let owner = Owner::fs_user(path);
        let _fs_user = FsUserGuard::switch_to(owner, path)?;
        let Identity { schema, schema_version } = application_id::identify(&mut connection, path)?;
        permissions::check(path, wanted)?;
        let limit = TimeLimit::install(&mut connection, TimeLimits::default()).doing(OPENING)?;
        let (path, compared_version) = (path.to_owned(), Cell::new(schema_version));
        Ok(Self { connection, path, owner, schema, compared_version, limit })
    }

    pub(in crate::store) fn refuse_older(&self) -> Result<(), StoreError> {
        match self.schema < newest() {
            true => Err(StoreError::Older(self.path.clone(), self.schema)),
            false => Ok(()),
        }
    }

    /// Replaces the time limits.
    pub(in crate::store) fn set_limits(&mut self, limits: TimeLimits) -> Result<(), StoreError> {
        self.limit = TimeLimit::install(&mut self.connection, limits).doing(OPENING)?;
        Ok(())
    }

    /// Reads one state within the time limit of that class.
    pub(in crate::store) fn read<T>(
        &self,
        doing: &'static str,
        class: TimeClass,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let _limited = self.limit.begin(doing, class)?;
        self.read_unlimited(doing, work)
    }

    /// As [`Self::read`], without a time limit.
    pub(in crate::store) fn read_unlimited<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let _fs_user = self.switch_fs_user()?;
        self.connection.busy_timeout(self.limit.lock_timeout()).doing(doing)?;
        let transaction = self.connection.unchecked_transaction().doing(doing)?;
        self.compare_again(&transaction, doing)?;
        let done = work(&transaction).doing(doing)?;
        // A failure here does not matter after reading.
        drop(transaction.commit());
        Ok(done)
    }

    /// Writes in an `IMMEDIATE` transaction within the time limit of that class; commits
    /// unless `work` fails.
    pub(in crate::store) fn write<T>(
        &mut self,
        doing: &'static str,
        class: TimeClass,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.write_with(doing, class, |transaction| work(transaction).doing(doing))
    }

    /// As [`Self::write`], for work that returns its own errors.
    pub(in crate::store) fn write_with<T>(
        &mut self,
        doing: &'static str,
        class: TimeClass,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _limited = self.limit.begin(doing, class)?;
        let _fs_user = self.switch_fs_user()?;
        self.connection.busy_timeout(self.limit.lock_timeout()).doing(doing)?;
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .doing(doing)?;
        self.compare_again(&transaction, doing)?;
        let done = work(&transaction)?;
        transaction.commit().doing(doing)?;
        Ok(done)
    }

    /// The pages of the log that are not in the database file yet; copies none.
    pub(in crate::store) fn log_pages_to_copy(&self) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
            .query_row((), |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
    }

    /// Runs a statement outside of a transaction, such as a checkpoint. It must not name a table.
    pub(in crate::store) fn execute(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        let _fs_user = self.switch_fs_user()?;
        self.execute_without_switch(sql, parameters).doing(doing)
    }

    fn execute_without_switch(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(parameters)?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Opens the log, so that SQLite opens no file of the database by name during a copy, which
    /// root makes with its own ids.
    pub(in crate::store) fn open_log_for_copy(&self) -> Result<(), StoreError> {
        const DOING: &str = "reading the database";
        if self.owner.is_none() {
            return Ok(());
        }
        self.connection.pragma_update(None, "locking_mode", "EXCLUSIVE").doing(DOING)?;
        self.read(DOING, TimeClass::Schema, |connection| schema_version(connection).map(drop))
    }

    /// Copies the database into the empty file at `path`, unless the copy becomes larger than
    /// `bytes_max`: damaged pages can form a cycle. The retention can release pages of the copy.
    pub(in crate::store) fn copy_into(
        mut self,
        path: &str,
        bytes_max: u64,
    ) -> rusqlite::Result<()> {
        let mut flush = CopyFlush::new(PathBuf::from(path));
        let is_too_large = move || flush.advance() > bytes_max;
        self.connection.progress_handler(COPY_STEPS, Some(is_too_large))?;
        let mode: i64 =
            self.connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
        if mode != AUTO_VACUUM_INCREMENTAL {
            // Of the copy: that of an existing file does not change.
            self.connection.pragma_update(None, "auto_vacuum", AUTO_VACUUM_INCREMENTAL)?;
        }
        self.execute_without_switch("VACUUM INTO ?1", [path])
    }

    fn switch_fs_user(&self) -> Result<FsUserGuard, StoreError> {
        FsUserGuard::switch_to(self.owner, &self.path)
    }

    pub(in crate::store) fn total_changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// A number that changes when another connection has written to the database
    /// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    pub(in crate::store) fn data_version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0))
    }

    /// Compares the schema within a transaction, if it has changed since the last comparison.
    fn compare_again(
        &self,
        transaction: &Connection,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let current_version = schema_version(transaction).doing(doing)?;
        if current_version != self.compared_version.get() {
            let compared = schema_check::check(transaction, &self.path, self.schema);
            compared.map_err(|failure| match self.limit.is_stopping() {
                // The shutdown does not wait until it is restored.
                true => StoreError::Interrupted(doing),
                false => failure,
            })?;
            self.compared_version.set(current_version);
        }
        Ok(())
    }
}

impl Drop for Database {
    /// Closing the database may remove its log by name.
    fn drop(&mut self) {
        if let (Some(_), Ok(_fs_user)) = (self.owner, self.switch_fs_user())
            && let Ok(none) = Connection::open_in_memory()
        {
            drop(mem::replace(&mut self.connection, none));
        }
    }
}

const OPENING: &str = "opening the database";
/// The mode of `PRAGMA auto_vacuum` in which the retention can release pages
/// (<https://www.sqlite.org/pragma.html#pragma_auto_vacuum>).
pub(in crate::store) const AUTO_VACUUM_INCREMENTAL: i64 = 2;
/// Steps of SQLite's virtual machine in which a copy grows by less than a megabyte, with the usual
/// messages.
const COPY_STEPS: i32 = 1_000;

#[cfg(test)]
impl Database {
    pub(in crate::store) const fn raw(&self) -> &Connection {
        &self.connection
    }

    pub(in crate::store) const fn raw_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use rusqlite::OpenFlags;

    use super::*;
    use crate::store::sqlite::connection::open;

    #[test]
    fn files_that_were_replaced_while_they_were_opened_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, "").unwrap();
        let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        for wanted in [OpenFor::Read, OpenFor::Write] {
            let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
            let refused = Database::new(connection, &path, wanted).unwrap_err();
            assert!(matches!(refused, StoreError::Blocked { .. }), "{refused}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Database::new(connection, &path, OpenFor::Write).unwrap().schema, 0);
    }

    #[test]
    fn during_a_shutdown_a_transaction_waits_briefly_for_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (mut database, _) = crate::store::sqlite::open::open_for_writing(&path).unwrap();
        let locker = Connection::open(&path).unwrap();
        locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let limits = TimeLimits { after_stop: Duration::ZERO, ..TimeLimits::default() };
        database.set_limits(limits).unwrap();
        let timeout = |database: &Database| -> i64 {
            database.raw().pragma_query_value(None, "busy_timeout", |row| row.get(0)).unwrap()
        };
        assert_eq!(timeout(&database), 5000);
        database.limit.stop();
        for _ in 0..3 {
            let refused = database.write("testing", TimeClass::Normal, |_| Ok(())).unwrap_err();
            assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
            assert_eq!(timeout(&database), 500);
        }
        locker.execute_batch("ROLLBACK").unwrap();
        database.write("testing", TimeClass::Normal, |_| Ok(())).unwrap();
    }
}
