//! Alerts that operators have not received yet: channels that started or stopped failing, and new
//! dead letters.
//!
//! They are derived by comparing the tables with what was reported, so that neither a crash nor a
//! manual change loses one. The transaction of the event marks it as reported.

use rusqlite::{Connection, named_params};

use crate::domain::condition::Phase;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::event::EventKind;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;

/// Alerts to report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingAlerts {
    pub(crate) channel_changes: Vec<ChannelChange>,
    /// Dead letters, oldest first, at most 64.
    pub(crate) dead_letters: Vec<DeadLetter>,
}

/// A condition of a channel that started or was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelChange {
    pub(crate) channel: ChannelName,
    /// The recipient, if the condition concerns only one.
    pub(crate) recipient: Option<String>,
    pub(crate) kind: EventKind,
    pub(crate) phase: Phase,
    pub(crate) since: Timestamp,
    pub(crate) reason: Option<String>,
}

pub(super) fn any_pending(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM deliveries WHERE state = 'failed' AND reported = 0)";
    let letters: bool = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(letters || !channel_changes(connection)?.is_empty())
}

pub(super) fn find(connection: &Connection) -> rusqlite::Result<PendingAlerts> {
    Ok(PendingAlerts {
        channel_changes: channel_changes(connection)?,
        dead_letters: dead_letters(connection)?,
    })
}

pub(super) fn mark_reported(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET reported = 1 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([&letter.delivery]).map(drop)
}

/// Marks a dead letter that is not reported: its event is about a channel, and two failing channels
/// would report each other forever.
pub(super) fn suppress(connection: &Connection, delivery: &DeliveryId) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET reported = 1 WHERE id = :id AND state = 'failed'
                 AND (SELECT type FROM events WHERE id = event_id)
                     IN (:failing, :disabled, :exhausted)";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":id": delivery,
            ":failing": EventKind::ChannelFailing.name(),
            ":disabled": EventKind::ChannelDisabled.name(),
            ":exhausted": EventKind::DeliveryExhausted.name(),
        })
        .map(drop)
}

/// The differences between the channels and the reported conditions.
fn channel_changes(connection: &Connection) -> rusqlite::Result<Vec<ChannelChange>> {
    // One of the two times is missing when a condition has started or was resolved. Subjects are
    // those of `OrderingKey`.
    let sql = "WITH found(kind, subject, channel, recipient, since, reason) AS (
                 SELECT :failing, 'channel ' || id, id, NULL, failing_since, reason
                 FROM channels WHERE unconfigured = 0
                 UNION ALL
                 SELECT :disabled, 'channel ' || id, id, NULL,
                        iif(state = 'disabled', ifnull(suspended_since, updated_at), NULL), reason
                 FROM channels WHERE unconfigured = 0
                 UNION ALL
                 SELECT :failing, 'channel ' || c.id || ' to ' || r.recipient, c.id, r.recipient,
                        r.failing_since, r.reason
                 FROM recipients r JOIN channels c ON c.id = r.channel_id
                 WHERE c.unconfigured = 0)
               SELECT f.kind, f.channel, f.recipient, ifnull(k.since, f.since) AS since,
                      f.reason, k.since IS NOT NULL AS is_resolved
               FROM found f LEFT JOIN conditions k ON k.kind = f.kind AND k.subject = f.subject
               WHERE (f.since IS NULL) <> (k.since IS NULL)";
    let (failing, disabled) = (EventKind::ChannelFailing, EventKind::ChannelDisabled);
    let parameters = named_params! {":failing": failing.name(), ":disabled": disabled.name()};
    rows(connection, sql, parameters, |row| {
        let kind: String = row.get("kind")?;
        let phase = if row.get("is_resolved")? { Phase::Resolved } else { Phase::Firing };
        Ok(ChannelChange {
            channel: row.get("channel")?,
            recipient: row.get("recipient")?,
            kind: if kind == failing.name() { failing } else { disabled },
            phase,
            since: row.get("since")?,
            reason: row.get::<_, Option<String>>("reason")?.filter(|_| phase == Phase::Firing),
        })
    })
}

fn dead_letters(connection: &Connection) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = "SELECT d.channel_id, d.id, d.event_id, e.type, e.avatar_id, d.attempts,
                      ifnull(d.final_reason, '')
               FROM deliveries d JOIN events e ON e.id = d.event_id
               WHERE d.state = 'failed' AND d.reported = 0 ORDER BY d.seq LIMIT ?1";
    rows(connection, sql, [DEAD_LETTERS_AT_ONCE], |row| {
        Ok(DeadLetter {
            channel: row.get(0)?,
            delivery: row.get(1)?,
            event: row.get(2)?,
            kind: row.get(3)?,
            avatar_id: row.get(4)?,
            attempts: row.get(5)?,
            reason: row.get(6)?,
        })
    })
}

/// The others follow in the next round.
const DEAD_LETTERS_AT_ONCE: i64 = 64;
