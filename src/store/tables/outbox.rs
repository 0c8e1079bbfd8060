//! Rows of `deliveries` and `attempts`: the outbox, which is the only queue of deliveries.
//!
//! Invariants: a claim opens an attempt in the same transaction; a result is recorded only for its
//! own attempt, and affects the health of the channel only if its target is still the same; within
//! one channel, recipient and ordering key, deliveries are sent in order.

use rusqlite::{Connection, Row, named_params};

use crate::domain::alerts::AlertTiming;
use crate::domain::delivery::attempt_slots::AttemptSlots;
use crate::domain::delivery::channel_health::ChannelHealth;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::{DeliveryId, DeliveryState, Outcome, RetryState};
use crate::domain::id::EventId;
use crate::domain::ordering_key::OrderingKey;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::pending_alerts;
use crate::store::tables::channels;
use crate::store::tables::recipients;

/// A new delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Its channel.
    pub channel: ChannelName,
    /// The recipient; empty for a channel with a single receiver.
    pub recipient: String,
    /// The media type of `body`.
    pub content_type: String,
    /// The bytes to send in every attempt.
    pub body: Vec<u8>,
    /// Why the body is the standard one instead of the channel's template.
    pub fallback: Option<String>,
    /// Its state, with the first attempt and the expiry.
    pub retry_state: RetryState,
}

/// A delivery that is claimed for one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) event_id: EventId,
    /// The title of the event.
    pub(crate) title: String,
    pub(crate) channel: ChannelName,
    pub(crate) recipient: String,
    pub(crate) ordering_key: OrderingKey,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    /// The number of this attempt, from one.
    pub(crate) attempt: u32,
    /// Its state before the claim.
    pub(crate) retry_state: RetryState,
    /// When it is due, if it is sent earlier as a probe of the channel.
    pub(crate) due_at_before_probe: Option<Timestamp>,
    /// Whether its recipient has accepted another message since the first attempt.
    pub(crate) was_overtaken: bool,
}

/// The result of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimResult {
    pub(crate) claimed: Vec<ClaimedDelivery>,
    /// When the next delivery of these channels becomes due.
    pub(crate) next_due_at: Option<Timestamp>,
    pub(crate) has_due_alerts: bool,
    /// The channels with a pause that has ended.
    pub(crate) resumed: Vec<ChannelName>,
}

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    pub(crate) id: DeliveryId,
    pub(crate) attempt: u32,
    /// The fingerprint of the target; `None` when it is unknown.
    pub(crate) target: Option<String>,
    pub(crate) retry_state: RetryState,
    pub(crate) outcome: Outcome,
    pub(crate) finished_at: Timestamp,
    pub(crate) latency_ms: u64,
    /// Random bits for the delays of the channel.
    pub(crate) random: RandomBits,
}

/// How the result of an attempt was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedResult {
    /// It is recorded, and the health of the channel is updated.
    Recorded,
    /// It is recorded; the channel has another target now, so its health is unchanged.
    TargetChanged,
    /// The delivery was no longer in that attempt; no row is changed.
    Stale,
}

/// Inserts a delivery; a body that is that of the event is stored with the event only.
pub(in crate::store) fn insert(
    connection: &Connection,
    event_id: &EventId,
    ordering_key: &OrderingKey,
    event_body: &[u8],
    new: &NewDelivery,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO deliveries(id, event_id, ordering_key, channel_id, recipient,
                                      content_type, body, fallback, state, next_attempt_at,
                                      blocked, expires_at, created_at, updated_at)
               SELECT :id, :event, :key, :channel, :recipient, :type,
                      :body, :fallback, :state, :next,
                      EXISTS(SELECT 1 FROM deliveries WHERE channel_id = :channel
                        AND recipient = :recipient AND ordering_key = :key
                        AND state IN ('pending','sending')),
                      :expires, :now, :now";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":id": new.id,
            ":event": event_id,
            ":key": ordering_key,
            ":channel": new.channel,
            ":recipient": new.recipient,
            ":type": new.content_type,
            ":body": (new.body != event_body).then_some(&new.body),
            ":fallback": new.fallback,
            ":state": new.retry_state.state.name(),
            ":next": next_attempt_at(&new.retry_state),
            ":expires": new.retry_state.expires_at,
            ":now": now,
        })
        .map(drop)
}

