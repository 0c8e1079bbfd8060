//! A connection to a database of ours: how SQLite is set, and that every transaction begins with a
//! look at the schema.
//!
//! Invariants: nothing is read or written but in a transaction whose schema was compared with
//! ours, also when another process has changed it since the opening. No trigger and no view of
//! the file ever runs. Every transaction has a time limit, except of work that may take long.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::store::error::{Doing as _, StoreError};
use crate::store::identity;
use crate::store::obstacle::Use;
use crate::store::permissions;
use crate::store::schema_check;
use crate::store::time_limit::{Limits, TimeLimit, Work};

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    schema: i64,
    /// `PRAGMA schema_version` when the schema was last compared; it changes with every change of
    /// the schema (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
    compared_at: Cell<i64>,
    limit: TimeLimit,
}

impl Database {
    /// Compares the schema of the database at `path`, whose number may be an older one, and looks
    /// again whose its files are: in a shared folder they could have been exchanged before they
    /// were opened.
    ///
    /// # Errors
    /// As [`identify`] and [`permissions::check`].
    pub(super) fn new(
        mut connection: Connection,
        path: &Path,
        wanted: Use,
    ) -> Result<Self, StoreError> {
        let limit = TimeLimit::of(&mut connection, Limits::default()).doing(OPENING)?;
        let (schema, compared_at) = identify(&connection, path)?;
        permissions::check(path, wanted)?;
        let (path, compared_at) = (path.to_owned(), Cell::new(compared_at));
        Ok(Self { connection, path, schema, compared_at, limit })
    }

    /// The number of its schema; zero when there is nothing in it yet.
    pub(super) const fn schema(&self) -> i64 {
        self.schema
    }

    /// The limit of its transactions.
    pub(super) const fn time_limit(&self) -> &TimeLimit {
        &self.limit
    }

    /// Reads one state, for no longer than that kind of work may take.
    ///
    /// # Errors
    /// When the schema is no longer ours; what `work` fails with.
    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        kind: Work,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let _limited = self.limit.begin(doing, kind)?;
        self.read_for_long(doing, work)
    }

    /// As [`Self::read`], for work that takes as long as the database is large.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_for_long<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let transaction = self.connection.unchecked_transaction().doing(doing)?;
        self.compare_again(&transaction, doing)?;
        let done = work(&transaction).doing(doing)?;
        // Nothing was written, so no failure here changes what was read.
        drop(transaction.commit());
        Ok(done)
    }

    /// Writes in a transaction that can never fail to upgrade from reading to writing, for no
    /// longer than that kind of work may take; commits unless `work` fails.
    ///
    /// # Errors
    /// When the schema is no longer ours; what `work` fails with, and the commit.
    pub(super) fn write<T>(
        &mut self,
        doing: &'static str,
        kind: Work,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.transact(doing, kind, |transaction| work(transaction).doing(doing))
    }

    /// As [`Self::write`], for work that says itself what it fails at.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn transact<T>(
        &mut self,
        doing: &'static str,
        kind: Work,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _limited = self.limit.begin(doing, kind)?;
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .doing(doing)?;
        self.compare_again(&transaction, doing)?;
        let done = work(&transaction)?;
        transaction.commit().doing(doing)?;
        Ok(done)
    }

    /// Does what SQLite does in no transaction of ours: copies, checkpoints. Such statements name
    /// no table.
    ///
    /// # Errors
    /// When SQLite fails.
    pub(super) fn execute(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(parameters)?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// How many rows this connection has changed.
    pub(super) fn total_changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// A number that changes when anybody else has written to the database
    /// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn data_version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0))
    }

    /// Compares the schema within a transaction, if it was changed since that was last done.
    fn compare_again(
        &self,
        transaction: &Connection,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let now = schema_version(transaction).doing(doing)?;
        if now != self.compared_at.get() {
            schema_check::check(transaction, &self.path, self.schema)?;
            self.compared_at.set(now);
        }
        Ok(())
    }
}

