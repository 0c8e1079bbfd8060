use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::channels::ChannelSwitch;
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::handle::Store;
use crate::store::migrations::{APPLICATION_ID, MIGRATIONS};
use crate::store::reader::Reader;
use crate::store::sqlite::copy::backup;
use crate::store::sqlite::copy::restore::{Restore, restore};
use crate::store::sqlite::integrity::IntegrityCheck;
use crate::store::sqlite::open::{open_for_reading, open_for_writing};
use crate::store::sqlite::statement::column;
use crate::store::sqlite::verify::verify;

/// Objects that could be planted in a database, and how they are reported. Each would run, or
/// change the result, if a row were read or written.
const PLANTED: [(&str, &str); 14] = [
    (
        "CREATE TRIGGER l AFTER INSERT ON run_state BEGIN SELECT load_extension('/tmp/x.so'); END",
        "unexpected trigger `l`",
    ),
    (
        "CREATE TRIGGER t AFTER INSERT ON run_state BEGIN
           INSERT INTO accounts WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
           SELECT x, x FROM n; END",
        "unexpected trigger `t`",
    ),
    (
        "ALTER TABLE transitions RENAME TO x;
         CREATE VIEW transitions AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n)
         SELECT x AS seq, x AS avatar_id, x AS avatar_seq, x AS to_status FROM n",
        "unexpected view `transitions`",
    ),
    ("CREATE VIEW v AS SELECT * FROM watches", "unexpected view `v`"),
    ("CREATE VIRTUAL TABLE v USING fts5(x)", "unexpected table `v`"),
    (
        "DROP TABLE config; CREATE VIRTUAL TABLE config USING dbstat",
        "the table `config` was altered",
    ),
    (
        "ALTER TABLE watches ADD COLUMN g TEXT AS (replace(hex(zeroblob(1000000)), '0', name))",
        "the table `watches` was altered",
    ),
    (
        "ALTER TABLE watches ADD COLUMN g TEXT CHECK(g LIKE '%a%a%a%a%a%a%a%a%a%a')",
        "the table `watches` was altered",
    ),
    (
        "CREATE INDEX i ON watches(length(replace(hex(zeroblob(1000000)), '0', name)))",
        "unexpected index `i`",
    ),
    (
        "DROP INDEX deliveries_due; CREATE INDEX deliveries_due ON deliveries(channel_id)",
        "the index `deliveries_due` was altered",
    ),
    ("DROP INDEX deliveries_order", "the index `deliveries_order` is missing"),
    ("DROP TABLE unrecognized", "the table `unrecognized` is missing"),
    ("ANALYZE", "unexpected table `sqlite_stat1`"),
    ("CREATE TABLE \"\u{202e}\u{1b}[2J\n\"(x)", "unexpected table `[2J`"),
];

struct Home(tempfile::TempDir);

