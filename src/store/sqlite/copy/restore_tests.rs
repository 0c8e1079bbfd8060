use super::*;
use crate::store::handle::Store;
use crate::store::sqlite::copy::backup;

const NOW: Timestamp = Timestamp::from_millis(0);
const KEPT: &str = "a.db.before-restore-19700101T000000.000Z";

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// A database, and a backup of it from before a config was saved.
    async fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        let (store, writer) = Store::open(&home.path("a.db"), "boot".to_owned()).unwrap();
        backup::to_file(&home.path("a.db"), &home.path("backup.db")).unwrap();
        store.save_active_config("later".to_owned()).await.unwrap();
        drop(store);
        writer.join();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restore(&self) -> Result<Restore, StoreError> {
        restore(&self.path("a.db"), &self.path("backup.db"), NOW)
    }

    fn active_config(&self, name: &str) -> Option<String> {
        let connection = Connection::open(self.path(name)).unwrap();
        connection.query_row("SELECT max(active) FROM config", [], |row| row.get(0)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn done(restored: Result<Restore, StoreError>) -> Restored {
    match restored.unwrap() {
        Restore::Done(restored) => restored,
        Restore::Damaged(report) => panic!("{report:?}"),
    }
}

#[tokio::test]
async fn a_restore_replaces_the_database_and_keeps_the_old_one() {
    let home = Home::new().await;
    let restored = done(home.restore());
    assert_eq!(restored.kept, Some(home.path(KEPT)));
    assert_eq!(restored.lost, Some(Lost::default()));
    assert_eq!(
        (home.active_config("a.db"), home.active_config(KEPT)),
        (None, Some("later".to_owned()))
    );
    assert_eq!(home.names(), ["a.db", KEPT, "a.db.lock", "backup.db"]);
}

#[tokio::test]
async fn the_log_of_the_old_database_is_kept_with_it() {
    let home = Home::new().await;
    // As after a kill: the newest write is in the log only.
    let log = home.path("log");
    {
        let raw = Connection::open(home.path("a.db")).unwrap();
        raw.execute_batch("UPDATE config SET active = 'newest'").unwrap();
        fs::copy(home.path("a.db-wal"), &log).unwrap();
        fs::copy(home.path("a.db"), home.path("b.db")).unwrap();
    }
    fs::rename(home.path("b.db"), home.path("a.db")).unwrap();
    fs::rename(log, home.path("a.db-wal")).unwrap();
    done(home.restore());
    assert_eq!(
        (home.active_config("a.db"), home.active_config(KEPT)),
        (None, Some("newest".to_owned()))
    );
}

#[tokio::test]
async fn a_damaged_database_is_kept_unchanged_with_its_log() {
    let home = Home::new().await;
    let junk = vec![b'x'; 8192];
    fs::write(home.path("a.db"), &junk).unwrap();
    fs::write(home.path("a.db-wal"), "a log").unwrap();
    let restored = done(home.restore());
    assert_eq!(restored.lost, None);
    assert_eq!(fs::read(home.path(KEPT)).unwrap(), junk);
    assert_eq!(fs::read(home.path(&format!("{KEPT}-wal"))).unwrap(), b"a log");
    assert!(!home.path("a.db-wal").exists());
    assert_eq!(home.active_config("a.db"), None);
}

#[tokio::test]
async fn no_file_is_moved_for_a_damaged_backup_or_a_locked_database() {
    let home = Home::new().await;
    let whole = fs::read(home.path("backup.db")).unwrap();
    let mut torn = whole.clone();
    torn[4096..8192].fill(0xAA);
    fs::write(home.path("backup.db"), torn).unwrap();
    let refused = home.restore();
    assert!(matches!(refused, Ok(Restore::Damaged(_))), "{refused:?}");
    fs::write(home.path("backup.db"), whole).unwrap();
    let lock = DatabaseLock::acquire(&home.path("a.db")).unwrap();
    assert!(matches!(home.restore(), Err(StoreError::Locked { .. })));
    drop(lock);
    assert_eq!(home.active_config("a.db").as_deref(), Some("later"));
    assert_eq!(home.names(), ["a.db", "a.db.lock", "backup.db"]);
}

#[tokio::test]
async fn a_restore_without_a_database_creates_one() {
    let home = Home::new().await;
    fs::remove_file(home.path("a.db")).unwrap();
    let restored = done(home.restore());
    assert_eq!((restored.kept, home.active_config("a.db")), (None, None));
}

#[tokio::test]
async fn the_restored_copy_of_an_older_file_can_release_pages() {
    let home = Home::new().await;
    let mode = |name: &str| -> i64 {
        let connection = Connection::open(home.path(name)).unwrap();
        connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap()
    };
    assert_eq!((mode("a.db"), mode("backup.db")), (2, 2));
    let older = Connection::open(home.path("a.db")).unwrap();
    older.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    drop(older);
    fs::remove_file(home.path("backup.db")).unwrap();
    backup::to_file(&home.path("a.db"), &home.path("backup.db")).unwrap();
    assert_eq!((mode("a.db"), mode("backup.db")), (0, 2));
    done(home.restore());
    assert_eq!(mode("a.db"), 2);
}