/// The number of the schema of a file, and its `PRAGMA schema_version`: all of it is one state.
///
/// # Errors
/// When the file is no database, not ours, or newer than this program; [`StoreError::Altered`]
/// when its schema is not that of its number.
pub(super) fn identify(connection: &Connection, path: &Path) -> Result<(i64, i64), StoreError> {
    let transaction = connection.unchecked_transaction().doing(OPENING)?;
    let schema = identity::schema_of(&transaction, path)?;
    schema_check::check(&transaction, path, schema)?;
    let compared_at = schema_version(&transaction).doing(OPENING)?;
    transaction.commit().doing(OPENING)?;
    Ok((schema, compared_at))
}

/// Opens a file as this program does everywhere, by its path or as a URI. What is in it is not
/// known to be ours.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn open(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // It follows the links that are there now and none that somebody lays meanwhile, nor one in the
    // place of a copy that this connection makes. A URI is whole already.
    let end = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let connection = Connection::open_with_flags(end, flags).doing(OPENING)?;
    connection.busy_timeout(BUSY_TIMEOUT).doing(OPENING)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    set_up(&connection).doing(OPENING)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    for (switch, on) in SWITCHES {
        connection.set_db_config(switch, on)?;
    }
    for (limit, most) in LIMITS {
        connection.set_limit(limit, most)?;
    }
    // A temporary file would take a handle in the middle of a write.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// The first eight as SQLite advises for files that others may have made
/// (<https://www.sqlite.org/security.html>).
const SWITCHES: [(DbConfig, bool); 10] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    // Without this, SQLite parses a cached statement anew whenever a value bound to it changed
    // that it may have planned by.
    (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    // Else closing the file of another program would write its log into it.
    (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
];

/// What a statement of ours needs, and some; a file can make none take more.
const LIMITS: [(Limit, i32); 12] = [
    // Bytes of a row: the largest message, and the largest config, have some megabytes.
    (Limit::SQLITE_LIMIT_LENGTH, 64 << 20),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (Limit::SQLITE_LIMIT_COLUMN, 100),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 50),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 10),
    (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
    // `VACUUM INTO` attaches its copy.
    (Limit::SQLITE_LIMIT_ATTACHED, 1),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (Limit::SQLITE_LIMIT_SCHEMA, 200),
];

const OPENING: &str = "opening the database";
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS_CACHED: usize = 64;

#[cfg(test)]
impl Database {
    /// Other limits than those by default.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limit = TimeLimit::of(&mut self.connection, limits).unwrap();
    }

    /// The connection itself.
    pub(super) const fn raw(&self) -> &Connection {
        &self.connection
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A file with this in it, opened as every other.
    fn opened(sql: &str) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        (folder, connection)
    }

    #[test]
    fn nothing_that_stands_in_a_file_runs() {
        let (_folder, connection) = opened(
            "CREATE TABLE one(x); CREATE TABLE two(x); CREATE VIEW three AS SELECT x FROM one;
             CREATE TRIGGER t AFTER INSERT ON one BEGIN INSERT INTO two VALUES(new.x); END;
             INSERT INTO one VALUES(1)",
        );
        connection.execute_batch("INSERT INTO one VALUES(2)").unwrap();
        let two: Vec<i64> = connection
            .prepare("SELECT x FROM two")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(two, [1], "the trigger ran");
        let check = |sql: &str, expected: &str| {
            let refused = connection.execute_batch(sql).unwrap_err().to_string();
            assert!(refused.contains(expected), "{sql}: {refused}");
        };
        check("SELECT x FROM three", "view");
        check("UPDATE sqlite_schema SET sql = ''", "may not be modified");
        connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        check("UPDATE sqlite_schema SET sql = ''", "may not be modified");
        check("SELECT zeroblob(100000000)", "too big");
        check("SELECT \"x y\" FROM one", "no such column");
    }

    #[test]
    fn files_that_were_exchanged_while_they_were_opened_are_refused() {
        let (folder, connection) = opened("");
        let path = folder.path().join("a.db");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        for wanted in [Use::Read, Use::Write] {
            let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
            let refused = Database::new(connection, &path, wanted).unwrap_err();
            assert!(matches!(refused, StoreError::Blocked { .. }), "{refused}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Database::new(connection, &path, Use::Write).unwrap().schema(), 0);
    }
}
