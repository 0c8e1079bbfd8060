//! Forgetting an avatar that is no longer watched, beside a running daemon.
//!
//! Invariants: what is not sent yet is removed only with the history, and counted first; the
//! removed transitions count as removed by the retention, so that the others are still complete. A
//! watch is hidden as long as its history stays, and appears again when it is watched again.

use rusqlite::{Connection, OptionalExtension as _};

use crate::domain::avatar::AvatarId;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::sqlite::time_limit::TimeClass;
use crate::store::tables::outbox;

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetScope {
    /// The avatar leaves the lists; its transitions and deliveries stay.
    Listing,
    /// Its transitions, events and deliveries are removed as well.
    History,
}

/// What the database has of an avatar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AvatarRecords {
    /// Its transitions.
    pub transitions: u64,
    /// Its deliveries.
    pub deliveries: u64,
    /// Those of its deliveries that are pending, being sent, or dead letters.
    pub unsent: u64,
}

/// The result of forgetting an avatar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetResult {
    /// It is forgotten; what the database had of it.
    Done(AvatarRecords),
    /// There is no such avatar.
    NotFound,
    /// One of its deliveries is being sent.
    Sending,
}

impl DeliveryAdmin {
    /// What the database has of an avatar; `None` if it knows none with this id.
    pub fn records(&self, id: &AvatarId) -> Result<Option<AvatarRecords>, StoreError> {
        const DOING: &str = "counting what is known of an avatar";
        self.database.read(DOING, TimeClass::Normal, |connection| records(connection, id))
    }

    /// Forgets an avatar. When this fails, no row is changed.
    pub fn forget(
        &mut self,
        id: &AvatarId,
        scope: ForgetScope,
        now: Timestamp,
    ) -> Result<ForgetResult, StoreError> {
        self.write("forgetting an avatar", |transaction| {
            let Some(found) = records(transaction, id)? else { return Ok(ForgetResult::NotFound) };
            match scope {
                ForgetScope::Listing => hide(transaction, id, now)?,
                ForgetScope::History if is_sending(transaction, id)? => {
                    return Ok(ForgetResult::Sending);
                }
                ForgetScope::History => remove(transaction, id)?,
            }
            Ok(ForgetResult::Done(found))
        })
    }
}

fn records(connection: &Connection, id: &AvatarId) -> rusqlite::Result<Option<AvatarRecords>> {
    let sql = "SELECT (SELECT count(*) FROM transitions WHERE avatar_id = ?1), count(d.id),
                      count(d.id) FILTER (WHERE d.state IN ('pending','sending','dead'))
               FROM watches w LEFT JOIN events e ON e.avatar_id = w.avatar_id
                 LEFT JOIN deliveries d ON d.event_id = e.id
               WHERE w.avatar_id = ?1 GROUP BY w.avatar_id";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(AvatarRecords { transitions: row.get(0)?, deliveries: row.get(1)?, unsent: row.get(2)? })
    };
    connection.query_row(sql, [id], read).optional()
}

fn is_sending(connection: &Connection, id: &AvatarId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM events e JOIN deliveries d ON d.event_id = e.id
                             WHERE e.avatar_id = ?1 AND d.state = 'sending')";
    connection.query_row(sql, [id], |row| row.get(0))
}

fn hide(connection: &Connection, id: &AvatarId, now: Timestamp) -> rusqlite::Result<()> {
    for sql in NO_LONGER_WATCHED {
        connection.execute(sql, [id])?;
    }
    let sql = "UPDATE watches SET forgotten_at = ?2 WHERE avatar_id = ?1";
    connection.execute(sql, (id, now)).map(drop)
}

fn remove(connection: &Connection, id: &AvatarId) -> rusqlite::Result<()> {
    let last = "SELECT count(*), max(seq) FROM transitions WHERE avatar_id = ?1";
    let (count, last): (u64, Option<i64>) =
        connection.query_row(last, [id], |row| row.try_into())?;
    for sql in NO_LONGER_WATCHED.into_iter().chain(HISTORY) {
        connection.execute(sql, [id])?;
    }
    // Deliveries about others can have waited for one of these.
    outbox::unblock_all(connection)?;
    let sql = "UPDATE history SET pruned_count = pruned_count + ?1,
                                  pruned_up_to = max(pruned_up_to, coalesce(?2, 0))";
    connection.execute(sql, (count, last)).map(drop)
}

/// The rows of an avatar that is polled.
const NO_LONGER_WATCHED: [&str; 2] =
    ["DELETE FROM conditions WHERE subject = ?1", "DELETE FROM discovered WHERE avatar_id = ?1"];

/// All other rows, each after those that refer to it.
const HISTORY: [&str; 6] = [
    "DELETE FROM attempts WHERE delivery_id IN (
       SELECT d.id FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.avatar_id = ?1)",
    "DELETE FROM deliveries WHERE event_id IN (SELECT id FROM events WHERE avatar_id = ?1)",
    "DELETE FROM events WHERE avatar_id = ?1",
    "DELETE FROM transitions WHERE avatar_id = ?1",
    "DELETE FROM unrecognized WHERE avatar_id = ?1",
    "DELETE FROM watches WHERE avatar_id = ?1",
];