/// Claims due deliveries for the channels with free slots, oldest first, and opens an attempt for
/// each.
pub(in crate::store) fn claim(
    connection: &Connection,
    slots: &AttemptSlots,
    timing: AlertTiming,
    now: Timestamp,
    boot_id: &str,
) -> rusqlite::Result<ClaimResult> {
    let mut claims = ClaimResult {
        resumed: channels::end_due_pauses(connection, now)?,
        has_due_alerts: pending_alerts::any_due(connection, timing, now)?,
        ..ClaimResult::default()
    };
    let mut shared = slots.shared;
    for slots in &slots.channels {
        let channel = &slots.channel;
        let health = channels::find(connection, channel)?.unwrap_or_default();
        let Some(ready_at) = health.ready_at() else { continue };
        let before = claims.claimed.len();
        if ready_at <= now {
            let probe_only = health.is_limited_to_probe();
            let limit = match probe_only {
                false => slots.within(shared),
                true if has_open_attempt(connection, channel)? => 0,
                true => 1.min(slots.within(shared)),
            };
            let selection = match (health.is_tripped(), probe_only) {
                (true, _) => PROBE,
                (false, true) => OLDEST_DUE,
                (false, false) => DUE,
            };
            let claimed = claim_channel(connection, now, channel, selection, limit, boot_id)?;
            claims.claimed.extend(claimed);
        }
        let started = claims.claimed.len() - before;
        shared = slots.rest(shared, started);
        if started < slots.most() {
            let next = next_due_at(connection, channel, &health, now)?;
            claims.next_due_at = claims.next_due_at.into_iter().chain(next).min();
        }
    }
    Ok(claims)
}

pub(in crate::store) fn pending_count(connection: &Connection) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM deliveries
               WHERE state IN ('pending','sending') AND state = 'pending'";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

fn has_open_attempt(connection: &Connection, channel: &ChannelName) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM deliveries WHERE channel_id = ?1 AND state = 'sending')";
    connection.prepare_cached(sql)?.query_row([channel], |row| row.get(0))
}

fn claim_channel(
    connection: &Connection,
    now: Timestamp,
    channel: &ChannelName,
    Selection { condition, order }: Selection,
    limit: usize,
    boot_id: &str,
) -> rusqlite::Result<Vec<ClaimedDelivery>> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE deliveries
         SET state = 'sending', lease_owner = :boot, attempts = attempts + 1, updated_at = :now,
             due_at_before_probe = iif(next_attempt_at > :now, next_attempt_at, NULL),
             next_attempt_at = NULL
         WHERE seq IN (
           SELECT d.seq FROM deliveries d
           WHERE d.channel_id = :channel AND d.state = 'pending' AND d.blocked = 0 AND {condition}
           ORDER BY {order} LIMIT :limit)
         RETURNING id, event_id, channel_id, recipient, ordering_key, content_type,
                   {BODY} AS body, attempts, charged_attempts, free_attempts, unknown_streak,
                   expires_at, seq, due_at_before_probe,
                   (SELECT title FROM events WHERE id = event_id) AS title",
    ))?;
    let parameters =
        named_params! {":boot": boot_id, ":now": now, ":channel": channel, ":limit": limit};
    let rows =
        update.query_map(parameters, |row| Ok((row.get::<_, i64>("seq")?, read_claimed(row)?)))?;
    let mut claimed = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    claimed.sort_by_key(|(seq, _)| *seq);
    let mut open = connection.prepare_cached(
        "INSERT INTO attempts(delivery_id, no, trigger, started_at, boot_id)
         SELECT id, attempts, iif(manual_attempt = attempts, 'manual', 'scheduled'), ?2, ?3
         FROM deliveries WHERE id = ?1",
    )?;
    let mut opened = |(_, mut delivery): (_, ClaimedDelivery)| {
        delivery.was_overtaken = recipients::delivered_since(connection, &delivery.id)?;
        open.execute((&delivery.id, now, boot_id))?;
        Ok(delivery)
    };
    claimed.into_iter().map(&mut opened).collect()
}

