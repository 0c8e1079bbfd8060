//! Retention: removes old rows in small steps, and gives the space back.
//!
//! Invariants: an event is removed with all its deliveries and their attempts, oldest delivery
//! first, after all of them have ended; a dead letter keeps its event until it is sent again or
//! discarded; the event of a condition that is firing is kept; a transition is kept with its event,
//! and the newest of an avatar always. Watches are never removed here, so no event is repeated
//! under another id. The rows that a step removes are limited.

use rusqlite::Connection;
use serde::Serialize;

use crate::domain::retention::Cutoffs;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;

/// The position of a run of the retention; by default its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneCursor {
    /// Behind that event.
    Events(i64),
    /// Behind that transition; transitions are removed after their events.
    Transitions(i64),
    /// After all rows: the pages that are still free.
    FreePages,
}

impl Default for PruneCursor {
    fn default() -> Self {
        Self::Events(0)
    }
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
    let (next, pruned) = match cursor {
        PruneCursor::Events(after) => {
            let (seq, pruned) = match cutoffs.deliveries_before {
                Some(before) => prune_events(connection, before, after, rows_max)?,
                None => Batch::default(),
            };
            (seq.map_or(PruneCursor::Transitions(0), PruneCursor::Events), pruned)
        }
        PruneCursor::Transitions(after) => {
            let (seq, pruned) = match cutoffs.transitions_before {
                Some(before) => prune_transitions(connection, before, after, rows_max)?,
                None => Batch::default(),
            };
            (seq.map_or(PruneCursor::FreePages, PruneCursor::Transitions), pruned)
        }
        PruneCursor::FreePages => (PruneCursor::FreePages, Pruned::default()),
    };
    // More than the rows of a step took, so that free pages do not pile up.
    let released = release_pages(connection, rows_max.div_ceil(ROWS_PER_PAGE_RELEASED))?;
    let is_over = next == PruneCursor::FreePages && released == 0;
    Ok(Pruned { next: (!is_over).then_some(next), ..pruned })
}

/// The position in the table, `None` when it has no more old rows; and the removed rows.
type Batch = (Option<i64>, Pruned);

fn prune_events(
    connection: &Connection,
    before: Timestamp,
    after: i64,
    rows_max: usize,
) -> rusqlite::Result<Batch> {
    let mut expired = Vec::new();
    let (mut last, mut rows_expired, mut any_old, mut count) = (after, 0, false, 0);
    let mut statement = connection.prepare_cached(EVENTS)?;
    let mut events = statement.query((after, before, ROWS_READ_MAX))?;
    while let Some(event) = events.next()? {
        let (seq, is_old, is_expired): (i64, bool, bool) =
            (event.get(0)?, event.get(2)?, event.get(3)?);
        count += 1;
        any_old |= is_old;
        if is_expired {
            let rows: usize = event.get(4)?;
            if expired.is_empty() && rows > rows_max {
                // This step removes a part of it, and the next one begins with it.
                let pruned = remove_events(connection, &[event.get(1)?], rows_max)?;
                return Ok((Some(last), pruned));
            }
            if rows_expired + rows > rows_max {
                return Ok((Some(last), remove_events(connection, &expired, rows_max)?));
            }
            rows_expired += rows;
            expired.push(event.get(1)?);
        }
        last = seq;
    }
    let goes_on = any_old && count == ROWS_READ_MAX;
    Ok((goes_on.then_some(last), remove_events(connection, &expired, rows_max)?))
}

/// Events with whether they are old, whether they are removed, and their rows. A replay under a new
/// id is kept as long as the first event, since the dead letters of that one name it.
const EVENTS: &str = "
  SELECT e.seq, e.id, e.occurred_at < ?2,
    e.occurred_at < ?2
      AND NOT coalesce(max(d.state IN ('pending','sending','dead') OR d.updated_at >= ?2), 0)
      AND NOT EXISTS(SELECT 1 FROM conditions c WHERE c.event_id = e.id)
      AND NOT EXISTS(SELECT 1 FROM events f WHERE f.id = e.replay_of),
    1 + count(d.seq) + coalesce(sum(d.attempts), 0)
  FROM events e LEFT JOIN deliveries d ON d.event_id = e.id
  WHERE e.seq > ?1 GROUP BY e.seq ORDER BY e.seq LIMIT ?3";

