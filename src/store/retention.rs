//! Retention: removes old rows in small steps.
//!
//! Invariants: an event is removed with all its deliveries and their attempts, oldest delivery
//! first, after all of them have ended; a dead letter keeps its event until it is sent again or
//! discarded; the event of a condition that is firing is kept; a transition is kept with its event,
//! and the newest of an avatar always. Watches are never removed here, so no event is repeated
//! under another id. The rows that a step removes are limited.

use std::collections::HashSet;

use rusqlite::{Connection, named_params};

use crate::domain::retention::Cutoffs;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::{column, rows};

/// The position of a run of the retention; by default its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneCursor {
    table: PrunedTable,
    after_seq: i64,
}

/// The tables of a run, in order: events are removed before their transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PrunedTable {
    #[default]
    Events,
    Transitions,
}

/// The rows that a step removed, and the position of the next step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The position of the next step; `None` at the end of the run.
    pub(crate) next: Option<PruneCursor>,
    pub(crate) events: usize,
    pub(crate) deliveries: usize,
    pub(crate) attempts: usize,
    pub(crate) transitions: usize,
}

impl Pruned {
    /// The number of removed rows.
    pub const fn rows(&self) -> usize {
        self.events + self.deliveries + self.attempts + self.transitions
    }

    /// The sum of both; the next step is that of the later.
    #[must_use]
    pub const fn and(self, later: Self) -> Self {
        Self {
            next: later.next,
            events: self.events + later.events,
            deliveries: self.deliveries + later.deliveries,
            attempts: self.attempts + later.attempts,
            transitions: self.transitions + later.transitions,
        }
    }
}

/// One step of a run: removes at most `rows_max` rows.
pub(super) fn step(
    connection: &Connection,
    cutoffs: Cutoffs,
    cursor: PruneCursor,
    rows_max: usize,
) -> rusqlite::Result<Pruned> {
    let (before, prune): (_, Prune) = match cursor.table {
        PrunedTable::Events => (cutoffs.deliveries_before, prune_events),
        PrunedTable::Transitions => (cutoffs.transitions_before, prune_transitions),
    };
    let (seq, pruned) = match before {
        Some(before) => prune(connection, before, cursor.after_seq, rows_max)?,
        None => (None, Pruned::default()),
    };
    let next = match (seq, cursor.table) {
        (Some(after_seq), table) => Some(PruneCursor { table, after_seq }),
        (None, PrunedTable::Events) => {
            Some(PruneCursor { table: PrunedTable::Transitions, after_seq: 0 })
        }
        (None, PrunedTable::Transitions) => None,
    };
    Ok(Pruned { next, ..pruned })
}

/// The position in the table, `None` when it has no more old rows; and the removed rows.
type Batch = (Option<i64>, Pruned);

type Prune = fn(&Connection, Timestamp, i64, usize) -> rusqlite::Result<Batch>;

fn prune_events(
    connection: &Connection,
    before: Timestamp,
    after: i64,
    rows_max: usize,
) -> rusqlite::Result<Batch> {
    let mut pruned = Pruned::default();
    let sql = "SELECT event_id FROM conditions WHERE event_id IS NOT NULL";
    let held: HashSet<String> = column(connection, sql, [])?.into_iter().collect();
    let sql = "SELECT seq, id, occurred_at < ?2 FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?3";
    let events: Vec<(i64, String, bool)> =
        rows(connection, sql, (after, before, ROWS_READ_MAX), |row| row.try_into())?;
    let (count, mut last, mut any_old) = (events.len(), after, false);
    for (seq, id, is_old) in events {
        any_old |= is_old;
        if is_old && !held.contains(&id) && has_ended(connection, &id, before)? {
            remove_event(connection, &id, rows_max, &mut pruned)?;
            if pruned.rows() >= rows_max {
                // The next step removes the rest of this event.
                return Ok((Some(last), pruned));
            }
        }
        last = seq;
    }
    let goes_on = any_old && count == ROWS_READ_MAX;
    Ok((goes_on.then_some(last), pruned))
}

