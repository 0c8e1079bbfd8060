//! Reads all rows of a query, which each connection parses once.

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};

pub(in crate::store) fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
}

/// The first column of each row.
pub(in crate::store) fn column<T: FromSql>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<Vec<T>> {
    rows(connection, sql, parameters, |row| row.get(0))
}