/// When the next pending delivery of a channel can be attempted. A due delivery behind another one
/// waits for that one, not for a time.
fn next_due_at(
    connection: &Connection,
    channel: &ChannelName,
    health: &ChannelHealth,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let held_until = health.ready_at().filter(|ready_at| *ready_at > now);
    // During the backoff of the channel, due deliveries wait as well.
    let after = if held_until.is_some() { Timestamp::from_millis(i64::MIN) } else { now };
    let sql = "SELECT min(next_attempt_at) FROM deliveries
               WHERE channel_id = ?1 AND state = 'pending' AND blocked = 0
                 AND next_attempt_at > ?2";
    let due_at: Option<Timestamp> =
        connection.prepare_cached(sql)?.query_row((channel, after), |row| row.get(0))?;
    Ok(due_at.map(|due_at| match held_until {
        // A probe does not wait until a delivery is due.
        Some(ready_at) if health.is_tripped() => ready_at,
        Some(ready_at) => due_at.max(ready_at),
        None => due_at,
    }))
}

/// Records the result of an attempt, if the delivery is still in it.
pub(in crate::store) fn record_result(
    connection: &Connection,
    result: &AttemptResult,
    boot_id: &str,
) -> rusqlite::Result<RecordedResult> {
    let retry_state = &result.retry_state;
    let sql = "UPDATE deliveries
               SET state = :state, next_attempt_at = :next, charged_attempts = :used,
                   free_attempts = :free, unknown_streak = :unknown_streak, final_reason = :reason,
                   last_class = :class, last_code = :code,
                   lease_owner = NULL, updated_at = :now
               WHERE id = :id AND state = 'sending' AND lease_owner = :boot
                 AND attempts = :attempt";
    let updated = connection.prepare_cached(sql)?.execute(named_params! {
        ":state": retry_state.state.name(),
        ":next": next_attempt_at(retry_state),
        ":used": retry_state.charged_attempts,
        ":free": retry_state.free_attempts,
        ":unknown_streak": retry_state.unknown_streak,
        ":reason": final_reason(retry_state),
        ":class": result.outcome.class.name(),
        ":code": result.outcome.code,
        ":now": result.finished_at,
        ":id": result.id,
        ":boot": boot_id,
        ":attempt": result.attempt,
    })?;
    if updated == 0 {
        return Ok(RecordedResult::Stale);
    }
    close_attempt(connection, result)?;
    if retry_state.state.is_final() {
        unblock_next(connection, &result.id)?;
    }
    if let DeliveryState::Dead { .. } = retry_state.state {
        pending_alerts::suppress(connection, &result.id)?;
    }
    update_channel_health(connection, result)
}

/// Lets the next delivery be sent that waits for this one, which is finished.
pub(in crate::store) fn unblock_next(
    connection: &Connection,
    finished: &DeliveryId,
) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET blocked = 0
               WHERE blocked = 1 AND seq = (
                 SELECT min(o.seq) FROM deliveries d JOIN deliveries o
                   ON o.channel_id = d.channel_id AND o.recipient = d.recipient
                   AND o.ordering_key = d.ordering_key AND o.state IN ('pending','sending')
                 WHERE d.id = ?1)";
    connection.prepare_cached(sql)?.execute([finished]).map(drop)
}

