//! What operators have to be told of and have not been: channels that began or ended to fail,
//! deliveries that were given up.
//!
//! Read out of the tables and compared with what was told, so that neither a crash nor a change
//! by hand leaves anything out; what is told is noted by the very event that tells it.

use rusqlite::{Connection, named_params};

use crate::domain::condition::Phase;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::event::EventKind;
use crate::domain::time::timestamp::Timestamp;

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingAlerts {
    /// What began or ended with channels.
    pub channel_changes: Vec<ChannelChange>,
    /// Deliveries that were given up, oldest first; not all, when there are many.
    pub dead_letters: Vec<DeadLetter>,
}

/// A condition of a channel that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelChange {
    /// Which channel.
    pub channel: ChannelName,
    /// Which of its recipients, if not all of them.
    pub recipient: Option<String>,
    /// Which condition.
    pub kind: EventKind,
    /// Whether it began or ended.
    pub phase: Phase,
    /// When it began.
    pub since: Timestamp,
    /// What went wrong, for people.
    pub reason: Option<String>,
}

/// Whether there is anything to be told.
pub(super) fn any(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM deliveries WHERE state = 'failed' AND reported = 0)";
    let letters: bool = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(letters || !channel_changes(connection)?.is_empty())
}

/// All of it.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<PendingAlerts> {
    Ok(PendingAlerts {
        channel_changes: channel_changes(connection)?,
        dead_letters: dead_letters(connection)?,
    })
}

/// Notes that a delivery that was given up has been told of.
pub(super) fn mark_reported(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE deliveries SET reported = 1 WHERE id = ?1")?
        .execute([&letter.delivery])
        .map(drop)
}

/// Notes that a delivery that was given up needs not be told of: it was about a channel, and
/// two broken channels would write about each other for ever.
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

fn channel_changes(connection: &Connection) -> rusqlite::Result<Vec<ChannelChange>> {
    let sql = "SELECT c.id, :failing, c.failing_since, k.since, c.reason, NULL
               FROM channels c LEFT JOIN conditions k
                 ON k.kind = :failing AND k.subject = 'channel ' || c.id
               WHERE c.unconfigured = 0 AND (c.failing_since IS NULL) <> (k.since IS NULL)
               UNION ALL
               SELECT c.id, :disabled, iif(c.state = 'disabled', c.suspended_since, NULL), k.since,
                      c.reason, NULL
               FROM channels c LEFT JOIN conditions k
                 ON k.kind = :disabled AND k.subject = 'channel ' || c.id
               WHERE c.unconfigured = 0 AND (c.state <> 'disabled') <> (k.since IS NULL)
               UNION ALL
               SELECT r.channel_id, :failing, r.failing_since, k.since, r.reason, r.recipient
               FROM recipients r JOIN channels c ON c.id = r.channel_id LEFT JOIN conditions k
                 ON k.kind = :failing AND k.subject = 'channel ' || c.id || ' to ' || r.recipient
               WHERE c.unconfigured = 0 AND (r.failing_since IS NULL) <> (k.since IS NULL)";
    let (failing, disabled) = (EventKind::ChannelFailing, EventKind::ChannelDisabled);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        named_params! {":failing": failing.name(), ":disabled": disabled.name()},
        |row| {
            let kind: String = row.get(1)?;
            let (begun, told): (Option<Timestamp>, Option<Timestamp>) = (row.get(2)?, row.get(3)?);
            let phase = if told.is_some() { Phase::Resolved } else { Phase::Started };
            Ok(ChannelChange {
                channel: row.get(0)?,
                recipient: row.get(5)?,
                kind: if kind == failing.name() { failing } else { disabled },
                phase,
                since: told.or(begun).unwrap_or(Timestamp::from_millis(0)),
                reason: row.get::<_, Option<String>>(4)?.filter(|_| phase == Phase::Started),
            })
        },
    )?;
    rows.collect()
}

fn dead_letters(connection: &Connection) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = "SELECT d.channel_id, d.id, d.event_id, e.type, e.avatar_id, d.attempts,
                      d.final_reason
               FROM deliveries d JOIN events e ON e.id = d.event_id
               WHERE d.state = 'failed' AND d.reported = 0 ORDER BY d.seq LIMIT :most";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(named_params! {":most": DEAD_LETTERS_AT_ONCE}, |row| {
        Ok(DeadLetter {
            channel: row.get(0)?,
            delivery: row.get(1)?,
            event: row.get(2)?,
            kind: row.get(3)?,
            avatar_id: row.get(4)?,
            attempts: row.get(5)?,
            reason: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        })
    })?;
    rows.collect()
}

/// The rest follows in the next round.
const DEAD_LETTERS_AT_ONCE: i64 = 64;
