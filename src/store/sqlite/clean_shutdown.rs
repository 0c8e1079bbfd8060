//! The single row of `run_state`, which records whether the last run of a daemon ended cleanly, and
//! the check of the file at a start after an unclean end.
//!
//! Invariants: a run is marked as stopped only after its last write is on disk, and the next run is
//! marked as running before its first write. A start after a clean end checks nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};

use crate::store::error::{ErrorContext as _, StoreError, damaged};
use crate::store::sqlite::database::Database;
use crate::store::sqlite::integrity;
use crate::store::sqlite::time_limit::{TimeClass, TimeLimit, TimeLimits};

/// The result of the check at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartCheck {
    /// Not needed: the last run ended cleanly, or there was none.
    Skipped,
    /// The last run did not end cleanly; the check found no problem.
    Passed,
    /// The last run did not end cleanly, and the check did not end within the time that a start
    /// may take: it is made beside the daemon.
    TimedOut,
}

/// Whether the last run ended cleanly; false without a row.
pub(in crate::store) fn ended_cleanly(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT ended_cleanly FROM run_state";
    let ended = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(ended.unwrap_or(false))
}

/// False while a daemon runs; true as its last write.
pub(in crate::store) fn set_ended_cleanly(
    database: &mut Database,
    ended: bool,
) -> Result<(), StoreError> {
    const DOING: &str = "recording the state of the run";
    let sql = "INSERT INTO run_state(id, ended_cleanly) VALUES(1, ?1)
               ON CONFLICT(id) DO UPDATE SET ended_cleanly = excluded.ended_cleanly";
    database
        .write(DOING, TimeClass::Normal, |transaction| transaction.execute(sql, [ended]).map(drop))
}

/// Checks the structure, rows and history of the file, for no longer than `limit`.
pub(in crate::store) fn check_structure(
    connection: &mut Connection,
    path: &Path,
    limit: Duration,
) -> Result<StartCheck, StoreError> {
    const DOING: &str = "checking the database";
    let limits = TimeLimits { normal: limit, ..TimeLimits::default() };
    let limit = TimeLimit::install(connection, limits).doing(DOING)?;
    let limited = limit.begin(DOING, TimeClass::Normal)?;
    let verdict = quick_check(connection);
    drop(limited);
    match verdict {
        Ok(None) => Ok(StartCheck::Passed),
        Ok(Some(what)) => Err(StoreError::Damaged(path.to_owned(), what)),
        Err(failure) if failure.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(StartCheck::TimedOut)
        }
        Err(failure) => Err(damaged(path, "checking", failure)),
    }
}

/// The first problem of the pages, the rows or the history.
fn quick_check(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if let Some(found) = quick_check_of_pages(connection)? {
        return Ok(Some(found));
    }
    match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        // The file is empty.
        0 => Ok(None),
        _ => integrity::first_problem(connection),
    }
}

/// The first problem of the pages.
pub(in crate::store) fn quick_check_of_pages(
    connection: &Connection,
) -> rusqlite::Result<Option<String>> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

/// The time limit of the check before the start: enough for a few hundred megabytes.
pub(in crate::store) const CHECK_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::domain::account::AccountName;
    use crate::store::handle::Store;

    #[tokio::test]
    async fn a_run_with_a_permanent_failure_does_not_end_cleanly() {
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
        assert_eq!(writer.check, StartCheck::Passed);
    }

    #[test]
    fn a_run_without_a_complete_check_does_not_end_cleanly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        for (is_checked, expected) in [(false, StartCheck::Passed), (true, StartCheck::Skipped)] {
            let (store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
            writer.is_checked.store(is_checked, Ordering::Relaxed);
            drop(store);
            writer.join();
            let (store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
            assert_eq!(writer.check, expected, "checked: {is_checked}");
            drop(store);
            writer.join();
        }
    }

    #[test]
    fn a_check_ends_at_its_time_limit() {
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
        assert_eq!(check(CHECK_LIMIT), StartCheck::Passed);
    }
}
