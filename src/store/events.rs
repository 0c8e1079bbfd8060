//! Rows of `events`: what is told, with its id and its frozen body.

use rusqlite::{Connection, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::event::{Event, Subject};
use crate::store::seal::EventFields;
use crate::store::{conditions, untold};

/// Writes an event with its body, and what it tells of a condition; a trial has no row, as
/// nothing happened.
pub(super) fn insert(connection: &Connection, event: &Event, body: &[u8]) -> rusqlite::Result<()> {
    let transition = match &event.subject {
        Subject::Transition { transition, .. } => Some(transition),
        Subject::Condition(_) | Subject::DeadLetter(_) => None,
        Subject::Ping { .. } => return Ok(()),
    };
    let sequence = transition.map(|it| i64::try_from(it.sequence).unwrap_or(i64::MAX));
    let fields = EventFields {
        id: event.id.as_str(),
        kind: event.kind.name(),
        avatar_id: event.avatar_id().map(AvatarId::as_str),
        sequence,
        occurred_at: event.occurred_at.as_millis(),
        replay_of: None,
        body,
    };
    connection
        .prepare_cached(
            "INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, body, seal)
             VALUES(:id, :type, :avatar, :seq, :at, :body, :seal)",
        )?
        .execute(named_params! {
            ":id": event.id,
            ":type": event.kind.name(),
            ":avatar": event.avatar_id(),
            ":seq": sequence,
            ":at": event.occurred_at,
            ":body": body,
            ":seal": fields.seal(),
        })?;
    match &event.subject {
        Subject::Condition(condition) => conditions::note(connection, event, condition),
        Subject::DeadLetter(letter) => untold::note(connection, letter),
        Subject::Transition { .. } | Subject::Ping { .. } => Ok(()),
    }
}
