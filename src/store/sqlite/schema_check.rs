//! Compares the schema of a database with the one that this program creates.
//!
//! Invariants: the check reads `sqlite_schema` and no row of a table. A schema passes when its
//! tables and indexes are equal byte by byte and it has no other object: triggers, views, virtual
//! tables and the statistics of `ANALYZE` change what our statements do.

use std::path::Path;
use std::sync::OnceLock;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row};

use crate::store::error::{StoreError, damaged};
use crate::store::migrations::{newest, reference_schema};
use crate::store::sqlite::statement::rows;
use crate::text::sanitize::sanitize_line;

/// Compares the schema with that of version `schema`; zero is an empty database.
///
/// # Errors
/// [`StoreError::Altered`] with every difference, [`StoreError::Damaged`] when SQLite cannot read
/// the schema.
pub(in crate::store) fn check(
    connection: &Connection,
    path: &Path,
    schema: i64,
) -> Result<(), StoreError> {
    let unreadable = |source: rusqlite::Error| match source.sqlite_error_code() {
        // A select from `sqlite_schema` fails like this only for its content: a text or a number of
        // objects that is too large, or invalid SQL.
        Some(ErrorCode::Unknown | ErrorCode::TooBig | ErrorCode::OperationAborted) => {
            StoreError::Damaged(path.to_owned(), source.to_string())
        }
        Some(ErrorCode::OperationInterrupted) => {
            StoreError::Damaged(path.to_owned(), "reading its schema took too long".to_owned())
        }
        _ => damaged(path, DOING, source),
    };
    let found = objects(connection).map_err(unreadable)?;
    let made = |source| StoreError::sqlite(DOING, source);
    let differences = if schema == newest() {
        let expected = NEWEST.get_or_init(|| expected(schema).ok());
        let expected = expected.as_ref().ok_or(rusqlite::Error::InvalidQuery).map_err(made)?;
        differences(&found, expected)
    } else {
        differences(&found, &expected(schema).map_err(made)?)
    };
    match differences.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Altered(path.to_owned(), differences)),
    }
}

/// The tables and indexes of a version.
fn expected(schema: i64) -> rusqlite::Result<Vec<Object>> {
    reference_schema(schema).and_then(|model| objects(&model))
}

/// Those of the newest version, cached: creating them takes a hundred times as long as comparing.
static NEWEST: OnceLock<Option<Vec<Object>>> = OnceLock::new();

/// A row of `sqlite_schema`, without its root page.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: String,
    name: String,
    table: String,
    /// `None` for the index of a `PRIMARY KEY` or `UNIQUE`.
    sql: Option<String>,
}

impl Object {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text = |column| -> rusqlite::Result<Option<String>> {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => None,
                ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                other => Some(format!("{other:?}")),
            })
        };
        let [kind, name, table] = [text(0)?, text(1)?, text(2)?].map(Option::unwrap_or_default);
        Ok(Self { kind, name, table, sql: text(3)? })
    }

    fn is_named_like(&self, other: &Self) -> bool {
        (&self.kind, &self.name) == (&other.kind, &other.name)
    }

    fn shown(&self) -> String {
        let [kind, name] = [&self.kind, &self.name].map(|text| sanitize_line(text, NAME_CHARS_MAX));
        format!("{kind} `{name}`")
    }
}

fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema";
    let mut objects = rows(connection, sql, [], Object::read)?;
    objects.sort();
    Ok(objects)
}

fn differences(found: &[Object], expected: &[Object]) -> Vec<String> {
    if found == expected {
        return Vec::new();
    }
    let is_among = |all: &[Object], it: &Object| all.iter().any(|other| other.is_named_like(it));
    // An index without SQL belongs to a table that is reported.
    let has_sql = |it: &&Object| it.sql.is_some();
    let mut foreign: Vec<&Object> =
        found.iter().filter(has_sql).filter(|it| !is_among(expected, it)).collect();
    // Triggers and views come first: they are last in alphabetical order.
    foreign.sort_by(|one, other| other.kind.cmp(&one.kind));
    let foreign = foreign.into_iter().map(|it| format!("unexpected {}", it.shown()));
    let other = expected.iter().filter(has_sql).filter(|it| !found.contains(it));
    let other = other.map(|it| match is_among(found, it) {
        true => format!("the {} was altered", it.shown()),
        false => format!("the {} is missing", it.shown()),
    });
    let mut differences: Vec<String> = foreign.chain(other).collect();
    if differences.is_empty() {
        differences.push("its schema is inconsistent".to_owned());
    }
    differences
}

const DOING: &str = "comparing the schema";
const NAME_CHARS_MAX: usize = 80;

#[cfg(test)]
#[path = "schema_check_tests.rs"]
mod tests;
