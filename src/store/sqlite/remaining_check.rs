//! The check of a large database after an unclean end, beside the daemon that writes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::store::error::StoreError;
use crate::store::sqlite::clean_shutdown;
use crate::store::sqlite::database::Database;
use crate::store::sqlite::integrity;
use crate::store::sqlite::open;
use crate::store::sqlite::time_limit::{TimeClass, TimeLimits};

/// The check. Each part is read in a transaction of its own, so that the log does not grow during
/// all of it.
#[derive(Debug)]
pub(crate) struct RemainingCheck {
    database: Database,
    path: PathBuf,
}

impl RemainingCheck {
    /// Opens the database once more, for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut database = open::open_for_reading(path)?;
        let (normal, after_stop) = (PART_LIMIT, Duration::ZERO);
        database.set_limits(TimeLimits { normal, after_stop, ..TimeLimits::default() })?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// Stops the check; it ends with [`StoreError::Interrupted`].
    pub(crate) fn stop(&self) -> impl FnOnce() + use<> {
        let limit = self.database.limit.clone();
        move || limit.stop()
    }

    /// Makes the check.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the first problem.
    pub(crate) fn run(&self) -> Result<(), StoreError> {
        const DOING: &str = "checking the database";
        let read = |part: &dyn Fn(&Connection) -> rusqlite::Result<Option<String>>| match self
            .database
            .read(DOING, TimeClass::Normal, part)
        {
            Ok(None) => Ok(()),
            Ok(Some(what)) => Err(StoreError::Damaged(self.path.clone(), what)),
            Err(_) if self.database.limit.is_stopping() => Err(StoreError::Interrupted(DOING)),
            Err(StoreError::Sqlite(_, source)) if is_corrupt(&source) => {
                Err(StoreError::Damaged(self.path.clone(), source.to_string()))
            }
            Err(failure) => Err(failure),
        };
        read(&clean_shutdown::quick_check_of_pages)?;
        integrity::parts().try_for_each(|part| read(&part))
    }
}

fn is_corrupt(failure: &rusqlite::Error) -> bool {
    failure.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// The time limit of each part.
const PART_LIMIT: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        drop(open::open_for_writing(&path).unwrap());
        (folder, path)
    }

    #[test]
    fn a_check_finds_damaged_pages_and_wrong_rows() {
        let (_folder, path) = database();
        assert!(RemainingCheck::open(&path).unwrap().run().is_ok());
        let missing = "UPDATE sqlite_sequence SET seq = 7 WHERE name = 'transitions';
                       INSERT INTO sqlite_sequence(name, seq) VALUES('transitions', 7)";
        Connection::open(&path).unwrap().execute_batch(missing).unwrap();
        let found = RemainingCheck::open(&path).unwrap().run().unwrap_err();
        assert!(found.to_string().contains("7 are missing"), "{found}");

        let (_folder, path) = database();
        let connection = Connection::open(&path).unwrap();
        let mixed_up = "PRAGMA writable_schema = ON;
                        INSERT INTO config VALUES(1, 'x');
                        UPDATE sqlite_schema SET rootpage = (
                          SELECT rootpage FROM sqlite_schema WHERE name = 'watches')
                        WHERE name = 'config'";
        connection.execute_batch(mixed_up).unwrap();
        drop(connection);
        let found = RemainingCheck::open(&path).and_then(|check| check.run());
        assert!(matches!(found, Err(StoreError::Damaged(..))), "{found:?}");
    }

    #[test]
    fn a_check_that_is_stopped_has_no_result() {
        let (_folder, path) = database();
        let check = RemainingCheck::open(&path).unwrap();
        let rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000)
                    INSERT INTO unrecognized SELECT x, 'ODD', 1 FROM n";
        Connection::open(&path).unwrap().execute_batch(rows).unwrap();
        check.stop()();
        assert!(matches!(check.run(), Err(StoreError::Interrupted(_))));
    }
}
