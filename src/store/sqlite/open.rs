//! Opens the database file, checks it and migrates it to the newest schema.
//!
//! WAL with `synchronous=FULL`: a commit survives a power failure. A file that belongs to
//! another program or is newer is refused and not changed. After an unclean end it is
//! checked for damage, for a limited time.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi};

use crate::files::paths::resolve_symlinks;
use crate::store::error::{ErrorContext as _, StoreError, damaged, disk};
use crate::store::files::obstacle::OpenFor;
use crate::store::files::ownership::{FsUserGuard, Owner, open_or_create};
use crate::store::files::permissions;
use crate::store::migrations::{APPLICATION_ID, MIGRATIONS};
use crate::store::sqlite::application_id;
use crate::store::sqlite::clean_shutdown::{self, StartCheck};
use crate::store::sqlite::connection;
use crate::store::sqlite::database::{AUTO_VACUUM_INCREMENTAL, Database};
use crate::store::sqlite::schema_check;

/// Opens the database for writing: creates it if it does not exist, checks it if the last run did
/// not end cleanly, migrates it to the newest schema, and records that a run has started.
pub(in crate::store) fn open_for_writing(
    path: &Path,
) -> Result<(Database, StartCheck), StoreError> {
    let _fs_user = FsUserGuard::for_database(path)?;
    application_id::check_application_id(path)?;
    create_private(path)?;
    let mut connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let found = application_id::identify(&mut connection, path)?.schema;
    if found == 0 {
        // Possible before the first table only; the retention releases pages.
        connection
            .pragma_update(None, "auto_vacuum", AUTO_VACUUM_INCREMENTAL)
            .map_err(|source| damaged(path, "setting up", source))?;
    }
    connection
        // The database belongs to avatar-watch, and so does its log.
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .and_then(|_| connection.pragma_update(None, "journal_mode", "WAL"))
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .and_then(|()| connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_MAX))
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX))
        .map_err(|source| damaged(path, "setting up", source))?;
    let is_clean = found == 0
        || clean_shutdown::ended_cleanly(&connection)
            .map_err(|source| damaged(path, "reading", source))?;
    let check = if is_clean {
        StartCheck::Skipped
    } else {
        clean_shutdown::check_structure(&mut connection, path, clean_shutdown::CHECK_LIMIT)?
    };
    migrate(&mut connection, path, MIGRATIONS)?;
    let mut database = Database::new(connection, path, OpenFor::Write)?;
    database.refuse_older()?;
    clean_shutdown::set_ended_cleanly(&mut database, false)?;
    Ok((database, check))
}

/// Opens the database for reading in the process that writes it, or beside that process.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none; otherwise as [`open_for_writing`].
pub(in crate::store) fn open_for_reading(path: &Path) -> Result<Database, StoreError> {
    permissions::check(path, OpenFor::Read)?;
    let database = open_any_version(path)?;
    database.refuse_older()?;
    Ok(database)
}

/// Opens a database of this or an older schema for reading.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none, [`StoreError::Empty`] when the file is empty; when
/// it is damaged, belongs to another program, or is newer.
pub(in crate::store) fn open_any_version(path: &Path) -> Result<Database, StoreError> {
    let _fs_user = FsUserGuard::for_database(path)?;
    if !path.exists() {
        return Err(StoreError::NotFound(path.to_owned()));
    }
    if !path.is_file() {
        return Err(application_id::not_a_file(path));
    }
    let read = || {
        let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Database::new(connection, path, OpenFor::Read)
    };
    let database = match read() {
        Err(StoreError::Sqlite(_, source)) if is_half_written(&source) => {
            roll_back(path)?;
            read()?
        }
        read => read?,
    };
    if database.schema == 0 {
        return Err(StoreError::Empty(path.to_owned()));
    }
    Ok(database)
}

/// Whether a crash left an incomplete transaction, which takes write access to roll back.
fn is_half_written(error: &rusqlite::Error) -> bool {
    let undo = [ffi::SQLITE_READONLY_ROLLBACK, ffi::SQLITE_READONLY_RECOVERY];
    error.sqlite_error().is_some_and(|failure| undo.contains(&failure.extended_code))
}

/// Rolls back an incomplete transaction, as SQLite does when a database is opened for writing.
fn roll_back(path: &Path) -> Result<(), StoreError> {
    application_id::check_application_id(path)?;
    let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    application_id::schema_of(&connection, path).map(drop)
}

/// Identifies the file that a connection has open, so that no write goes to a file that was moved
/// away.
#[derive(Debug)]
pub(in crate::store) struct FileIdentity {
    pub(in crate::store) path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The file that is at `path` now.
    pub(in crate::store) fn at(path: &Path) -> Result<Self, StoreError> {
        let gone = |_| StoreError::FileReplaced(path.to_owned());
        let metadata = fs::metadata(path).map_err(gone)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    /// Device and inode, as text.
    pub(in crate::store) fn to_text(&self) -> String {
        format!("{}:{}", self.device, self.inode)
    }

    /// Checks that the path still names this file.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        let now = Self::at(&self.path)?;
        if (now.device, now.inode) != (self.device, self.inode) {
            return Err(StoreError::FileReplaced(self.path.clone()));
        }
        Ok(())
    }
}

/// Opens the database for short writes beside the daemon.
pub(in crate::store) fn open_admin(path: &Path) -> Result<Database, StoreError> {
    permissions::check(path, OpenFor::Write)?;
    let _fs_user = FsUserGuard::for_database(path)?;
    let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .and_then(|_| connection.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .doing("opening the database")?;
    let database = Database::new(connection, path, OpenFor::Write)?;
    database.refuse_older()?;
    Ok(database)
}

/// Creates the file with mode 0600, before SQLite would create it with another one.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let file = resolve_symlinks(path);
    let made = Owner::of(&file).and_then(|owner| open_or_create(&file, PRIVATE_MODE, owner));
    made.map(drop).map_err(disk("opening the database", path))
}

