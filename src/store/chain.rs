//! The chain of the history: every transition is sealed with the one before, and where some were
//! removed for their age, a gap holds the ends together.
//!
//! A gap keeps two seals: that of the transition before the first removed one, and that of the
//! last. So what stands before it and what stands after it can still not be changed unseen.

use std::iter::Peekable;
use std::vec::IntoIter;

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::transitions::{self, seal};

/// A run of removed transitions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    first_seq: i64,
    last_seq: i64,
    before: Vec<u8>,
    hash: Vec<u8>,
}

/// What is wrong with the chain, in its order; nothing when it is whole.
pub(super) fn find_broken(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut gaps = gaps(connection)?.into_iter().peekable();
    let mut found = Vec::new();
    let mut last = Vec::new();
    let mut last_seq = 0;
    let sql = format!("SELECT {}, hash, seq FROM transitions ORDER BY seq", transitions::COLUMNS);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (hash, seq): (Vec<u8>, i64) = (row.get("hash")?, row.get("seq")?);
        step_over(&mut gaps, seq, &mut last_seq, &mut last, &mut found);
        match transitions::read(row) {
            Ok(transition) if seal(&last, &transition) == hash => {}
            Ok(transition) => found.push(format!(
                "change {seq} (number {} of avatar `{}`), or the one before it, is not as it was \
                 written",
                transition.sequence, transition.avatar_id
            )),
            Err(failure) => found.push(format!("change {seq} cannot be read: {failure}")),
        }
        (last, last_seq) = (hash, seq);
    }
    step_over(&mut gaps, i64::MAX, &mut last_seq, &mut last, &mut found);
    let written = "SELECT seq FROM sqlite_sequence WHERE name = 'transitions'";
    let written: Option<i64> = connection.query_row(written, [], |row| row.get(0)).optional()?;
    if written.is_some_and(|written| written > last_seq) {
        found.push(format!("the changes after number {last_seq} are missing"));
    }
    Ok(found)
}

/// Goes over the gaps before a transition.
fn step_over(
    gaps: &mut Peekable<IntoIter<Gap>>,
    seq: i64,
    last_seq: &mut i64,
    last: &mut Vec<u8>,
    found: &mut Vec<String>,
) {
    while let Some(gap) = gaps.next_if(|gap| gap.first_seq < seq) {
        let fits = gap.first_seq > *last_seq && gap.last_seq < seq && gap.before == *last;
        if !fits {
            found.push(format!(
                "the changes {} to {} are noted as removed, and what stands before them is not as \
                 it was",
                gap.first_seq, gap.last_seq
            ));
        }
        (*last, *last_seq) = (gap.hash, gap.last_seq);
    }
}

fn gaps(connection: &Connection) -> rusqlite::Result<Vec<Gap>> {
    let sql = "SELECT first_seq, last_seq, before, hash FROM pruned_ranges ORDER BY first_seq";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(Gap {
            first_seq: row.get(0)?,
            last_seq: row.get(1)?,
            before: row.get(2)?,
            hash: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Removes a transition and widens the gap around it; `false`, and nothing is removed, when its
/// seal does not fit: then it is evidence.
pub(super) fn remove(connection: &Connection, seq: i64) -> rusqlite::Result<bool> {
    let before = end_before(connection, seq)?;
    let sql = format!("SELECT {}, hash FROM transitions WHERE seq = ?1", transitions::COLUMNS);
    let (fits, hash) = connection.prepare_cached(&sql)?.query_row([seq], |row| {
        let hash: Vec<u8> = row.get("hash")?;
        Ok((seal(&before, &transitions::read(row)?) == hash, hash))
    })?;
    if !fits {
        return Ok(false);
    }
    connection.prepare_cached("DELETE FROM transitions WHERE seq = ?1")?.execute([seq])?;
    let mut gap = Gap { first_seq: seq, last_seq: seq, before, hash };
    let earlier = "DELETE FROM pruned_ranges
                   WHERE first_seq = (SELECT max(first_seq) FROM pruned_ranges WHERE first_seq < ?1)
                     AND last_seq = ?1 - 1
                   RETURNING first_seq, before";
    let earlier = connection
        .prepare_cached(earlier)?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((first_seq, before)) = earlier {
        gap = Gap { first_seq, before, ..gap };
    }
    let later = "DELETE FROM pruned_ranges WHERE first_seq = ?1 + 1 RETURNING last_seq, hash";
    let later = connection
        .prepare_cached(later)?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((last_seq, hash)) = later {
        gap = Gap { last_seq, hash, ..gap };
    }
    connection
        .prepare_cached(
            "INSERT INTO pruned_ranges(first_seq, last_seq, before, hash) VALUES(?1,?2,?3,?4)",
        )?
        .execute((gap.first_seq, gap.last_seq, gap.before, gap.hash))?;
    Ok(true)
}

/// The seal that the transition `seq` was sealed with: of the one before it, or of the gap there.
fn end_before(connection: &Connection, seq: i64) -> rusqlite::Result<Vec<u8>> {
    let sql = "SELECT hash FROM (
                 SELECT * FROM (SELECT seq, hash FROM transitions WHERE seq < ?1
                                ORDER BY seq DESC LIMIT 1)
                 UNION ALL
                 SELECT * FROM (SELECT last_seq, hash FROM pruned_ranges WHERE first_seq < ?1
                                ORDER BY first_seq DESC LIMIT 1))
               ORDER BY seq DESC LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}
