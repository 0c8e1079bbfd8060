//! Rows of `recipients`: the health of each recipient of an e-mail channel.
//!
//! A row is inserted when the first attempt ends, and kept, since a reported condition has to be
//! resolved.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::recipient_health::RecipientHealth;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::{column, rows};

/// A failing recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingRecipient {
    /// Its address.
    pub address: String,
    pub(crate) since: Timestamp,
    pub(crate) reason: Option<String>,
}

/// The health of a recipient; healthy without a row.
pub(in crate::store) fn find(
    connection: &Connection,
    channel: &ChannelName,
    recipient: &str,
) -> rusqlite::Result<RecipientHealth> {
    let sql = "SELECT accepted_at, failure_since, failing_since, reason FROM recipients
               WHERE channel_id = ?1 AND recipient = ?2";
    let found = connection.prepare_cached(sql)?.query_row((channel, recipient), read).optional()?;
    Ok(found.unwrap_or_default())
}

/// When another recipient of the channel last accepted a message.
pub(in crate::store) fn others_delivered_at(
    connection: &Connection,
    channel: &ChannelName,
    recipient: &str,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT max(accepted_at) FROM recipients WHERE channel_id = ?1 AND recipient <> ?2";
    connection.prepare_cached(sql)?.query_row((channel, recipient), |row| row.get(0))
}

pub(in crate::store) fn save(
    connection: &Connection,
    channel: &ChannelName,
    recipient: &str,
    health: &RecipientHealth,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO recipients(channel_id, recipient, accepted_at, failure_since,
                                      failing_since, reason)
               VALUES(:channel, :recipient, :accepted_at, :failure_since, :failing_since, :reason)
               ON CONFLICT(channel_id, recipient) DO UPDATE SET accepted_at = excluded.accepted_at,
                 failure_since = excluded.failure_since, failing_since = excluded.failing_since,
                 reason = excluded.reason";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":channel": channel,
            ":recipient": recipient,
            ":accepted_at": health.delivered_at,
            ":failure_since": health.failure_since,
            ":failing_since": health.failing_since,
            ":reason": health.reason,
        })
        .map(drop)
}

/// Updates the recipients with an unreported failure after their channel recovered.
pub(in crate::store) fn on_channel_recovered(
    connection: &Connection,
    channel: &ChannelName,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "SELECT recipient FROM recipients WHERE channel_id = ?1 AND failure_since IS NOT NULL
                 AND failing_since IS NULL";
    for recipient in column::<String>(connection, sql, [channel])? {
        let health = find(connection, channel, &recipient)?.on_channel_recovered(now);
        save(connection, channel, &recipient, &health)?;
    }
    Ok(())
}

/// Resets the recipients of a channel with a new target.
pub(in crate::store) fn forget(
    connection: &Connection,
    channel: &ChannelName,
) -> rusqlite::Result<()> {
    let sql = "UPDATE recipients
               SET accepted_at = NULL, failure_since = NULL, failing_since = NULL, reason = NULL
               WHERE channel_id = ?1";
    connection.prepare_cached(sql)?.execute([channel]).map(drop)
}

/// The failing recipients of a channel, longest first.
pub(in crate::store) fn failing(
    connection: &Connection,
    channel: &ChannelName,
) -> rusqlite::Result<Vec<FailingRecipient>> {
    let sql = "SELECT recipient, failing_since, reason FROM recipients
               WHERE channel_id = ?1 AND failing_since IS NOT NULL
               ORDER BY failing_since, recipient";
    rows(connection, sql, [channel], |row| {
        Ok(FailingRecipient { address: row.get(0)?, since: row.get(1)?, reason: row.get(2)? })
    })
}

/// Makes the pending deliveries to this recipient due.
pub(in crate::store) fn reschedule_pending(
    connection: &Connection,
    channel: &ChannelName,
    recipient: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET next_attempt_at = :now, updated_at = :now
               WHERE channel_id = :channel AND recipient = :recipient
                 AND state IN ('pending','sending') AND state = 'pending'
                 AND next_attempt_at > :now AND attempts > 0";
    let parameters = named_params! {":channel": channel, ":recipient": recipient, ":now": now};
    connection.prepare_cached(sql)?.execute(parameters).map(drop)
}

/// Whether this recipient has accepted another message since the first attempt of that delivery.
pub(in crate::store) fn delivered_since(
    connection: &Connection,
    delivery: &DeliveryId,
) -> rusqlite::Result<bool> {
    let sql = "SELECT ifnull((SELECT min(started_at) FROM attempts WHERE delivery_id = d.id)
                             < (SELECT accepted_at FROM recipients r
                                WHERE r.channel_id = d.channel_id AND r.recipient = d.recipient), 0)
               FROM deliveries d WHERE d.id = ?1";
    connection.prepare_cached(sql)?.query_row([delivery], |row| row.get(0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<RecipientHealth> {
    Ok(RecipientHealth {
        delivered_at: row.get(0)?,
        failure_since: row.get(1)?,
        failing_since: row.get(2)?,
        reason: row.get(3)?,
    })
}
