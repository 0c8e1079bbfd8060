//! The one row of `run_state`: whether the last daemon on this database ended cleanly; and the
//! check that a start after another end makes.
//!
//! What always holds: the row says that a run ended only after its last write is on disk, and no
//! longer says so before the next run writes anything. A start after a clean end checks nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};

use crate::store::error::{ErrorContext as _, StoreError, damaged};
use crate::store::sqlite::integrity;
use crate::store::sqlite::time_limit::{TimeLimit, TimeLimits, Work};
use crate::store::sqlite::transaction::Database;

/// What was done about the file's structure when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartCheck {
    /// Nothing: the run before ended cleanly, or there was none.
    Skipped,
    /// The run before did not end cleanly; all that `db verify` looks at is sound.
    Sound,
    /// The run before did not end cleanly; what could be checked in the time for it is sound.
    TimedOut,
}

/// Whether the last run ended cleanly; a file that says nothing of runs did not.
pub(in crate::store) fn ended_cleanly(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT ended_cleanly FROM run_state";
    let ended = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(ended.unwrap_or(false))
}

/// Notes that a run has begun.
pub(in crate::store) fn mark_running(database: &mut Database) -> Result<(), StoreError> {
    note(database, false)
}

/// Notes that the run has ended, and that nothing comes after.
pub(in crate::store) fn mark_stopped(database: &mut Database) -> Result<(), StoreError> {
    note(database, true)
}

fn note(database: &mut Database, ended: bool) -> Result<(), StoreError> {
    const DOING: &str = "noting the run";
    let sql = "INSERT INTO run_state(id, ended_cleanly) VALUES(1, ?1)
               ON CONFLICT(id) DO UPDATE SET ended_cleanly = excluded.ended_cleanly";
    database.write(DOING, Work::Normal, |transaction| transaction.execute(sql, [ended]).map(drop))
}

/// Checks the structure of the file and all that stands in it, for no longer than `limit`.
///
/// # Errors
/// When it is damaged.
pub(in crate::store) fn check_structure(
    connection: &mut Connection,
    path: &Path,
    limit: Duration,
) -> Result<StartCheck, StoreError> {
    const DOING: &str = "checking the database";
    let limits = TimeLimits { usual: limit, ..TimeLimits::default() };
    let limit = TimeLimit::of(connection, limits).doing(DOING)?;
    let limited = limit.begin(DOING, Work::Normal)?;
    let verdict = quick_check(connection);
    drop(limited);
    match verdict {
        Ok(None) => Ok(StartCheck::Sound),
        Ok(Some(what)) => Err(StoreError::Damaged { path: path.to_owned(), what }),
        Err(failure) if failure.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(StartCheck::TimedOut)
        }
        Err(failure) => Err(damaged(path, "checking", failure)),
    }
}

/// What is wrong first: with the pages, the rows or the history.
fn quick_check(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Some(verdict));
    }
    match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        // There is nothing in it yet.
        0 => Ok(None),
        _ => integrity::first_wrong(connection),
    }
}

/// How long a start may be kept by the check: less than what the unit gives a start, and enough
/// for some gigabytes.
pub(in crate::store) const CHECK_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::AccountName;
    use crate::store::handle::Store;

    #[test]
    fn only_a_start_after_an_end_without_a_word_checks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let check = |expected| {
            let (store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
            assert_eq!(writer.start_check(), expected);
            (store, writer)
        };
        let (store, writer) = check(StartCheck::Skipped);
        let killed = folder.path().join("killed.db");
        // The file as a kill would leave it, with its log.
        for end in ["", "-wal"] {
            let name = |path: &Path| format!("{}{end}", path.display());
            std::fs::copy(name(&path), name(&killed)).unwrap();
        }
        drop(store);
        writer.join();
        let (store, writer) = check(StartCheck::Skipped);
        drop(store);
        writer.join();
        let (_store, writer) = Store::open(&killed, "boot".to_owned()).unwrap();
        assert_eq!(writer.start_check(), StartCheck::Sound);
    }

    #[tokio::test]
    async fn a_run_that_met_a_failure_that_stays_is_no_clean_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
        let no_id = "INSERT INTO discovered VALUES('a b', 'one', 1)";
        Connection::open(&path).unwrap().execute_batch(no_id).unwrap();
        let failure = store.account(AccountName::parse("one").unwrap()).await.unwrap_err();
        assert!(matches!(failure, StoreError::Sqlite { .. }), "{failure}");
        drop(store);
        writer.join();
        let (_store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
        assert_eq!(writer.start_check(), StartCheck::Sound);
    }

    #[test]
    fn a_check_that_takes_too_long_is_cut_short() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(x); CREATE INDEX i ON t(x);
                 WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000)
                 INSERT INTO t SELECT x * 7919 % 300007 FROM n",
            )
            .unwrap();
        let mut check = |limit| check_structure(&mut connection, Path::new("a.db"), limit).unwrap();
        assert_eq!(check(Duration::ZERO), StartCheck::TimedOut);
        assert_eq!(check(CHECK_LIMIT), StartCheck::Sound);
    }
}
