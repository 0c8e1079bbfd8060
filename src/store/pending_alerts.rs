//! Alerts that operators have not received yet: channels that started or stopped failing, new dead
//! letters, groups of avatars' conditions, and reminders.
//!
//! They are derived by comparing the tables with what was reported, so that neither a crash nor a
//! manual change loses one. The transaction of the event marks it as reported.

use rusqlite::{Connection, named_params};

use crate::domain::alerts::{self, AlertGroup, AlertTiming};
use crate::domain::condition::{ConditionSubject, LISTED_MAX, Phase};
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::dead_letter::{DeadLetter, DeadLetterGroup};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::time::timestamp::Timestamp;
use crate::store::reminders::{self, Reminder};
use crate::store::sqlite::statement::{column, rows};
use crate::store::tables::condition_changes;

/// Alerts to report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingAlerts {
    pub(crate) channel_changes: Vec<ChannelChange>,
    pub(crate) dead_letters: Vec<NewDeadLetters>,
    /// The changes of avatars' conditions, grouped, in the order in which they are published.
    pub(crate) avatar_changes: Vec<AlertGroup>,
    /// The conditions of each reminder.
    pub(crate) reminders: Vec<Vec<Reminder>>,
}

/// The dead letters of a channel that were not reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeadLetters {
    /// What the event says.
    pub(crate) group: DeadLetterGroup,
    /// All of them.
    pub(crate) ids: Vec<DeliveryId>,
    /// When the first became one.
    pub(crate) since: Timestamp,
}

/// What the event of an alert reports, and its transaction marks as reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covers {
    /// The condition in it.
    Condition,
    /// Dead letters of one channel.
    DeadLetters(ChannelName, Vec<DeliveryId>),
    /// Rows of `condition_changes`.
    Changes(Vec<i64>),
    /// A reminder of conditions of that kind, with these subjects.
    Reminder(String, Vec<String>),
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

pub(super) fn any_due(
    connection: &Connection,
    timing: AlertTiming,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    Ok(!dead_letter_channels(connection, timing, now)?.is_empty()
        || !condition_changes::due(connection, timing, now)?.is_empty()
        || reminders::is_due(connection, timing, now)?
        || !channel_changes(connection)?.is_empty())
}

pub(super) fn find(
    connection: &Connection,
    timing: AlertTiming,
    now: Timestamp,
) -> rusqlite::Result<PendingAlerts> {
    let mut avatar_changes = Vec::new();
    for (kind, account) in condition_changes::due(connection, timing, now)? {
        avatar_changes
            .extend(alerts::group(condition_changes::waiting(connection, &kind, &account)?));
    }
    let channels = dead_letter_channels(connection, timing, now)?;
    let letters = channels.iter().map(|(channel, since)| dead_letters(connection, channel, *since));
    Ok(PendingAlerts {
        channel_changes: channel_changes(connection)?,
        dead_letters: letters.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?,
        avatar_changes,
        reminders: reminders::find(connection, timing, now)?,
    })
}

/// Marks what an event reports; `None` is an event that is not to be published.
pub(super) fn mark_reported(
    connection: &Connection,
    event: Option<&Event>,
    covers: &Covers,
    now: Timestamp,
) -> rusqlite::Result<()> {
    match covers {
        Covers::Condition => Ok(()),
        Covers::DeadLetters(channel, ids) => {
            let sql = "UPDATE deliveries SET reported = 1 WHERE id = ?1";
            let mut mark = connection.prepare_cached(sql)?;
            ids.iter().try_for_each(|id| mark.execute([id]).map(drop))?;
            let kind = EventKind::DeliveryExhausted;
            condition_changes::published(connection, kind, channel.as_str(), now)
        }
        Covers::Changes(rows) => {
            let Some(event) = event else { return Ok(()) };
            condition_changes::settle(connection, &event.id, rows, now)?;
            match &event.subject {
                Subject::Condition(condition) => match &condition.subject {
                    ConditionSubject::Avatar { account, .. } => {
                        let kind = event.kind;
                        condition_changes::published(connection, kind, account.as_str(), now)
                    }
                    ConditionSubject::Account { .. }
                    | ConditionSubject::Config
                    | ConditionSubject::Channel { .. } => Ok(()),
                },
                Subject::Transition { .. } | Subject::DeadLetter(_) | Subject::Ping { .. } => {
                    Ok(())
                }
            }
        }
        Covers::Reminder(kind, subjects) => reminders::settle(connection, kind, subjects, now),
    }
}

/// Whether the event would still be true: not a reminder of what is over.
pub(super) fn is_current(connection: &Connection, covers: &Covers) -> rusqlite::Result<bool> {
    match covers {
        Covers::Condition | Covers::DeadLetters(..) | Covers::Changes(_) => Ok(true),
        Covers::Reminder(kind, subjects) => reminders::any_holds(connection, kind, subjects),
    }
}

/// Marks a dead letter that is not reported: its event is about a channel, and two failing channels
/// would report each other forever.
pub(super) fn suppress(connection: &Connection, delivery: &DeliveryId) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET reported = 1 WHERE id = :id AND state = 'dead'
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

/// The channels with dead letters to report now, and when the first became one.
fn dead_letter_channels(
    connection: &Connection,
    timing: AlertTiming,
    now: Timestamp,
) -> rusqlite::Result<Vec<(ChannelName, Timestamp)>> {
    let sql = "SELECT d.channel_id, min(d.updated_at),
                      (SELECT published_at FROM alert_groups g
                       WHERE g.kind = ?1 AND g.subject = d.channel_id)
               FROM deliveries d WHERE d.state = 'dead' AND d.reported = 0 GROUP BY 1";
    let found = rows(connection, sql, [EventKind::DeliveryExhausted.name()], |row| {
        let since = row.get(1)?;
        let is_due = timing.is_group_due(since, row.get(2)?, now);
        Ok(is_due.then_some((row.get(0)?, since)))
    })?;
    Ok(found.into_iter().flatten().collect())
}

fn dead_letters(
    connection: &Connection,
    channel: &ChannelName,
    since: Timestamp,
) -> rusqlite::Result<Option<NewDeadLetters>> {
    let sql = "SELECT id FROM deliveries
               WHERE state = 'dead' AND reported = 0 AND channel_id = ?1 ORDER BY seq LIMIT ?2";
    let ids: Vec<DeliveryId> = column(connection, sql, (channel, DEAD_LETTERS_AT_ONCE))?;
    let sql = "SELECT d.channel_id, d.id, d.event_id, e.type, e.avatar_id, d.attempts,
                      ifnull(d.final_reason, ''), w.name
               FROM deliveries d JOIN events e ON e.id = d.event_id
               LEFT JOIN watches w ON w.avatar_id = e.avatar_id
               WHERE d.state = 'dead' AND d.reported = 0 AND d.channel_id = ?1
               ORDER BY d.seq LIMIT ?2";
    let mut listed = rows(connection, sql, (channel, LISTED_MAX), |row| {
        Ok(DeadLetter {
            channel: row.get(0)?,
            delivery: row.get(1)?,
            event: row.get(2)?,
            kind: row.get(3)?,
            avatar_id: row.get(4)?,
            attempts: row.get(5)?,
            reason: row.get(6)?,
            avatar_name: row.get(7)?,
        })
    })?
    .into_iter();
    Ok(listed.next().map(|first| NewDeadLetters {
        group: DeadLetterGroup {
            first,
            others: listed.collect(),
            other_count: ids.len().saturating_sub(1),
        },
        ids,
        since,
    }))
}

/// The others follow with the next event.
const DEAD_LETTERS_AT_ONCE: i64 = 20_000;
