//! Databases as older programs wrote them (`upgrade/make.py` says how), opened by this one: every
//! row is found again, the history is whole, and what was to be told is told by the real daemon
//! with the ids and bytes of then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use avatar_watch::store::handle::Store;
use avatar_watch::store::verify;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::Bench;
use crate::harness::webhook::Receiver;

const DUMPS: [&str; 5] = [
    include_str!("upgrade/schema-1.sql"),
    include_str!("upgrade/schema-2.sql"),
    include_str!("upgrade/schema-3.sql"),
    include_str!("upgrade/schema-4.sql"),
    include_str!("upgrade/schema-5.sql"),
];
const CHANNELS: [&str; 4] = ["good", "broken", "refuses", "hangs"];
const STATES: [&str; 5] = ["pending", "sending", "delivered", "failed", "cancelled"];
/// What each avatar was when the old program was killed.
const AVATARS: [(&str, &str); 5] = [
    ("a1", "IDLE"),
    ("a2", "REFUSED"),
    ("a3", "TRAINING_FAILED"),
    ("a4", "NOT_TRAINED"),
    ("a5", "IDLE"),
];

fn load(dump: &str, path: &Path) {
    let database = Connection::open(path).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    database.execute_batch(dump).unwrap();
}

/// The rows of each table, with these columns or, where none are given, with all.
type Tables = BTreeMap<String, (Vec<String>, Vec<Vec<Value>>)>;

fn tables(path: &Path, columns: Option<&Tables>) -> Tables {
    let database = Connection::open(path).unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'
                 AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut names = database.prepare(names).unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut tables = Tables::new();
    for name in names.map(Result::unwrap) {
        let wanted = match columns.map(|columns| columns.get(&name)) {
            Some(None) => continue,
            Some(Some((columns, _))) => columns.join(", "),
            None => "*".to_owned(),
        };
        let mut statement =
            database.prepare(&format!("SELECT {wanted} FROM {name} ORDER BY 1, 2")).unwrap();
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let count = columns.len();
        let read = |row: &rusqlite::Row<'_>| (0..count).map(|n| row.get(n)).collect();
        let rows = statement.query_map([], read).unwrap().map(Result::unwrap).collect();
        tables.insert(name, (columns, rows));
    }
    tables
}

#[test]
fn every_row_of_an_older_database_is_found_again() {
    for (dump, schema) in DUMPS.iter().zip(1..) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        load(dump, &path);
        let report = verify::verify(&path).unwrap();
        assert_eq!((report.schema, report.findings), (schema, Vec::new()));
        let mut before = tables(&path, None);
        // Not of the old program any more, but of the run that follows.
        before.remove("runs");
        let states: BTreeSet<String> = {
            let database = Connection::open(&path).unwrap();
            let mut states = database.prepare("SELECT state FROM deliveries").unwrap();
            let states = states.query_map([], |row| row.get(0)).unwrap();
            states.map(Result::unwrap).collect()
        };
        assert_eq!(states, STATES.map(str::to_owned).into(), "schema {schema}");
        for table in ["watches", "transitions", "events", "deliveries", "attempts", "channels"] {
            assert!(!before[table].1.is_empty(), "`{table}` of schema {schema}");
        }

        let (store, writer) = Store::open(&path, "boot".to_owned()).unwrap();
        drop(store);
        writer.join();
        assert_eq!(tables(&path, Some(&before)), before, "schema {schema}");
        let report = verify::verify(&path).unwrap();
        assert_eq!((report.schema, report.findings), (6, Vec::new()), "from schema {schema}");
        // What was there is sealed from then on.
        let database = Connection::open(&path).unwrap();
        let edit = "UPDATE deliveries SET body = x'7b7d' WHERE seq = 1";
        database.execute(edit, []).unwrap();
        let found = verify::verify(&path).unwrap().findings;
        let parts: Vec<verify::Part> = found.iter().map(|it| it.part).collect();
        assert_eq!(parts, [verify::Part::Messages], "from schema {schema}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_program_left_is_told_with_its_ids_and_bytes() {
    for (dump, schema) in DUMPS.iter().zip(1..) {
        let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
        let mut config = Config::new(argil.base_url());
        for (avatar, status) in AVATARS {
            argil.set_status(avatar, status);
            config = config.avatar(avatar);
        }
        for channel in CHANNELS {
            config = config.webhook(channel, &receiver.url());
        }
        let bench = Bench::new(config.text());
        load(dump, &bench.database());
        let expected: BTreeSet<(String, Vec<u8>)> = {
            let database = Connection::open(bench.database()).unwrap();
            let waiting = "SELECT event_id, body FROM deliveries
                           WHERE state IN ('pending','sending')";
            let mut waiting = database.prepare(waiting).unwrap();
            let rows = waiting.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        assert!(expected.len() >= 3, "schema {schema}");
        let failed =
            |rows: &[serde_json::Value]| rows.iter().filter(|row| row["state"] == "failed").count();
        let daemon = bench.start();
        let rows = bench.wait_for_deliveries("the old deliveries", |rows| {
            let over =
                |row: &serde_json::Value| row["state"] != "pending" && row["state"] != "sending";
            !rows.is_empty() && rows.iter().all(over)
        });
        assert!(daemon.stop().success());
        assert!(failed(&rows) >= 4, "dead letters stay dead letters");
        let told: BTreeSet<(String, Vec<u8>)> = receiver
            .received()
            .into_iter()
            .map(|it| (it.header("webhook-id").to_owned(), it.body))
            .collect();
        // Nothing changed since, so nothing else is told.
        assert_eq!(told, expected, "schema {schema}");
        let verified = bench.run(&["db", "verify"]);
        assert!(verified.status.success(), "{}", crate::harness::daemon::stderr(&verified));
    }
}