/// Lets all deliveries be sent that wait for none, whatever left them blocked.
pub(in crate::store) fn unblock_all(connection: &Connection) -> rusqlite::Result<usize> {
    let sql = format!("UPDATE deliveries AS d SET blocked = 0 WHERE {WAITS_FOR_NONE}");
    connection.prepare_cached(&sql)?.execute(())
}

/// Updates the health of the channel. An attempt at an old target does not affect it, and ends the
/// delay that it caused.
fn update_channel_health(
    connection: &Connection,
    result: &AttemptResult,
) -> rusqlite::Result<RecordedResult> {
    let sql = "SELECT d.channel_id, d.recipient, d.counted_in_run, ifnull(c.target_fp <> ?2, 0)
               FROM deliveries d JOIN channels c ON c.id = d.channel_id WHERE d.id = ?1";
    let (channel, recipient, counted_in, has_other_target): (_, String, Option<i64>, bool) =
        connection
            .prepare_cached(sql)?
            .query_row((&result.id, &result.target), |row| row.try_into())?;
    if result.retry_state.state == DeliveryState::Delivered {
        let sql = "UPDATE channels SET delivered_at = ?2
                   WHERE id = ?1 AND (delivered_at IS NULL OR delivered_at < ?2)";
        connection.prepare_cached(sql)?.execute((&channel, result.finished_at))?;
    }
    if has_other_target {
        let sql = "UPDATE deliveries SET next_attempt_at = ?2 WHERE id = ?1 AND state = 'pending'";
        connection.prepare_cached(sql)?.execute((&result.id, result.finished_at))?;
        return Ok(RecordedResult::TargetChanged);
    }
    let counted_in = counted_in.and_then(|run| u64::try_from(run).ok());
    let AttemptResult { outcome, retry_state, finished_at: now, random, .. } = result;
    let before = channels::find(connection, &channel)?.unwrap_or_default();
    let only_recipient_fails =
        update_recipient_health(connection, result, &channel, &recipient, &before)?;
    let update = if only_recipient_fails {
        before.clone().on_response()
    } else {
        before.clone().after_attempt(outcome, retry_state, counted_in, *now, *random)
    };
    channels::save(connection, &channel, &before, &update.health, *now)?;
    if update.counted {
        let sql = "UPDATE deliveries SET counted_in_run = ?2 WHERE id = ?1";
        let run = i64::try_from(update.health.failure_run).unwrap_or(i64::MAX);
        connection.prepare_cached(sql)?.execute((&result.id, run))?;
    }
    if update.reschedule_pending {
        channels::reschedule_pending(connection, &channel, *now)?;
    }
    if before.failing_since.is_some() && update.health.failing_since.is_none() {
        recipients::on_channel_recovered(connection, &channel, *now)?;
    }
    Ok(RecordedResult::Recorded)
}

/// Updates the health of the recipient; returns whether only the recipient fails, not the channel.
fn update_recipient_health(
    connection: &Connection,
    result: &AttemptResult,
    channel: &ChannelName,
    recipient: &str,
    health: &ChannelHealth,
) -> rusqlite::Result<bool> {
    if recipient.is_empty() {
        return Ok(false);
    }
    let AttemptResult { outcome, retry_state, finished_at: now, .. } = result;
    let before = recipients::find(connection, channel, recipient)?;
    let others = recipients::others_delivered_at(connection, channel, recipient)?;
    // A channel that is limited to probes has to recover first.
    let others = others.filter(|_| !health.is_limited_to_probe());
    let only_recipient_fails = before.is_only_one_failing(outcome, others);
    let after = before.clone().after(outcome, retry_state, only_recipient_fails, *now);
    recipients::save(connection, channel, recipient, &after)?;
    if before.failing_since.is_some() && after.failing_since.is_none() {
        recipients::reschedule_pending(connection, channel, recipient, *now)?;
    }
    Ok(only_recipient_fails)
}

