//! Admin operations on deliveries, beside a running daemon: retry, cancel.
//!
//! Each call is one short transaction on its own connection; the daemon detects the change. For
//! other processes than the daemon: opening such a connection opens and closes the files of the
//! database, and closing a file releases all locks of the process on it
//! (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).

use std::path::Path;

use rusqlite::{Connection, named_params};

use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::id::EventId;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::files::obstacle::{self, OpenFor};
use crate::store::sqlite::copy::snapshot;
use crate::store::sqlite::database::Database;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::open::{self, FileIdentity};
use crate::store::sqlite::statement::column;
use crate::store::sqlite::time_limit::TimeClass;
use crate::store::tables::outbox::{self, BODY};

/// The event id of a delivery that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAs {
    /// The same id: a receiver that accepted it can detect the repetition.
    SameId,
    /// A new id: a receiver treats it as another event.
    NewId,
}

/// A connection for admin operations.
#[derive(Debug)]
pub struct DeliveryAdmin {
    pub(in crate::store) database: Database,
    file: FileIdentity,
}

/// Selects dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub(crate) since: Option<Timestamp>,
    pub(crate) channel: Option<ChannelName>,
}

/// The result of an operation on a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminResult {
    /// The delivery is sent again: the id of the new row, or its own if it was pending.
    Done(DeliveryId),
    /// The delivery was cancelled.
    Cancelled(DeliveryId),
    /// There is no such delivery.
    NotFound,
    /// The operation is not permitted in this state; the name of the state.
    InvalidState(String),
    /// It was sent again; the delivery that did, and the state of that one.
    Resent(DeliveryId, String),
}

impl DeliveryAdmin {
    /// Opens the database at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        snapshot::read(path, |database| database.refuse_older())?;
        // Otherwise SQLite would create a log beside a database that this user cannot write.
        if let Some(found) = obstacle::find(path, OpenFor::Write) {
            return Err(found);
        }
        let file = FileIdentity::at(path)?;
        let opened = open::open_admin(path);
        let database = opened.map_err(|it| obstacle::explain(path, OpenFor::Write, it))?;
        DatabaseLock::refuse_replaced(&file)?;
        Ok(Self { database, file })
    }

    /// Writes in one transaction, to the file that the daemon has open. Fails when another file is
    /// at the path, before or after the write.
    pub(super) fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let done = self.database.write(doing, TimeClass::Normal, work)?;
        DatabaseLock::refuse_replaced(&self.file)?;
        Ok(done)
    }

    /// Sends a dead, cancelled or delivered delivery again: inserts a new row with the same
    /// bytes, due now. A dead or cancelled one is `resent` then, and can be sent again only
    /// once. A pending one is made due now, if it keeps its event id.
    pub fn retry(
        &mut self,
        id: &DeliveryId,
        retry_as: RetryAs,
        now: Timestamp,
        random: RandomBits,
    ) -> Result<AdminResult, StoreError> {
        self.write(RETRYING, |transaction| retry(transaction, id, retry_as, now, random))
    }

    /// The dead letters, oldest first.
    pub fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeliveryId>, StoreError> {
        const DOING: &str = "reading dead letters";
        self.database.read(DOING, TimeClass::Normal, |connection| {
            let sql = "SELECT id FROM deliveries WHERE state = 'dead' AND updated_at >= ?1
                         AND (?2 IS NULL OR channel_id = ?2)
                       ORDER BY seq";
            let since = filter.since.unwrap_or(Timestamp::from_millis(i64::MIN));
            column(connection, sql, (since, &filter.channel))
        })
    }

    /// Cancels a pending delivery, or discards a dead letter.
    pub fn cancel(&mut self, id: &DeliveryId, now: Timestamp) -> Result<AdminResult, StoreError> {
        const DOING: &str = "cancelling a delivery";
        self.write(DOING, |transaction| {
            Ok(match state(transaction, id)?.as_deref() {
                None => AdminResult::NotFound,
                Some("pending" | "dead") => {
                    let sql = "UPDATE deliveries
                               SET state = 'cancelled', next_attempt_at = NULL, updated_at = ?2,
                                   final_reason = 'cancelled manually'
                               WHERE id = ?1 AND state IN ('pending','dead')";
                    transaction.execute(sql, (id, now))?;
                    outbox::unblock_next(transaction, id)?;
                    AdminResult::Cancelled(id.clone())
                }
                Some("resent") => successor(transaction, id)?,
                Some(other) => AdminResult::InvalidState(other.to_owned()),
            })
        })
    }
}

