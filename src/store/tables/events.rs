//! Rows of `events`: the published events, each with its id, its title and its rendered body.

use rusqlite::{Connection, named_params};

use crate::domain::condition::ConditionSubject;
use crate::domain::event::{Event, Subject};
use crate::store::tables::conditions;

/// Writes an event with its body, and updates its condition. A test event has no row.
pub(in crate::store) fn insert(
    connection: &Connection,
    event: &Event,
    title: &str,
    body: &[u8],
) -> rusqlite::Result<()> {
    let transition = match &event.subject {
        Subject::Transition { transition, .. } => Some(transition),
        Subject::Condition(_) | Subject::DeadLetter(_) => None,
        Subject::Ping { .. } => return Ok(()),
    };
    let sequence = transition.map(|it| i64::try_from(it.sequence).unwrap_or(i64::MAX));
    let sql = "INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, title, body)
               VALUES(:id, :type, :avatar, :seq, :at, :title, :body)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": event.id,
        ":type": event.kind.name(),
        ":avatar": event.avatar_id(),
        ":seq": sequence,
        ":at": event.occurred_at,
        ":title": title,
        ":body": body,
    })?;
    match &event.subject {
        Subject::Condition(condition) => match &condition.subject {
            // It is recorded when it is detected.
            ConditionSubject::Avatar { .. } => Ok(()),
            ConditionSubject::Account { .. }
            | ConditionSubject::Config
            | ConditionSubject::Channel { .. } => conditions::record(connection, event, condition),
        },
        Subject::DeadLetter(_) | Subject::Transition { .. } | Subject::Ping { .. } => Ok(()),
    }
}