fn close_attempt(connection: &Connection, result: &AttemptResult) -> rusqlite::Result<()> {
    let outcome = &result.outcome;
    let sql = "UPDATE attempts
               SET finished_at = :now, outcome = :class, phase = :phase, code = :code,
                   latency_ms = :latency, retry_after_s = :after, error = :error,
                   response_snippet = :snippet
               WHERE delivery_id = :id AND no = :attempt";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":now": result.finished_at,
            ":class": outcome.class.name(),
            ":phase": outcome.phase,
            ":code": outcome.code,
            ":latency": result.latency_ms,
            ":after": outcome.retry_after.map(|wait| i64::try_from(wait.as_secs()).unwrap_or(0)),
            ":error": outcome.error,
            ":snippet": outcome.snippet,
            ":id": result.id,
            ":attempt": result.attempt,
        })
        .map(drop)
}

fn read_claimed(row: &Row<'_>) -> rusqlite::Result<ClaimedDelivery> {
    Ok(ClaimedDelivery {
        id: row.get("id")?,
        event_id: row.get("event_id")?,
        title: row.get("title")?,
        channel: row.get("channel_id")?,
        recipient: row.get("recipient")?,
        ordering_key: row.get("ordering_key")?,
        content_type: row.get("content_type")?,
        body: row.get("body")?,
        attempt: row.get("attempts")?,
        retry_state: read_retry_state(row)?,
        due_at_before_probe: row.get("due_at_before_probe")?,
        was_overtaken: false,
    })
}

/// Reads the state of a delivery that is being sent.
pub(in crate::store) fn read_retry_state(row: &Row<'_>) -> rusqlite::Result<RetryState> {
    Ok(RetryState {
        state: DeliveryState::Sending,
        charged_attempts: row.get("charged_attempts")?,
        free_attempts: row.get("free_attempts")?,
        unknown_streak: row.get("unknown_streak")?,
        expires_at: row.get("expires_at")?,
    })
}

fn next_attempt_at(retry_state: &RetryState) -> Option<Timestamp> {
    match retry_state.state {
        DeliveryState::Pending { next_attempt_at } => Some(next_attempt_at),
        DeliveryState::Sending | DeliveryState::Delivered | DeliveryState::Dead { .. } => None,
    }
}

fn final_reason(retry_state: &RetryState) -> Option<&str> {
    match &retry_state.state {
        DeliveryState::Dead { reason } => Some(reason),
        DeliveryState::Pending { .. } | DeliveryState::Sending | DeliveryState::Delivered => None,
    }
}

/// The body of a row of `deliveries`.
pub(in crate::store) const BODY: &str =
    "coalesce(body, (SELECT e.body FROM events e WHERE e.id = event_id))";

/// Whether a delivery `d` is blocked, and no older one of its line is open.
pub(in crate::store) const WAITS_FOR_NONE: &str = "
  d.state IN ('pending','sending') AND d.blocked = 1 AND NOT EXISTS(
    SELECT 1 FROM deliveries o
    WHERE o.channel_id = d.channel_id AND o.recipient = d.recipient
      AND o.ordering_key = d.ordering_key AND o.state IN ('pending','sending')
      AND o.seq < d.seq)";

/// Which deliveries `d` of a channel are claimed, and in which order.
struct Selection {
    condition: &'static str,
    order: &'static str,
}

/// Due deliveries, in the order in which they became due.
const DUE: Selection = Selection { condition: IS_DUE, order: "d.next_attempt_at, d.seq" };
/// Due deliveries, oldest first; healthy recipients before failing ones.
const OLDEST_DUE: Selection = Selection { condition: IS_DUE, order: OLDEST };
/// All pending deliveries, in the same order.
const PROBE: Selection = Selection { condition: "true", order: OLDEST };

const IS_DUE: &str = "d.next_attempt_at <= :now";
/// A failing recipient must not be the only one that is attempted.
const OLDEST: &str = "EXISTS(
  SELECT 1 FROM recipients r WHERE r.channel_id = d.channel_id AND r.recipient = d.recipient
    AND r.failure_since IS NOT NULL), d.seq";
