//! Rows of `channels`: the health of each channel.
//!
//! Invariants: the time during which a channel is suspended does not count towards the expiry of
//! its deliveries; a channel that is not in the config keeps its row and its pending deliveries.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, named_params};

use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState, Pause};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::{column, rows};
use crate::store::tables::recipients;

/// A channel of the config, as registered in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTarget {
    /// Its name.
    pub name: ChannelName,
    /// A fingerprint of its target; the health of a channel is reset when it changes.
    pub fingerprint: String,
}

/// The result of registering the channels of a config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelChanges {
    /// Channels that were disabled, and are active again since their target changed.
    pub(crate) enabled: Vec<ChannelName>,
    /// Channels that are not in the config, with the number of their pending deliveries.
    pub(crate) unconfigured: Vec<(ChannelName, u64)>,
}

pub(in crate::store) fn register(
    connection: &Connection,
    channels: &[ChannelTarget],
    now: Timestamp,
    boot_id: &str,
) -> rusqlite::Result<ChannelChanges> {
    let mut registration = ChannelChanges::default();
    for ChannelTarget { name, fingerprint } in channels {
        let sql = "SELECT target_fp FROM channels WHERE id = ?1";
        let Some(before) = column::<String>(connection, sql, [name])?.pop() else {
            let sql = "INSERT INTO channels(id, target_fp) VALUES(?1, ?2)";
            connection.prepare_cached(sql)?.execute((name, fingerprint))?;
            continue;
        };
        let sql = "UPDATE channels SET target_fp = ?2, unconfigured = 0
                   WHERE id = ?1 AND (target_fp <> ?2 OR unconfigured = 1)";
        connection.prepare_cached(sql)?.execute((name, fingerprint))?;
        if before != *fingerprint {
            // Failures of the old target do not concern the new one.
            let health = find(connection, name)?.unwrap_or_default();
            if health.state == ChannelState::Disabled {
                registration.enabled.push(name.clone());
            }
            let state = match health.state {
                ChannelState::Paused => ChannelState::Paused,
                ChannelState::Active | ChannelState::Disabled => ChannelState::Active,
            };
            let failure_run = health.failure_run + 1;
            let pause = health.pause.clone();
            let fresh = ChannelHealth { state, failure_run, pause, ..ChannelHealth::default() };
            save(connection, name, &health, &fresh, now)?;
            recipients::forget(connection, name)?;
            reschedule_pending(connection, name, now)?;
        }
        extend_expiry_for_pause(connection, name, now)?;
    }
    let known: BTreeSet<&ChannelName> = channels.iter().map(|channel| &channel.name).collect();
    let sql = "SELECT id FROM channels ORDER BY id";
    let rows: Vec<ChannelName> = column(connection, sql, [])?;
    for name in rows.into_iter().filter(|name| !known.contains(name)) {
        let sql = "UPDATE channels SET unconfigured = 1 WHERE id = ?1 AND unconfigured = 0";
        connection.prepare_cached(sql)?.execute([&name])?;
        extend_expiry_for_pause(connection, &name, now)?;
        let sql = "SELECT count(*) FROM deliveries
                   WHERE channel_id = ?1 AND state IN ('pending','sending')
                     AND (state = 'pending' OR lease_owner <> ?2)";
        let waiting =
            connection.prepare_cached(sql)?.query_row((&name, boot_id), |row| row.get(0))?;
        if waiting > 0 {
            registration.unconfigured.push((name, waiting));
        }
    }
    Ok(registration)
}

pub(in crate::store) fn find(
    connection: &Connection,
    name: &ChannelName,
) -> rusqlite::Result<Option<ChannelHealth>> {
    let sql =
        "SELECT state, reason, not_before, probe_at, half_open, failure_run, failed_deliveries,
                      failure_since, counted_since, misconfigured_since, failing_since,
                      paused_until, pause_reason
               FROM channels WHERE id = ?1";
    Ok(rows(connection, sql, [name], read)?.pop())
}