/// As [`DeliveryAdmin::retry`], on a connection that writes.
pub(in crate::store) fn retry(
    transaction: &Connection,
    id: &DeliveryId,
    retry_as: RetryAs,
    now: Timestamp,
    random: RandomBits,
) -> rusqlite::Result<AdminResult> {
    let (event, fresh) = (EventId::mint(now, random.derive(1)), DeliveryId::mint(now, random));
    let state = state(transaction, id)?;
    let is_inserted = match (state.as_deref(), retry_as) {
        (None, _) => return Ok(AdminResult::NotFound),
        (Some("resent"), _) => return successor(transaction, id),
        (Some("sending"), RetryAs::SameId) => {
            return Ok(AdminResult::InvalidState("sending".to_owned()));
        }
        (Some("pending"), RetryAs::SameId) => {
            let sql = "UPDATE deliveries SET next_attempt_at = ?2, updated_at = ?2,
                         manual_attempt = attempts + 1
                       WHERE id = ?1 AND state = 'pending'";
            transaction.execute(sql, (id, now))?;
            return Ok(AdminResult::Done(id.clone()));
        }
        (Some(_), RetryAs::SameId) => replay(transaction, id, &fresh, None, now)?,
        (Some(_), RetryAs::NewId) => replay_as_new(transaction, id, &fresh, &event, now)?,
    };
    if !is_inserted {
        return Ok(AdminResult::InvalidState("already being sent again".to_owned()));
    }
    let sql = "UPDATE deliveries SET state = 'resent', resent_as = ?2, updated_at = ?3
               WHERE id = ?1 AND state IN ('dead','cancelled')";
    transaction.execute(sql, (id, &fresh, now))?;
    Ok(AdminResult::Done(fresh))
}

/// That a delivery was sent again, by which one, and its state.
fn successor(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<AdminResult> {
    let sql = "SELECT s.id, s.state FROM deliveries d JOIN deliveries s ON s.id = d.resent_as
               WHERE d.id = ?1";
    let (id, state) = connection.query_row(sql, [id], |row| row.try_into())?;
    Ok(AdminResult::Resent(id, state))
}

fn state(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<Option<String>> {
    Ok(column(connection, "SELECT state FROM deliveries WHERE id = ?1", [id])?.pop())
}

/// Inserts the new row of a delivery that is sent again, with another event and body if given;
/// returns whether it did: not while one is in flight.
fn replay(
    connection: &Connection,
    id: &DeliveryId,
    fresh: &DeliveryId,
    new: Option<(&EventId, &[u8])>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let (event, body) = new.unzip();
    let sql = "INSERT INTO deliveries(id, event_id, ordering_key, channel_id, recipient, replay,
                                      manual_attempt, content_type, body, fallback, state,
                                      next_attempt_at, blocked, expires_at, created_at,
                                      updated_at)
               SELECT :fresh, coalesce(:event, event_id), ordering_key, channel_id, recipient,
                      (SELECT coalesce(max(replay) + 1, 0) FROM deliveries l
                       WHERE l.event_id = coalesce(:event, d.event_id)
                         AND l.channel_id = d.channel_id AND l.recipient = d.recipient),
                      1, content_type, coalesce(:body, body), fallback, 'pending', :now,
                      EXISTS(SELECT 1 FROM deliveries o
                        WHERE o.channel_id = d.channel_id AND o.recipient = d.recipient
                          AND o.ordering_key = d.ordering_key
                          AND o.state IN ('pending','sending')),
                      :now + (expires_at - created_at), :now, :now
               FROM deliveries d WHERE id = :id
                 AND NOT EXISTS(SELECT 1 FROM deliveries o
                   WHERE o.event_id = coalesce(:event, d.event_id)
                     AND o.channel_id = d.channel_id AND o.recipient = d.recipient
                     AND o.state IN ('pending','sending'))";
    let inserted = connection.execute(
        sql,
        named_params! {":fresh": fresh, ":event": event, ":body": body, ":now": now, ":id": id},
    )?;
    Ok(inserted > 0)
}

/// Sends a delivery again under a new event id, with the same text.
fn replay_as_new(
    connection: &Connection,
    id: &DeliveryId,
    fresh: &DeliveryId,
    event: &EventId,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = &format!("SELECT event_id, content_type, {BODY} FROM deliveries WHERE id = ?1");
    let (old, content_type, body): (EventId, String, Vec<u8>) =
        connection.query_row(sql, [id], |row| row.try_into())?;
    let body = if content_type == MAIL {
        mail_with_id(&body, (&old, id), (event, fresh))
    } else {
        // Chats escape the `_` of an id.
        let digits = |id: &'_ EventId| id.as_str().trim_start_matches("evt_").to_owned();
        replace_all(&body, &digits(&old), &digits(event))
    };
    connection.execute(
        "INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, title, body,
                            replay_of)
         SELECT ?2, type, avatar_id, avatar_seq, occurred_at, title, body, id
         FROM events WHERE id = ?1",
        (&old, event),
    )?;
    replay(connection, id, fresh, Some((event, &body)), now)
}

/// Replaces the ids in the header of a mail. The text, which may be encoded, keeps the id of the
/// event that this one repeats.
fn mail_with_id(
    mail: &[u8],
    (event, delivery): (&EventId, &DeliveryId),
    (new_event, new_delivery): (&EventId, &DeliveryId),
) -> Vec<u8> {
    let end = mail.windows(HEAD_END.len()).position(|window| window == HEAD_END);
    let (head, words) = mail.split_at(end.unwrap_or(mail.len()));
    // The boundary of the parts contains only the id of the delivery, and has to stay the same.
    let (both, new_both) = (format!("{event}.{delivery}"), format!("{new_event}.{new_delivery}"));
    let head = replace_all(head, &both, &new_both);
    [replace_all(&head, event.as_str(), new_event.as_str()), words.to_vec()].concat()
}

fn replace_all(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old.as_bytes()) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(new.as_bytes());
        rest = &rest[at + old.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// What fails when a retry does.
pub(in crate::store) const RETRYING: &str = "sending a delivery again";
/// The content type of a mail, as it is stored.
const MAIL: &str = "message/rfc822";
const HEAD_END: &[u8] = b"\r\n\r\n";
