//! Rows of `conditions`, the firing ones, and of `unrecognized`, the reported statuses. They are
//! written and removed in the transactions of their events, so both always agree; only the reason
//! of `config.rejected` can change later.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use crate::domain::account::AccountName;
use crate::domain::condition::{Condition, ConditionSubject, OutageCause, Phase};
use crate::domain::event::{Event, EventKind};
use crate::domain::ordering_key::OrderingKey;
use crate::domain::polling::account_availability::Outage;
use crate::domain::polling::avatar_conditions::REPORTED_STATUSES_MAX;
use crate::domain::time::timestamp::Timestamp;

/// Updates the condition of an event. The event of an avatar's condition is published later, with
/// its group.
pub(in crate::store) fn record(
    connection: &Connection,
    event: &Event,
    condition: &Condition,
) -> rusqlite::Result<()> {
    let (kind, subject) = (event.kind.name(), key(event, condition));
    if event.kind == EventKind::AvatarStatusUnrecognized && condition.phase == Phase::Firing {
        record_unrecognized(connection, event.occurred_at, &condition.subject)?;
    }
    match condition.phase {
        Phase::Firing => {
            let sql = "INSERT INTO conditions(kind, subject, since, account, cause, reason,
                                              event_id, notified_at)
                       VALUES(:kind, :subject, :since, :account, :cause, :reason,
                              :event, :notified_at)
                       ON CONFLICT(kind, subject) DO UPDATE SET since = excluded.since,
                         account = excluded.account, cause = excluded.cause,
                         reason = excluded.reason, event_id = excluded.event_id,
                         notified_at = excluded.notified_at";
            let account = avatar_account(&condition.subject);
            connection.prepare_cached(sql)?.execute(named_params! {
                ":kind": kind,
                ":subject": subject,
                ":since": condition.started_at,
                ":account": account,
                ":cause": cause(&condition.subject),
                ":reason": condition.reason,
                ":event": account.is_none().then_some(&event.id),
                ":notified_at": account.is_none().then_some(event.occurred_at),
            })
        }
        Phase::Reminder => Ok(0),
        Phase::Resolved => {
            let sql = "DELETE FROM conditions WHERE kind = ?1 AND subject = ?2";
            connection.prepare_cached(sql)?.execute((kind, subject))
        }
    }
    .map(drop)
}

/// Records that an unrecognized status of an avatar was reported, and removes the oldest ones.
fn record_unrecognized(
    connection: &Connection,
    reported_at: Timestamp,
    subject: &ConditionSubject,
) -> rusqlite::Result<()> {
    let ConditionSubject::Avatar { id, status: Some(status), .. } = subject else { return Ok(()) };
    let sql = "INSERT INTO unrecognized(avatar_id, status, reported_at) VALUES(?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET reported_at = excluded.reported_at";
    connection.prepare_cached(sql)?.execute((id, status, reported_at))?;
    let sql = "DELETE FROM unrecognized WHERE avatar_id = ?1 AND status NOT IN (
                 SELECT status FROM unrecognized WHERE avatar_id = ?1
                 ORDER BY reported_at DESC, status DESC LIMIT ?2)";
    connection.prepare_cached(sql)?.execute((id, REPORTED_STATUSES_MAX)).map(drop)
}

/// The unique subject of a condition: the ordering key of its event, with the full address of a
/// recipient.
fn key(event: &Event, condition: &Condition) -> OrderingKey {
    match &condition.subject {
        ConditionSubject::Channel { name, recipient: Some(to) } => OrderingKey::recipient(name, to),
        ConditionSubject::Channel { recipient: None, .. }
        | ConditionSubject::Account { .. }
        | ConditionSubject::Config => event.ordering_key(),
        ConditionSubject::Avatar { id, .. } => OrderingKey::Avatar(id.clone()),
    }
}

/// The outage of an account, if `account.unavailable` is firing.
pub(in crate::store) fn account_outage(
    connection: &Connection,
    account: &AccountName,
) -> rusqlite::Result<Option<Outage>> {
    let sql = "SELECT since, cause, reason FROM conditions WHERE kind = ?1 AND subject = ?2";
    connection
        .prepare_cached(sql)?
        .query_row((EventKind::AccountUnavailable.name(), OrderingKey::account(account)), |row| {
            let cause: Option<String> = row.get(1)?;
            let reason: Option<String> = row.get(2)?;
            Ok(Outage {
                since: row.get(0)?,
                cause: cause.and_then(|c| OutageCause::from_name(&c)).unwrap_or(UNKNOWN_CAUSE),
                reason: reason.unwrap_or_default(),
            })
        })
        .optional()
}

/// Since when `config.rejected` has been firing, if it is.
pub(in crate::store) fn config_rejected_since(
    connection: &Connection,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT since FROM conditions WHERE kind = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([EventKind::ConfigRejected.name()], |row| row.get(0))
        .optional()
}

/// Updates the reason of `config.rejected`, if it is firing.
pub(in crate::store) fn set_rejected_reason(
    connection: &Connection,
    reason: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE conditions SET reason = ?2 WHERE kind = ?1 AND reason IS NOT ?2";
    connection.prepare_cached(sql)?.execute((EventKind::ConfigRejected.name(), reason)).map(drop)
}

fn cause(subject: &ConditionSubject) -> Option<&str> {
    match subject {
        ConditionSubject::Account { cause, .. } => Some(cause.name()),
        ConditionSubject::Avatar { group, .. } => group.cause.as_deref(),
        ConditionSubject::Config | ConditionSubject::Channel { .. } => None,
    }
}

const fn avatar_account(subject: &ConditionSubject) -> Option<&AccountName> {
    match subject {
        ConditionSubject::Avatar { account, .. } => Some(account),
        ConditionSubject::Account { .. }
        | ConditionSubject::Config
        | ConditionSubject::Channel { .. } => None,
    }
}

/// Of a cause that a newer version wrote: of the known ones, it blames neither the key nor this
/// host.
const UNKNOWN_CAUSE: OutageCause = OutageCause::InvalidResponse;
