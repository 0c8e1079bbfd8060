//! Rows of `events`: what is told, with its id and its frozen body.

use rusqlite::{Connection, named_params};

use crate::domain::event::{Event, Subject};

/// Writes an event with its body; a trial has no row, as nothing happened.
pub(super) fn insert(connection: &Connection, event: &Event, body: &[u8]) -> rusqlite::Result<()> {
    let Subject::Transition { transition, .. } = &event.subject else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, body)
             VALUES(:id, :type, :avatar, :seq, :at, :body)",
        )?
        .execute(named_params! {
            ":id": event.id,
            ":type": event.kind.name(),
            ":avatar": transition.avatar_id,
            ":seq": i64::try_from(transition.sequence).unwrap_or(i64::MAX),
            ":at": event.occurred_at,
            ":body": body,
        })
        .map(drop)
}