/// Whether all deliveries of an event ended before `before`, and it has no open dead letters. A
/// replay under a new id is kept as long as the first event, since the dead letters of that one
/// name it.
fn has_ended(connection: &Connection, event: &str, before: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT NOT EXISTS(SELECT 1 FROM deliveries d WHERE event_id = ?1
               AND (state IN ('pending','sending') OR updated_at >= ?2
                 OR state = 'dead'))
             AND NOT EXISTS(SELECT 1 FROM events n JOIN events f ON f.id = n.replay_of
                            WHERE n.id = ?1)",
        )?
        .query_row((event, before), |row| row.get(0))
}

/// Removes an event with its deliveries and attempts, up to the limit of the step.
fn remove_event(
    connection: &Connection,
    event: &str,
    rows_max: usize,
    pruned: &mut Pruned,
) -> rusqlite::Result<()> {
    let sql = "SELECT id FROM deliveries WHERE event_id = ?1 ORDER BY seq LIMIT ?2";
    for delivery in column::<String>(connection, sql, (event, rows_max))? {
        let room = rows_max.saturating_sub(pruned.rows());
        let sql = "DELETE FROM attempts WHERE delivery_id = :id AND no IN (
                     SELECT no FROM attempts WHERE delivery_id = :id ORDER BY no LIMIT :room)";
        pruned.attempts += connection
            .prepare_cached(sql)?
            .execute(named_params! {":id": delivery, ":room": room})?;
        if pruned.rows() >= rows_max {
            return Ok(());
        }
        let sql = "DELETE FROM deliveries WHERE id = ?1";
        pruned.deliveries += connection.prepare_cached(sql)?.execute([delivery])?;
        if pruned.rows() >= rows_max {
            return Ok(());
        }
    }
    pruned.events +=
        connection.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([event])?;
    Ok(())
}

fn prune_transitions(
    connection: &Connection,
    before: Timestamp,
    after: i64,
    rows_max: usize,
) -> rusqlite::Result<Batch> {
    let mut pruned = Pruned::default();
    let sql = "SELECT seq, detected_at < ?2,
                      EXISTS(SELECT 1 FROM transitions n WHERE n.avatar_id = t.avatar_id
                             AND n.avatar_seq > t.avatar_seq)
                      AND NOT EXISTS(SELECT 1 FROM events e WHERE e.avatar_id = t.avatar_id
                                     AND e.avatar_seq = t.avatar_seq)
               FROM transitions t WHERE seq > ?1 ORDER BY seq LIMIT ?3";
    let transitions: Vec<(i64, bool, bool)> =
        rows(connection, sql, (after, before, ROWS_READ_MAX), |row| row.try_into())?;
    let (count, mut last, mut any_old) = (transitions.len(), after, false);
    let mut remove = connection.prepare_cached("DELETE FROM transitions WHERE seq = ?1")?;
    let mut last_removed = None;
    for (seq, is_old, is_free) in transitions {
        any_old |= is_old;
        if is_old && is_free {
            pruned.transitions += remove.execute([seq])?;
            last_removed = Some(seq);
        }
        last = seq;
        if pruned.rows() >= rows_max {
            break;
        }
    }
    if let Some(seq) = last_removed {
        let sql = "UPDATE history SET pruned_count = pruned_count + ?1,
                                      pruned_up_to = max(pruned_up_to, ?2)";
        connection.prepare_cached(sql)?.execute((pruned.transitions, seq))?;
    }
    if pruned.rows() >= rows_max {
        return Ok((Some(last), pruned));
    }
    let goes_on = any_old && count == ROWS_READ_MAX;
    Ok((goes_on.then_some(last), pruned))
}

/// The most rows of the table that a step reads.
const ROWS_READ_MAX: usize = 500;
/// The most rows that a step removes, which takes the writer a few milliseconds.
pub(super) const ROWS_MAX: usize = 500;

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