impl Home {
    /// A database of a daemon that was killed, altered since, and a backup from before.
    fn new(sql: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let (database, _) = open_for_writing(&home.path("a.db")).unwrap();
        backup::to_file(&home.path("a.db"), &home.path("backup.db")).unwrap();
        drop(database);
        Connection::open(home.path("a.db")).unwrap().execute_batch(sql).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[test]
fn an_unexpected_object_is_reported_by_every_opening_before_a_row_is_read() {
    for (sql, expected) in PLANTED {
        let home = Home::new(sql);
        let path = home.path("a.db");
        let before = fs::read(&path).unwrap();
        let refusals = [
            ("daemon", Store::open(&path, "boot".to_owned()).map(drop)),
            ("page", open_for_reading(&path).map(drop)),
            ("command", Reader::snapshot(&path, |_| Ok(()))),
            ("change", DeliveryAdmin::open(&path).map(drop)),
            ("backup", backup::to_file(&path, &home.path("b.db")).map(drop)),
        ];
        for (who, refused) in refusals {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, StoreError::Altered { .. }), "{who}, {sql}: {refused}");
            let text = refused.to_string();
            assert!(text.contains(expected), "{who}, {sql}: {text}");
            assert!(text.contains(&format!("`{}`", path.display())), "{who}: {text}");
        }
        let findings = verify(&path).unwrap().findings;
        assert!(findings.iter().any(|it| it.what == expected), "{sql}: {findings:?}");
        assert!(
            findings.iter().all(|it| it.part == IntegrityCheck::Structure),
            "{sql}: {findings:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), before, "it was changed: {sql}");
        assert!(!home.path("b.db").exists());
    }
}

#[test]
fn a_backup_replaces_an_altered_database_and_an_altered_backup_replaces_none() {
    for (sql, _) in PLANTED {
        let home = Home::new(sql);
        let (path, backup) = (home.path("a.db"), home.path("backup.db"));
        let now = Timestamp::from_millis(0);
        let refused = restore(&home.path("new.db"), &path, now).unwrap();
        assert!(matches!(refused, Restore::Damaged(_)), "{sql}: {refused:?}");
        assert!(!home.path("new.db").exists());
        let Restore::Done(done) = restore(&path, &backup, now).unwrap() else { panic!("{sql}") };
        assert_eq!(done.lost, None, "no row of the old one was read: {sql}");
        assert_eq!(verify(&path).unwrap().findings, [], "{sql}");
    }
}

#[test]
fn an_older_database_is_compared_with_its_own_schema_before_it_is_migrated() {
    for schema in 1..=newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let old = Connection::open(&path).unwrap();
        let steps = &MIGRATIONS[..usize::try_from(schema).unwrap()];
        steps.iter().for_each(|step| old.execute_batch(step).unwrap());
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", schema).unwrap();
        old.execute_batch("CREATE VIEW v AS SELECT 1").unwrap();
        let refused = open_for_writing(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Altered { .. }), "{schema}: {refused}");
        old.execute_batch("DROP VIEW v").unwrap();
        drop(open_for_writing(&path).unwrap());
        assert_eq!(verify(&path).unwrap().findings, []);
    }
}

#[tokio::test]
async fn an_object_planted_in_a_live_file_stops_writes_and_reads_until_it_is_removed() {
    for (sql, expected) in PLANTED.iter().filter(|(sql, _)| sql.starts_with("CREATE ")) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
        let reader = Reader::open(&path).unwrap();
        let mut admin = DeliveryAdmin::open(&path).unwrap();
        let beside = Connection::open(&path).unwrap();
        let began = Instant::now();
        beside.execute_batch(sql).unwrap();
        let check = |refused: StoreError| {
            assert!(matches!(refused, StoreError::Altered { .. }), "{sql}: {refused}");
            assert!(refused.to_string().contains(expected), "{sql}: {refused}");
        };
        check(store.save_active_config("{}".to_owned()).await.unwrap_err());
        assert!(!store.can_write());
        check(store.pending_count().await.unwrap_err());
        check(reader.conditions().unwrap_err());
        check(reader.channels().unwrap_err());
        check(admin.dead_letters(&Default::default()).unwrap_err());
        let name = crate::domain::delivery::channel_name::ChannelName::parse("x").unwrap();
        check(admin.switch(&ChannelSwitch::Resume, &name, Timestamp::from_millis(0)).unwrap_err());

        let made = beside.query_row(
            "SELECT 'DROP ' || type || ' \"' || name || '\"' FROM sqlite_schema ORDER BY rowid DESC
             LIMIT 1",
            [],
            |row| row.get::<_, String>(0),
        );
        let made = made.unwrap();
        let whole = "DROP table \"v_config\"";
        beside.execute_batch(if made == whole { "DROP TABLE v" } else { &made }).unwrap();
        store.save_active_config("{}".to_owned()).await.unwrap();
        assert!(store.can_write());
        assert_eq!(reader.active_config().unwrap().as_deref(), Some("{}"));
        assert!(began.elapsed() < Duration::from_secs(10));
        drop(store);
        writer.join();
    }
}