/// Removes events with their deliveries and attempts, up to the limit of the step.
fn remove_events(
    connection: &Connection,
    events: &[String],
    rows_max: usize,
) -> rusqlite::Result<Pruned> {
    let mut pruned = Pruned::default();
    let events = json(events);
    let remove = |sql: &str, rows: usize| {
        let room = rows_max.saturating_sub(rows);
        match room {
            0 => Ok(0),
            _ => connection.prepare_cached(sql)?.execute((&events, room)),
        }
    };
    pruned.attempts = remove(REMOVE_ATTEMPTS, pruned.rows())?;
    pruned.deliveries = remove(REMOVE_DELIVERIES, pruned.rows())?;
    pruned.events = remove(REMOVE_EVENTS, pruned.rows())?;
    Ok(pruned)
}

const REMOVE_ATTEMPTS: &str = "
  DELETE FROM attempts WHERE (delivery_id, no) IN (
    SELECT a.delivery_id, a.no FROM json_each(?1) e CROSS JOIN deliveries d CROSS JOIN attempts a
    WHERE d.event_id = e.value AND a.delivery_id = d.id ORDER BY d.seq, a.no LIMIT ?2)";
const REMOVE_DELIVERIES: &str = "
  DELETE FROM deliveries WHERE seq IN (
    SELECT d.seq FROM json_each(?1) e CROSS JOIN deliveries d WHERE d.event_id = e.value
    ORDER BY d.seq LIMIT ?2)";
const REMOVE_EVENTS: &str = "
  DELETE FROM events WHERE id IN (SELECT value FROM json_each(?1) LIMIT ?2)";

fn prune_transitions(
    connection: &Connection,
    before: Timestamp,
    after: i64,
    rows_max: usize,
) -> rusqlite::Result<Batch> {
    let transitions: Vec<(i64, bool, bool)> =
        rows(connection, TRANSITIONS, (after, before, ROWS_READ_MAX), |row| row.try_into())?;
    let goes_on = transitions.len() == ROWS_READ_MAX && transitions.iter().any(|it| it.1);
    let mut expired = transitions.iter().filter(|it| it.2).map(|it| it.0);
    let removed: Vec<i64> = expired.by_ref().take(rows_max).collect();
    if let Some(last) = removed.last() {
        connection.prepare_cached(REMOVE_TRANSITIONS)?.execute([json(&removed)])?;
        let sql = "UPDATE history SET pruned_count = pruned_count + ?1,
                                      pruned_up_to = max(pruned_up_to, ?2)";
        connection.prepare_cached(sql)?.execute((removed.len(), last))?;
    }
    let next = match expired.next() {
        Some(_) => removed.last().copied(),
        None => transitions.last().filter(|_| goes_on).map(|it| it.0),
    };
    Ok((next, Pruned { transitions: removed.len(), ..Pruned::default() }))
}

/// Transitions with whether they are old, and whether they are removed.
const TRANSITIONS: &str = "
  SELECT seq, detected_at < ?2, detected_at < ?2
    AND EXISTS(SELECT 1 FROM transitions n WHERE n.avatar_id = t.avatar_id
               AND n.avatar_seq > t.avatar_seq)
    AND NOT EXISTS(SELECT 1 FROM events e WHERE e.avatar_id = t.avatar_id
                   AND e.avatar_seq = t.avatar_seq)
  FROM transitions t WHERE seq > ?1 ORDER BY seq LIMIT ?3";
const REMOVE_TRANSITIONS: &str =
    "DELETE FROM transitions WHERE seq IN (SELECT value FROM json_each(?1))";

/// A list as a parameter of a statement.
fn json<T: Serialize>(values: &[T]) -> String {
    // Texts and numbers are always valid JSON.
    serde_json::to_string(values).unwrap_or_default()
}

/// Gives free pages back to the file system, but for those that new rows will take soon. Does
/// nothing in a database that was created without `auto_vacuum`.
fn release_pages(connection: &Connection, pages_max: usize) -> rusqlite::Result<usize> {
    let number = |pragma: &str| -> rusqlite::Result<usize> {
        connection.prepare_cached(pragma)?.query_row([], |row| row.get(0))
    };
    let (pages, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
    let kept = ((pages - free) / FREE_PAGES_PART).max(FREE_PAGES_MIN);
    let released = free.saturating_sub(kept).min(pages_max);
    let mut release = connection.prepare_cached("PRAGMA incremental_vacuum(1)")?;
    for _ in 0..released {
        let mut rows = release.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(pages - number("PRAGMA page_count")?)
}

/// The most rows of the table that a step reads.
const ROWS_READ_MAX: usize = 500;
/// A step releases one page for so many rows at most; a page has more of them.
const ROWS_PER_PAGE_RELEASED: usize = 4;
/// The part of the pages in use that stays free for new rows: one in so many. The hourly pass
/// usually frees less than a thousandth, which new rows take again.
const FREE_PAGES_PART: usize = 10;
const FREE_PAGES_MIN: usize = 256;

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
