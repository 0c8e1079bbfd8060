//! Integrity checks of an open database: its structure, its rows, its history.
//!
//! The checks change nothing. They continue after a finding, except that no row is read if pages
//! are damaged.

use rusqlite::Connection;

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::{column, rows};
use crate::store::tables::outbox::WAITS_FOR_NONE;

/// The result of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrityReport {
    pub(crate) schema: i64,
    pub(crate) transitions: u64,
    /// The number of transitions that the retention removed.
    pub(crate) removed: u64,
    pub(crate) deliveries: u64,
    /// The number of deliveries that are pending or being sent.
    pub(crate) undelivered: u64,
    /// When the newest transition was detected.
    pub(crate) newest_at: Option<Timestamp>,
    /// All problems.
    pub findings: Vec<IntegrityFinding>,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityFinding {
    pub(crate) part: IntegrityCheck,
    pub(crate) what: String,
}

/// The kinds of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegrityCheck {
    /// The file and its tables.
    Structure,
    /// The content of the tables.
    Rows,
    /// The completeness of the transitions.
    History,
}

impl IntegrityCheck {
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Rows => "rows",
            Self::History => "history",
        }
    }
}

/// Checks a database with a schema that was compared before.
pub(in crate::store) fn examine(connection: &Connection, schema: i64) -> IntegrityReport {
    let mut report = IntegrityReport { schema, ..IntegrityReport::default() };
    let mut find = |part: IntegrityCheck, found: rusqlite::Result<Vec<String>>| {
        let found = found.unwrap_or_else(|failure| {
            // A failure to read is a finding.
            vec![format!("the check of the {} failed: {failure}", part.name())]
        });
        report.findings.extend(found.into_iter().map(|what| IntegrityFinding { part, what }));
    };
    let structure = structure(connection);
    let are_pages_sound = matches!(&structure, Ok((_, true)));
    find(IntegrityCheck::Structure, structure.map(|(found, _)| found));
    if !are_pages_sound {
        return report;
    }
    for (part, check) in CHECKS {
        find(part, check(connection));
    }
    // A failure here was found above.
    drop(count(connection, &mut report));
    report
}

/// The first problem of the rows or the history, after the structure was checked.
pub(in crate::store) fn first_problem(connection: &Connection) -> rusqlite::Result<Option<String>> {
    for part in parts() {
        if let Some(found) = part(connection)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The checks of the rows and the history, each of which returns its first problem.
pub(in crate::store) fn parts()
-> impl Iterator<Item = impl Fn(&Connection) -> rusqlite::Result<Option<String>>> {
    CHECKS
        .into_iter()
        .map(|(_, check)| move |connection: &Connection| Ok(check(connection)?.into_iter().next()))
}

/// Whether a text is valid in its column.
type Test = fn(&str) -> bool;

type Check = fn(&Connection) -> rusqlite::Result<Vec<String>>;

const CHECKS: [(IntegrityCheck, Check); 5] = [
    (IntegrityCheck::Rows, references),
    (IntegrityCheck::Rows, names),
    (IntegrityCheck::Rows, attempts),
    (IntegrityCheck::Rows, watches),
    (IntegrityCheck::History, history),
];

/// Checks pages, indexes, types and table constraints; also returns whether the pages are sound.
/// Damaged pages can form cycles, so that reading rows would not end.
fn structure(connection: &Connection) -> rusqlite::Result<(Vec<String>, bool)> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let what: String = row.get(0)?;
        // Problems with pages come first, in one row.
        let is_of_pages = what.starts_with("*** in database");
        if what != "ok" {
            found.push(what);
        }
        if is_of_pages {
            return Ok((found, false));
        }
    }
    Ok((found, true))
}

/// Checks that referenced rows exist.
fn references(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    rows(connection, "PRAGMA foreign_key_check", [], |row| {
        let (table, number): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        let parent: String = row.get(2)?;
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        Ok(format!("row{number} of `{table}` refers to a row of `{parent}` that is not there"))
    })
}

