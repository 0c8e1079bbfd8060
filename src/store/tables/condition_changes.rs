//! Rows of `condition_changes`: conditions of avatars that began or were resolved, and wait until
//! the event of their group is published; and of `alert_groups`, when that last happened.
//!
//! A row is written in the transaction of its observation, and removed in that of its event.

use rusqlite::{Connection, named_params};

use crate::domain::account::AccountName;
use crate::domain::alerts::{AlertTiming, WaitingChange};
use crate::domain::avatar::status::Status;
use crate::domain::condition::{AvatarGroup, Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;
use crate::store::tables::conditions;

/// Writes a change, and updates the conditions that are firing.
pub(in crate::store) fn append(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let Subject::Condition(condition) = &event.subject else { return Ok(()) };
    let ConditionSubject::Avatar { id, name, account, status, group } = &condition.subject else {
        return Ok(());
    };
    let sql =
        "INSERT INTO condition_changes(event_id, kind, phase, account, cause, avatar_id, name,
                                             status, started_at, detected_at, reason)
               VALUES(:event, :kind, :phase, :account, :cause, :avatar, :name,
                      :status, :started_at, :detected_at, :reason)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":event": event.id,
        ":kind": event.kind.name(),
        ":phase": condition.phase.name(),
        ":account": account,
        ":cause": group.cause,
        ":avatar": id,
        ":name": name,
        ":status": status,
        ":started_at": condition.started_at,
        ":detected_at": event.occurred_at,
        ":reason": condition.reason,
    })?;
    conditions::record(connection, event, condition)
}

/// The accounts with changes of one kind that are due.
pub(in crate::store) fn due(
    connection: &Connection,
    timing: AlertTiming,
    now: Timestamp,
) -> rusqlite::Result<Vec<(String, AccountName)>> {
    let sql = "SELECT c.kind, c.account, min(c.detected_at),
                      (SELECT published_at FROM alert_groups g
                       WHERE g.kind = c.kind AND g.subject = c.account)
               FROM condition_changes c GROUP BY c.kind, c.account ORDER BY min(c.seq)";
    let mut due = rows(connection, sql, [], |row| {
        let is_due = timing.is_group_due(row.get(2)?, row.get(3)?, now);
        Ok(is_due.then_some((row.get(0)?, row.get(1)?)))
    })?;
    Ok(due.drain(..).flatten().collect())
}

/// The waiting changes of a kind and account, oldest first.
pub(in crate::store) fn waiting(
    connection: &Connection,
    kind: &str,
    account: &AccountName,
) -> rusqlite::Result<Vec<WaitingChange>> {
    let sql =
        "SELECT seq, event_id, phase, cause, avatar_id, name, status, started_at, detected_at,
                      reason
               FROM condition_changes WHERE kind = ?1 AND account = ?2 ORDER BY seq LIMIT ?3";
    let kinds = EventKind::OPERATIONAL;
    let Some(kind) = kinds.into_iter().find(|it| it.name() == kind) else { return Ok(Vec::new()) };
    rows(connection, sql, (kind.name(), account, CHANGES_MAX), |row| {
        let phase: String = row.get("phase")?;
        let subject = ConditionSubject::Avatar {
            id: row.get("avatar_id")?,
            name: row.get("name")?,
            account: account.clone(),
            status: row.get::<_, Option<Status>>("status")?,
            group: AvatarGroup { cause: row.get("cause")?, ..AvatarGroup::default() },
        };
        let is_firing = phase == Phase::Firing.name();
        let condition = Condition {
            phase: if is_firing { Phase::Firing } else { Phase::Resolved },
            started_at: row.get("started_at")?,
            subject,
            reason: row.get("reason")?,
        };
        let event = Event {
            id: row.get("event_id")?,
            kind,
            occurred_at: row.get("detected_at")?,
            subject: Subject::Condition(Box::new(condition)),
        };
        Ok(WaitingChange { seq: row.get("seq")?, event })
    })
}

/// Removes the changes of a published event, and marks the conditions that it reports.
pub(in crate::store) fn settle(
    connection: &Connection,
    event: &EventId,
    changes: &[i64],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let marks = "UPDATE conditions SET event_id = :event, notified_at = :now
                 WHERE (kind, subject, since) IN (
                   SELECT kind, avatar_id, started_at FROM condition_changes
                   WHERE seq = :seq AND phase = 'firing')";
    for seq in changes {
        connection
            .prepare_cached(marks)?
            .execute(named_params! {":event": event, ":now": now, ":seq": seq})?;
        let sql = "DELETE FROM condition_changes WHERE seq = ?1";
        connection.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Records that an event of a group was published.
pub(in crate::store) fn published(
    connection: &Connection,
    kind: EventKind,
    subject: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO alert_groups(kind, subject, published_at) VALUES(?1, ?2, ?3)
               ON CONFLICT(kind, subject) DO UPDATE SET published_at = excluded.published_at";
    connection.prepare_cached(sql)?.execute((kind.name(), subject, now)).map(drop)
}

/// The most changes that are grouped at once; the others follow.
const CHANGES_MAX: i64 = 20_000;
