//! What people do to deliveries by hand, beside a running daemon: send again, cancel.
//!
//! Each call is one short transaction on a connection of its own; the daemon notices.

use std::path::Path;

use rusqlite::{Connection, named_params};

use crate::domain::delivery::{DeliveryId, EXPIRES_AFTER};
use crate::domain::roll::Roll;
use crate::domain::timestamp::Timestamp;
use crate::store::database;
use crate::store::error::{Doing as _, StoreError};

/// A connection for changes by hand.
#[derive(Debug)]
pub struct Hands {
    connection: Connection,
}

/// What became of a change by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was done; for a delivery sent again, the id of the new row.
    Done(DeliveryId),
    /// There is no such delivery.
    Unknown,
    /// Its state does not allow it; the state's word.
    NotNow(String),
}

impl Hands {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: database::open_beside(path)? })
    }

    /// Sends a delivery again that failed, was cancelled or was delivered: a new row with the
    /// same event id and the same bytes, due now. A pending one is made due now.
    ///
    /// # Errors
    /// When it could not be written; then nothing was.
    pub fn retry(
        &mut self,
        id: &DeliveryId,
        now: Timestamp,
        roll: Roll,
    ) -> Result<Handled, StoreError> {
        const DOING: &str = "sending a delivery again";
        let transaction = database::begin(&mut self.connection).doing(DOING)?;
        let handled = match state(&transaction, id).doing(DOING)?.as_deref() {
            None => Handled::Unknown,
            Some("sending") => Handled::NotNow("sending".to_owned()),
            Some("pending") => {
                let sql = "UPDATE deliveries SET next_attempt_at = ?2, updated_at = ?2
                           WHERE id = ?1 AND state = 'pending'";
                transaction.execute(sql, (id, now)).doing(DOING)?;
                Handled::Done(id.clone())
            }
            Some(_) => match replay(&transaction, id, now, roll).doing(DOING)? {
                Some(fresh) => Handled::Done(fresh),
                None => Handled::NotNow("already being sent again".to_owned()),
            },
        };
        transaction.commit().doing(DOING)?;
        Ok(handled)
    }

    /// The failed deliveries that were not sent again since, oldest first; with `since`, only
    /// those that failed at or after it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn failed(&self, since: Option<Timestamp>) -> Result<Vec<DeliveryId>, StoreError> {
        const DOING: &str = "looking for failed deliveries";
        let mut statement = self
            .connection
            .prepare(
                "SELECT id FROM deliveries d WHERE state = 'failed' AND updated_at >= ?1
                   AND NOT EXISTS(SELECT 1 FROM deliveries o
                     WHERE o.event_id = d.event_id AND o.channel_id = d.channel_id
                       AND o.recipient = d.recipient AND o.replay > d.replay)
                 ORDER BY seq",
            )
            .doing(DOING)?;
        let since = since.unwrap_or(Timestamp::from_millis(i64::MIN));
        let rows = statement.query_map([since], |row| row.get(0)).doing(DOING)?;
        rows.collect::<rusqlite::Result<_>>().doing(DOING)
    }

    /// Ends a pending delivery.
    ///
    /// # Errors
    /// When it could not be written; then nothing was.
    pub fn cancel(&mut self, id: &DeliveryId, now: Timestamp) -> Result<Handled, StoreError> {
        const DOING: &str = "cancelling a delivery";
        let transaction = database::begin(&mut self.connection).doing(DOING)?;
        let handled = match state(&transaction, id).doing(DOING)?.as_deref() {
            None => Handled::Unknown,
            Some("pending") => {
                let sql = "UPDATE deliveries
                           SET state = 'cancelled', next_attempt_at = NULL, updated_at = ?2,
                               final_reason = 'cancelled by hand'
                           WHERE id = ?1 AND state = 'pending'";
                transaction.execute(sql, (id, now)).doing(DOING)?;
                Handled::Done(id.clone())
            }
            Some(other) => Handled::NotNow(other.to_owned()),
        };
        transaction.commit().doing(DOING)?;
        Ok(handled)
    }
}

fn state(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT state FROM deliveries WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([id], |row| row.get(0))?.next().transpose()
}

/// The new row of a delivery sent again; `None` when such a row is still under way.
fn replay(
    connection: &Connection,
    id: &DeliveryId,
    now: Timestamp,
    roll: Roll,
) -> rusqlite::Result<Option<DeliveryId>> {
    let fresh = DeliveryId::mint(now, roll);
    let touched = connection.execute(
        "INSERT INTO deliveries(id, event_id, avatar_id, channel_id, recipient, replay,
                                content_type, body, state, next_attempt_at, expires_at,
                                created_at, updated_at)
         SELECT :fresh, event_id, avatar_id, channel_id, recipient,
                (SELECT max(replay) + 1 FROM deliveries l WHERE l.event_id = d.event_id
                   AND l.channel_id = d.channel_id AND l.recipient = d.recipient),
                content_type, body, 'pending', :now, :expires, :now, :now
         FROM deliveries d WHERE id = :id
           AND NOT EXISTS(SELECT 1 FROM deliveries o
             WHERE o.event_id = d.event_id AND o.channel_id = d.channel_id
               AND o.recipient = d.recipient AND o.state IN ('pending','sending'))",
        named_params! {
            ":fresh": fresh,
            ":now": now,
            ":expires": now.plus(EXPIRES_AFTER),
            ":id": id,
        },
    )?;
    Ok((touched > 0).then_some(fresh))
}