#[test]
fn the_same_schema_in_other_words_is_refused() {
    let home = Home::new("");
    let path = home.path("a.db");
    // As made by `sqlite3 a.db .dump | sqlite3 b.db`, with the version and the application id.
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
               ORDER BY type = 'index', rowid";
    let texts: Vec<String> = column(&Connection::open(&path).unwrap(), sql, []).unwrap();
    let make = |name: &str, texts: &[String]| {
        let path = home.path(name);
        let made = Connection::open(&path).unwrap();
        made.execute_batch(&texts.join(";\n")).unwrap();
        made.execute("INSERT INTO history(id, history_id) VALUES(1, 1)", []).unwrap();
        made.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        made.pragma_update(None, "user_version", newest()).unwrap();
        verify(&path).unwrap().findings.into_iter().map(|it| it.what).collect::<Vec<_>>()
    };
    assert_eq!(make("same.db", &texts), [""; 0]);
    let check = |name: &str, from: &str, to: &str| {
        let others: Vec<String> = texts.iter().map(|text| text.replace(from, to)).collect();
        assert_ne!(others, texts);
        assert_eq!(make(name, &others), ["the table `config` was altered"]);
    };
    check("blank.db", "active TEXT", "active  TEXT");
    check("comment.db", "active TEXT", "active /* ours */ TEXT");
}

#[test]
fn a_corrupt_schema_table_is_refused_by_every_opening() {
    let long = format!("CREATE VIEW v AS SELECT 1 /* {} */", "y".repeat(200_000));
    let deep = format!("CREATE VIEW v AS SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let insert = |kind: &str, sql: &str| {
        format!("INSERT INTO sqlite_schema VALUES('{kind}', 'v', 'v', 0, '{sql}')")
    };
    let update = |what: &str| format!("UPDATE sqlite_schema SET {what} WHERE name = 'config'");
    let edits = [
        insert("view", &long),
        insert("view", &deep),
        insert("trigger", "DROP TABLE watches"),
        insert("table", "INSERT INTO watches(avatar_id) VALUES(1)"),
        "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'config'".to_owned(),
        "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE sql IS NULL".to_owned(),
        "DELETE FROM sqlite_schema".to_owned(),
        update("sql = sql || ' /* ours */'"),
        update("sql = sql || char(0)"),
        update("sql = CAST(x'ff' || sql AS TEXT)"),
        update("sql = CAST(sql AS BLOB)"),
        update("sql = NULL"),
        update("sql = 'CREATE VIEW config AS SELECT 1', rootpage = 0"),
        update("tbl_name = 'x'"),
        update("name = 'CONFIG'"),
        update("type = 'TABLE'"),
        update("rootpage = 1"),
        update("rootpage = 99999"),
        update("rootpage = 0"),
        update("rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'accounts')"),
        (0..300).map(|number| format!("CREATE TABLE z{number}(x);")).collect(),
        "PRAGMA user_version = 0".to_owned(),
        "PRAGMA user_version = -1".to_owned(),
        "PRAGMA application_id = 1".to_owned(),
    ];
    for edit in edits {
        let home = Home::new(&format!("PRAGMA writable_schema = ON; {edit}"));
        let (path, shown) = (home.path("a.db"), &edit[..edit.len().min(80)]);
        let is_known = |refused: &StoreError| {
            use StoreError::{Altered, Damaged, ForeignFile};
            matches!(refused, Altered { .. } | Damaged { .. } | ForeignFile { .. })
        };
        match verify(&path) {
            Ok(report) => assert_ne!(report.findings, [], "{shown}"),
            Err(refused) => assert!(is_known(&refused), "{shown}: {refused:?}"),
        }
        match restore(&home.path("new.db"), &path, Timestamp::from_millis(0)) {
            Ok(restored) => assert!(matches!(restored, Restore::Damaged(_)), "{shown}"),
            Err(refused) => assert!(is_known(&refused), "{shown}: {refused:?}"),
        }
        assert!(!home.path("new.db").exists());
        // Wrong pages are found when they are read.
        if !edit.contains("rootpage = 0") && !edit.contains("rootpage = (") {
            let refused = Store::open(&path, "boot".to_owned()).unwrap_err();
            assert!(is_known(&refused), "{shown}: {refused:?}");
        }
    }
}
