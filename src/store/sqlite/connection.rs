//! Opens SQLite connections with the settings that all of them share.
//!
//! Invariants: no trigger or view of a file ever runs, and no statement exceeds the limits below.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::store::error::{ErrorContext as _, StoreError};

/// Opens a file by its path or URI. Its content is not checked.
pub(in crate::store) fn open(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // Links are resolved here, and SQLite follows none, neither one that is planted meanwhile nor
    // one in place of a copy that this connection makes. A URI is resolved already.
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
    // A temporary file would need a file handle during a write.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// The first eight as SQLite recommends for untrusted files
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
    // Otherwise SQLite parses a cached statement again whenever a bound value changes that its plan
    // may depend on.
    (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    // Otherwise closing the file of another program would write its log into it.
    (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
];

/// Limits somewhat above what our statements need, whatever the file contains.
const LIMITS: [(Limit, i32); 12] = [
    // Bytes of a row: the largest message and the largest config have some megabytes.
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
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS_CACHED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::statement::column;

    /// A file with this content, opened with [`open`].
    fn opened(sql: &str) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        (folder, connection)
    }

    #[test]
    fn triggers_and_views_of_a_file_never_run() {
        let (_folder, connection) = opened(
            "CREATE TABLE one(x); CREATE TABLE two(x); CREATE VIEW three AS SELECT x FROM one;
             CREATE TRIGGER t AFTER INSERT ON one BEGIN INSERT INTO two VALUES(new.x); END;
             INSERT INTO one VALUES(1)",
        );
        connection.execute_batch("INSERT INTO one VALUES(2)").unwrap();
        let two: Vec<i64> = column(&connection, "SELECT x FROM two", []).unwrap();
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
}