/// Applies the pending migrations, each in a transaction with its version, after comparing the
/// schema with that of the previous version.
fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    const DOING: &str = "migrating the schema";
    let applied = usize::try_from(application_id::schema_of(connection, path)?).unwrap_or(0);
    for (number, step) in (1i64..).zip(migrations).skip(applied) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
        schema_check::check(&transaction, path, number - 1)?;
        transaction.execute_batch(step).doing(DOING)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).doing(DOING)?;
        transaction.pragma_update(None, "user_version", number).doing(DOING)?;
        transaction.commit().doing(DOING)?;
    }
    Ok(())
}

const PRIVATE_MODE: u32 = 0o600;
/// At this many pages, SQLite copies the log into the database file within a commit. The
/// `checkpointer` does it earlier.
pub(in crate::store) const LOG_PAGES_MAX: i64 = 4000;
/// Bytes that the write-ahead log keeps after a checkpoint.
const JOURNAL_SIZE_MAX: i64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rusqlite::types::FromSql;

    use super::*;

    fn pragma<T: FromSql>(connection: &Connection, name: &str) -> T {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_new_database_is_private_and_durable_and_has_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (database, _) = open_for_writing(&path).unwrap();
        let connection = database.raw();
        assert_eq!(pragma::<String>(connection, "journal_mode"), "wal");
        // Full; on; in memory; the first version; incremental.
        for (name, expected) in [
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("temp_store", 2),
            ("user_version", 1),
            ("auto_vacuum", 2),
        ] {
            assert_eq!(pragma::<i64>(connection, name), expected, "{name}");
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(database);
        open_for_writing(&path).unwrap();
    }

    #[test]
    fn a_reader_rolls_back_an_incomplete_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        drop(open_for_writing(&path).unwrap());
        let mut crashing = Connection::open(&path).unwrap();
        crashing.pragma_update(None, "journal_mode", "DELETE").unwrap();
        // Pages are written before the commit.
        crashing.pragma_update(None, "cache_size", 1).unwrap();
        let transaction = crashing.transaction().unwrap();
        transaction.execute_batch("CREATE TABLE half (text)").unwrap();
        for _ in 0..100 {
            transaction.execute("INSERT INTO half VALUES (?1)", ["x".repeat(9_000)]).unwrap();
        }
        let left = folder.path().join("left.db");
        for ending in ["", "-journal"] {
            let from = folder.path().join(format!("a.db{ending}"));
            fs::copy(from, folder.path().join(format!("left.db{ending}"))).unwrap();
        }
        assert!(fs::metadata(&left).unwrap().len() > 500_000, "pages were written");
        let read = open_for_reading(&left).unwrap();
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        assert_eq!(read.raw().query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        assert!(!folder.path().join("left.db-journal").exists());
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let refused = open_for_writing(&path);
            assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{name}: {refused:?}");
            assert_eq!(std::fs::read(&path).unwrap(), content, "{name} was changed");
        };
        check("junk", &[b'x'; 4096]);

        let path = folder.path().join("ours.db");
        drop(open_for_writing(&path).unwrap());
        let mut torn = std::fs::read(&path).unwrap();
        for byte in &mut torn[4096..8192] {
            *byte = 0xAA;
        }
        check("torn.db", &torn);
        check("half.db", &std::fs::read(&path).unwrap()[..6000]);
    }

    #[test]
    fn an_older_database_is_migrated_with_its_rows_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (database, _) = open_for_writing(&path).unwrap();
        let watch = "INSERT INTO watches(avatar_id, status, status_since, last_seen_at)
                     VALUES('a', 'TRAINING', 1, 2)";
        database.raw().execute(watch, []).unwrap();
        drop(database);
        assert_eq!(MIGRATIONS.len(), 1, "use the real second migration instead of this one");
        let next = "ALTER TABLE watches ADD COLUMN more INTEGER NOT NULL DEFAULT 3;
                    UPDATE watches SET more = more + last_seen_at";
        let steps = [MIGRATIONS[0], next];
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, &steps).unwrap();
        assert_eq!(pragma::<i64>(&connection, "user_version"), 2);
        let sql = "SELECT status, more FROM watches";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: (String, i64) = connection.query_row(sql, [], row).unwrap();
        assert_eq!(found, ("TRAINING".to_owned(), 5));
        drop(connection);
        // This program knows schema 1 only, and changes no newer one.
        let before = fs::read(&path).unwrap();
        let refused = [open_for_writing(&path).map(|(it, _)| it), open_for_reading(&path)];
        for refused in refused {
            assert!(matches!(refused, Err(StoreError::Newer(_, 2))));
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn reading_does_not_create_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.db");
        assert!(matches!(open_for_reading(&path), Err(StoreError::NotFound { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_failed_migration_keeps_the_old_schema() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        drop(open_for_writing(&path).unwrap());
        let mut connection = Connection::open(&path).unwrap();
        let steps = [MIGRATIONS[0], "CREATE TABLE extra(x) STRICT; CREATE nonsense"];
        assert!(migrate(&mut connection, &path, &steps).is_err());
        assert_eq!(pragma::<i64>(&connection, "user_version"), 1);
        let extra = "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'";
        let found: i64 = connection.query_row(extra, [], |row| row.get(0)).unwrap();
        assert_eq!(found, 0);
    }
}