/// Writes the health of a channel, if it changed.
pub(in crate::store) fn save(
    connection: &Connection,
    name: &ChannelName,
    before: &ChannelHealth,
    health: &ChannelHealth,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if before == health {
        return Ok(());
    }
    let sql = "UPDATE channels SET state = :state, reason = :reason, not_before = :not_before,
                 probe_at = :probe_at, half_open = :half_open, failure_run = :failure_run,
                 failed_deliveries = :failed_deliveries, failure_since = :failure_since,
                 counted_since = :counted_since, misconfigured_since = :misconfigured_since,
                 failing_since = :failing_since, paused_until = :paused_until,
                 pause_reason = :pause_reason, updated_at = :now
               WHERE id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": name,
        ":state": health.state.name(),
        ":reason": health.reason,
        ":not_before": health.not_before,
        ":probe_at": health.probe_at,
        ":half_open": health.half_open,
        ":failure_run": i64::try_from(health.failure_run).unwrap_or(i64::MAX),
        ":failed_deliveries": health.failed_deliveries,
        ":failure_since": health.failure_since,
        ":counted_since": health.counted_since,
        ":misconfigured_since": health.misconfigured_since,
        ":failing_since": health.failing_since,
        ":paused_until": health.pause.until,
        ":pause_reason": health.pause.reason,
        ":now": now,
    })?;
    if before.state == health.state {
        return Ok(());
    }
    extend_expiry_for_pause(connection, name, now)
}

/// Ends the pauses that have lasted until their end, and returns their channels.
pub(in crate::store) fn end_due_pauses(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<Vec<ChannelName>> {
    let sql = "SELECT id FROM channels WHERE state = 'paused' AND paused_until <= ?1 ORDER BY id";
    let due: Vec<ChannelName> = column(connection, sql, [now])?;
    for name in &due {
        let Some(before) = find(connection, name)? else { continue };
        save(connection, name, &before, &before.clone().resumed(), now)?;
    }
    Ok(due)
}

/// Makes the pending deliveries of a channel due.
pub(in crate::store) fn reschedule_pending(
    connection: &Connection,
    name: &ChannelName,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET next_attempt_at = :now, updated_at = :now
               WHERE channel_id = :channel AND state = 'pending' AND blocked = 0
                 AND next_attempt_at > :now AND attempts > 0";
    connection.prepare_cached(sql)?.execute(named_params! {":channel": name, ":now": now}).map(drop)
}

/// Records since when a channel is suspended; at the end of that, extends the expiry of its pending
/// deliveries by the time of the suspension.
fn extend_expiry_for_pause(
    connection: &Connection,
    name: &ChannelName,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let parks = "UPDATE channels SET suspended_since = :now
                 WHERE id = :channel AND suspended_since IS NULL
                   AND (state <> 'active' OR unconfigured = 1)";
    let parameters = named_params! {":channel": name, ":now": now};
    connection.prepare_cached(parks)?.execute(parameters)?;
    let lengthens = "UPDATE deliveries
                     SET expires_at = expires_at + max(0, :now - max(created_at, (
                       SELECT suspended_since FROM channels WHERE id = :channel)))
                     WHERE channel_id = :channel AND state IN ('pending','sending')
                       AND EXISTS(SELECT 1 FROM channels WHERE id = :channel AND state = 'active'
                         AND unconfigured = 0 AND suspended_since IS NOT NULL)";
    connection.prepare_cached(lengthens)?.execute(parameters)?;
    let resumes = "UPDATE channels SET suspended_since = NULL
                   WHERE id = :channel AND state = 'active' AND unconfigured = 0
                     AND suspended_since IS NOT NULL";
    connection.prepare_cached(resumes)?.execute(named_params! {":channel": name}).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChannelHealth> {
    let state: String = row.get(0)?;
    Ok(ChannelHealth {
        // The table has a constraint for these values.
        state: ChannelState::from_name(&state).unwrap_or_default(),
        reason: row.get(1)?,
        not_before: row.get(2)?,
        probe_at: row.get(3)?,
        half_open: row.get(4)?,
        failure_run: row.get(5).map(|run: i64| u64::try_from(run).unwrap_or(0))?,
        failed_deliveries: row.get(6)?,
        failure_since: row.get(7)?,
        counted_since: row.get(8)?,
        misconfigured_since: row.get(9)?,
        failing_since: row.get(10)?,
        pause: Pause { until: row.get(11)?, reason: row.get(12)? },
    })
}
