//! Identifies a database file by its application id: one of avatar-watch and its schema version, an
//! empty one, or one of another program.
//!
//! Invariant: a file of another program is never changed, nor its log or journal; the error
//! describes its content.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use crate::store::error::{ErrorContext as _, StoreError, damaged, disk, listed};
use crate::store::migrations::{APPLICATION_ID, newest};
use crate::store::sqlite::connection;
use crate::store::sqlite::schema_check;
use crate::store::sqlite::statement::column;
use crate::store::sqlite::time_limit::{TimeClass, TimeLimit, TimeLimits};

/// Refuses a file of another program before a file is opened for writing, locked or created beside
/// it. What the file alone does not show is left to [`schema_of`].
pub(in crate::store) fn check_application_id(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(not_a_file(path)),
        Ok(found) if found.len() > 0 => {}
        // Opening or creating the file reports the error.
        Ok(_) | Err(_) => return Ok(()),
    }
    let Ok(mut connection) = open_immutable(path) else { return Ok(()) };
    let limit = TimeLimit::install(&mut connection, TimeLimits::default()).doing(IDENTIFYING)?;
    let _limited = limit.begin(IDENTIFYING, TimeClass::Schema)?;
    match schema_of(&connection, path) {
        Err(refused @ (StoreError::ForeignFile { .. } | StoreError::Newer { .. })) => Err(refused),
        // The file may be incomplete without its log.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The version of a file's schema, zero for an empty file, and `PRAGMA schema_version`, which
/// changes with every change of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Identity {
    pub(in crate::store) schema: i64,
    pub(in crate::store) schema_version: i64,
}

/// Compares the schema of a file with that of its version, in one transaction.
///
/// # Errors
/// As [`schema_of`]; [`StoreError::Altered`] when the schema differs from that of its version.
pub(in crate::store) fn identify(
    connection: &mut Connection,
    path: &Path,
) -> Result<Identity, StoreError> {
    const DOING: &str = "opening the database";
    let limit = TimeLimit::install(connection, TimeLimits::default()).doing(DOING)?;
    let _limited = limit.begin(DOING, TimeClass::Schema)?;
    let transaction = connection.unchecked_transaction().doing(DOING)?;
    let schema = schema_of(&transaction, path)?;
    schema_check::check(&transaction, path, schema)?;
    let schema_version = schema_version(&transaction).doing(DOING)?;
    transaction.commit().doing(DOING)?;
    Ok(Identity { schema, schema_version })
}

/// `PRAGMA schema_version` (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
pub(in crate::store) fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// The version of the file's schema; zero for an empty file.
///
/// # Errors
/// When it is not a database, belongs to another program, or is newer than this program.
pub(in crate::store) fn schema_of(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let read = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get(0));
    let version: i64 = read("user_version").map_err(|e| damaged(path, "reading", e))?;
    let application: i64 = read("application_id").map_err(|e| damaged(path, "reading", e))?;
    match (application, version) {
        (APPLICATION_ID, found) if found > newest() => {
            Err(StoreError::Newer(path.to_owned(), found))
        }
        (APPLICATION_ID, found) if found > 0 => Ok(found),
        (APPLICATION_ID, found) => Err(StoreError::Damaged(
            path.to_owned(),
            format!("schema version {found} does not exist"),
        )),
        (application, version) => {
            let tables = tables(connection).map_err(|e| damaged(path, "reading", e))?;
            if (application, version, tables.len()) == (0, 0, 0) {
                return Ok(0);
            }
            Err(StoreError::ForeignFile(
                path.to_owned(),
                format!(
                    "it has application id {application}, version {version} and {}",
                    listed(&tables)
                ),
            ))
        }
    }
}

/// The error for a path that is not a regular file. Opening a FIFO would block.
pub(in crate::store) fn not_a_file(path: &Path) -> StoreError {
    StoreError::ForeignFile(path.to_owned(), "not a regular file".to_owned())
}

/// Opens the file without a lock and without its log, so that no file is created beside it.
fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let uri = uri(path, "immutable=1").map_err(disk(IDENTIFYING, path))?;
    connection::open(Path::new(&uri), flags)
}

/// The URI of an existing file for SQLite, with these options (<https://www.sqlite.org/uri.html>).
pub(in crate::store) fn uri(path: &Path, options: &str) -> io::Result<String> {
    let whole = fs::canonicalize(path)?;
    let name = percent_encode(whole.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    Ok(format!("file:{name}?{options}"))
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT type || ' `' || name || '`' FROM sqlite_schema ORDER BY rowid";
    column(connection, sql, [])
}

const IDENTIFYING: &str = "identifying the database";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::open::open_for_writing;

    #[test]
    fn the_log_of_another_program_is_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        let theirs = Connection::open(&path).unwrap();
        theirs.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE theirs(x)").unwrap();
        // As after a kill: all writes are in the log only.
        let killed = folder.path().join("killed.db");
        let files =
            |end: &str| (format!("{}{end}", path.display()), format!("{}{end}", killed.display()));
        for (from, to) in ["", "-wal"].map(files) {
            fs::copy(from, to).unwrap();
        }
        let read = || ["", "-wal"].map(|end| fs::read(files(end).1).unwrap());
        let before = read();
        let refused = open_for_writing(&killed).map(|(connection, _)| connection);
        assert!(matches!(refused, Err(StoreError::ForeignFile { .. })), "{refused:?}");
        assert_eq!(read(), before);
    }
}