/// Checks that ids and names are valid.
fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    let columns: [(&str, &str, Test); 5] = [
        ("watches", "avatar_id", |text| AvatarId::parse(text).is_ok()),
        ("transitions", "avatar_id", |text| AvatarId::parse(text).is_ok()),
        ("events", "id", |text| EventId::parse(text).is_ok()),
        ("channels", "id", |text| ChannelName::parse(text).is_ok()),
        ("deliveries", "id", |text| DeliveryId::parse(text).is_ok()),
    ];
    for (table, name, is_good) in columns {
        let sql = format!("SELECT {name} FROM {table}");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        // One at a time: a database of years has millions.
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?.as_str()?;
            if !is_good(text) {
                found.push(format!("`{text}` in `{table}` is not a valid `{name}`"));
            }
        }
    }
    Ok(found)
}

/// Checks that exactly those deliveries that are being sent have an open attempt, and that no other
/// one waits forever.
fn attempts(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = format!(
        "SELECT 'delivery `' || id || '` is being sent without an open attempt'
               FROM deliveries d WHERE state = 'sending' AND NOT EXISTS(
                 SELECT 1 FROM attempts WHERE delivery_id = d.id AND no = d.attempts
                   AND finished_at IS NULL)
               UNION ALL
               SELECT 'delivery `' || a.delivery_id
                      || '` has an open attempt, and is not being sent'
               FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
               WHERE a.finished_at IS NULL AND NOT (d.state = 'sending' AND d.attempts = a.no)
               UNION ALL
               SELECT 'delivery `' || id || '` waits for none, and is not sent'
               FROM deliveries d WHERE {WAITS_FOR_NONE}"
    );
    column(connection, &sql, [])
}

/// Checks that each watch has the status and sequence of its newest transition.
fn watches(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT 'the history of avatar `' || t.avatar_id || '` ends with transition '
                      || t.avatar_seq || ' to ' || t.to_status || ', its watch is at '
                      || coalesce(w.sequence || ' and ' || w.status, 'none')
               FROM transitions t LEFT JOIN watches w ON w.avatar_id = t.avatar_id
               WHERE t.avatar_seq = (
                   SELECT max(avatar_seq) FROM transitions l WHERE l.avatar_id = t.avatar_id)
                 AND (w.sequence IS NOT t.avatar_seq OR w.status IS NOT t.to_status)
               UNION ALL
               SELECT 'the history of avatar `' || avatar_id || '` is missing'
               FROM watches w WHERE sequence > 0 AND NOT EXISTS(
                 SELECT 1 FROM transitions t WHERE t.avatar_id = w.avatar_id)";
    column(connection, sql, [])
}

/// Checks that as many transitions are present as were written, less those that the retention
/// removed.
fn history(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT 'of ' || written || ' transitions ' || (written - pruned - found)
                      || ' are missing, ' || pruned || ' others were removed by the retention'
               FROM (SELECT (SELECT count(*) FROM transitions) AS found,
                            (SELECT coalesce(max(seq), 0) FROM sqlite_sequence
                             WHERE name = 'transitions') AS written,
                            (SELECT coalesce(max(pruned_count), 0) FROM history) AS pruned)
               WHERE written <> pruned + found
               UNION ALL
               SELECT 'the history has no id' WHERE NOT EXISTS(SELECT 1 FROM history)";
    column(connection, sql, [])
}

fn count(connection: &Connection, report: &mut IntegrityReport) -> rusqlite::Result<()> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
    report.transitions = number("SELECT count(*) FROM transitions")?;
    report.deliveries = number("SELECT count(*) FROM deliveries")?;
    report.undelivered =
        number("SELECT count(*) FROM deliveries WHERE state IN ('pending','sending')")?;
    let newest = "SELECT max(detected_at) FROM transitions";
    report.newest_at = connection.query_row(newest, [], |row| row.get(0))?;
    report.removed = number("SELECT pruned_count FROM history")?;
    Ok(())
}

/// The number of findings at which the check of the structure ends.
const FINDINGS_MAX: usize = 10_000;

#[cfg(test)]
#[path = "integrity_tests.rs"]
mod tests;
