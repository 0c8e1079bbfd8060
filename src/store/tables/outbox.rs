//! Rows of `deliveries` and `attempts`: the outbox. The row is the queue; there is no other.
//!
//! What always holds: a claim opens an attempt in the same transaction; a result is recorded
//! only for the attempt that it belongs to, and counts for or against its channel only while that
//! has the target that was called; within one channel, recipient and avatar nothing overtakes.

use rusqlite::{Connection, Row, named_params};

use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::ChannelHealth;
use crate::domain::delivery::{Delivery, DeliveryId, DeliveryState, Outcome};
use crate::domain::id::EventId;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::pending_alerts;
use crate::store::tables::channels;
use crate::store::tables::recipients;

/// A delivery to be written for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub channel: ChannelName,
    /// Who gets it; empty where the channel has one receiver only.
    pub recipient: String,
    /// The type of `body`.
    pub content_type: String,
    /// The bytes to send, on every try.
    pub body: Vec<u8>,
    /// Why they are the standard body instead of the channel's template, for people.
    pub fallback: Option<String>,
    /// When it is first tried, and until when.
    pub delivery: Delivery,
}

/// A delivery that was claimed for one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its id.
    pub id: DeliveryId,
    /// What it is about.
    pub event_id: EventId,
    /// Where it goes.
    pub channel: ChannelName,
    /// Who gets it.
    pub recipient: String,
    /// The avatar that it tells about; empty where there is none.
    pub avatar_id: String,
    /// The type of `body`.
    pub content_type: String,
    /// The bytes to send.
    pub body: Vec<u8>,
    /// The number of this attempt, from one; the result is recorded under it.
    pub attempt: u32,
    /// Where it stood before the claim, as far as outcomes change it.
    pub delivery: Delivery,
    /// When it is due, if that is not yet: it only tries whether the channel is well again.
    pub probe_of: Option<Timestamp>,
    /// Whether its recipient has taken another message since the first attempt at it.
    pub was_overtaken: bool,
}

/// Whom to claim for, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// How many each channel can take now.
    pub slots: Vec<(ChannelName, usize)>,
    /// The moment of the claim.
    pub now: Timestamp,
}

/// What was claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The deliveries to try now.
    pub claimed: Vec<Claimed>,
    /// When the next one of these channels becomes due, if nothing happens before.
    pub next_due_at: Option<Timestamp>,
    /// Whether operators have to be told of something.
    pub has_pending_alerts: bool,
}

/// The end of one try, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// Which delivery.
    pub id: DeliveryId,
    /// Which attempt.
    pub attempt: u32,
    /// The name of the target that was called; `None` when nobody knows any more.
    pub target: Option<String>,
    /// Where the delivery stands now.
    pub delivery: Delivery,
    /// How the try ended.
    pub outcome: Outcome,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// Chance, for what it means for the channel.
    pub roll: RandomBits,
}

/// What became of the end of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedResult {
    /// It is recorded, and reckoned with in the health of its channel.
    Recorded,
    /// It is recorded, and says nothing about the channel, which has another target by now.
    TargetChanged,
    /// The delivery was no longer in that try: nothing was recorded.
    Stale,
}

pub(in crate::store) fn insert(
    connection: &Connection,
    event_id: &EventId,
    avatar_id: &str,
    new: &NewDelivery,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries(id, event_id, avatar_id, channel_id, recipient, content_type,
                                    body, fallback, state, next_attempt_at, expires_at,
                                    created_at, updated_at)
             VALUES(:id, :event, :avatar, :channel, :recipient, :type,
                    :body, :fallback, :state, :next, :expires, :now, :now)",
        )?
        .execute(named_params! {
            ":id": new.id,
            ":event": event_id,
            ":avatar": avatar_id,
            ":channel": new.channel,
            ":recipient": new.recipient,
            ":type": new.content_type,
            ":body": new.body,
            ":fallback": new.fallback,
            ":state": new.delivery.state.name(),
            ":next": next_attempt_at(&new.delivery),
            ":expires": new.delivery.expires_at,
            ":now": now,
        })
        .map(drop)
}

/// Takes due deliveries for the channels that have room, oldest first, and opens an attempt for
/// each.
pub(in crate::store) fn claim(
    connection: &Connection,
    claim: &Claim,
    boot_id: &str,
) -> rusqlite::Result<Claims> {
    let mut claims =
        Claims { has_pending_alerts: pending_alerts::any(connection)?, ..Claims::default() };
    for (channel, room) in &claim.slots {
        let health = channels::find(connection, channel)?;
        let Some(ready_at) = health.ready_at() else { continue };
        let before = claims.claimed.len();
        if ready_at <= claim.now {
            let probed = health.is_limited_to_probe();
            let room = if !probed {
                *room
            } else if has_open_attempt(connection, channel)? {
                0
            } else {
                1.min(*room)
            };
            let which = match (health.is_tripped(), probed) {
                (true, _) => PROBE,
                (false, true) => OLDEST_DUE,
                (false, false) => DUE,
            };
            claim_channel(connection, claim, channel, (room, which), boot_id, &mut claims.claimed)?;
        }
        if claims.claimed.len() - before < *room {
            let next = next_due_at(connection, channel, &health, claim.now)?;
            claims.next_due_at = match (claims.next_due_at, next) {
                (Some(known), Some(next)) => Some(known.min(next)),
                (known, next) => known.or(next),
            };
        }
    }
    Ok(claims)
}

/// How many deliveries wait, for whatever.
pub(in crate::store) fn pending_counts(connection: &Connection) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM deliveries WHERE state = 'pending'";
    let waiting: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(usize::try_from(waiting).unwrap_or(0))
}

fn has_open_attempt(connection: &Connection, channel: &ChannelName) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS(SELECT 1 FROM deliveries WHERE channel_id = ?1 AND state = 'sending')",
        )?
        .query_row([channel], |row| row.get(0))
}

fn claim_channel(
    connection: &Connection,
    claim: &Claim,
    channel: &ChannelName,
    (room, (due, order)): (usize, (&str, &str)),
    boot_id: &str,
    claimed: &mut Vec<Claimed>,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE deliveries
         SET state = 'sending', lease_owner = :boot, attempts = attempts + 1, updated_at = :now,
             probe_of = iif(next_attempt_at > :now, next_attempt_at, NULL), next_attempt_at = NULL
         WHERE seq IN (
           SELECT d.seq FROM deliveries d
           WHERE d.channel_id = :channel AND d.state = 'pending' AND {due}
             AND NOT EXISTS(
               SELECT 1 FROM deliveries o
               WHERE o.channel_id = d.channel_id AND o.recipient = d.recipient
                 AND o.avatar_id = d.avatar_id AND o.state IN ('pending','sending')
                 AND o.seq < d.seq)
           ORDER BY {order} LIMIT :room)
         RETURNING id, event_id, channel_id, recipient, avatar_id, content_type, body, attempts,
                   budget_used, free_attempts, unknowns, expires_at, seq, probe_of",
    ))?;
    let rows = update.query_map(
        named_params! {
            ":boot": boot_id,
            ":now": claim.now,
            ":channel": channel,
            ":room": i64::try_from(room).unwrap_or(i64::MAX),
        },
        |row| Ok((row.get::<_, i64>(12)?, read_claimed(row)?)),
    )?;
    let mut batch = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    batch.sort_by_key(|(seq, _)| *seq);
    let mut open = connection.prepare_cached(
        "INSERT INTO attempts(delivery_id, no, trigger, started_at, boot_id)
         SELECT id, attempts, iif(manual_attempt = attempts, 'manual', 'scheduled'), ?2, ?3
         FROM deliveries WHERE id = ?1",
    )?;
    for (_, mut row) in batch {
        row.was_overtaken = recipients::delivered_since(connection, &row.id)?;
        open.execute((&row.id, claim.now, boot_id))?;
        claimed.push(row);
    }
    Ok(())
}

/// When the next pending delivery of a channel that may be told can be tried. Those that are due
/// but stand behind another one wait for that one, not for the clock.
fn next_due_at(
    connection: &Connection,
    channel: &ChannelName,
    health: &ChannelHealth,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let held_until = health.ready_at().filter(|ready_at| *ready_at > now);
    // While the channel waits, what is due waits with it.
    let after = if held_until.is_some() { Timestamp::from_millis(i64::MIN) } else { now };
    let due_at: Option<Timestamp> = connection
        .prepare_cached(
            "SELECT min(next_attempt_at) FROM deliveries
             WHERE channel_id = ?1 AND state = 'pending' AND next_attempt_at > ?2",
        )?
        .query_row((channel, after), |row| row.get(0))?;
    Ok(due_at.map(|due_at| match held_until {
        // A probe does not wait for what is due.
        Some(ready_at) if health.is_tripped() => ready_at,
        Some(ready_at) => due_at.max(ready_at),
        None => due_at,
    }))
}

/// Records the end of a try, if the delivery is still in it.
pub(in crate::store) fn record_result(
    connection: &Connection,
    settlement: &AttemptResult,
    boot_id: &str,
) -> rusqlite::Result<RecordedResult> {
    let delivery = &settlement.delivery;
    let touched = connection
        .prepare_cached(
            "UPDATE deliveries
             SET state = :state, next_attempt_at = :next, budget_used = :used,
                 free_attempts = :free, unknowns = :unknowns, final_reason = :reason,
                 last_class = :class, last_code = :code,
                 lease_owner = NULL, updated_at = :now
             WHERE id = :id AND state = 'sending' AND lease_owner = :boot AND attempts = :attempt",
        )?
        .execute(named_params! {
            ":state": delivery.state.name(),
            ":next": next_attempt_at(delivery),
            ":used": delivery.attempts_used,
            ":free": delivery.free_attempts,
            ":unknowns": delivery.unknowns,
            ":reason": final_reason(delivery),
            ":class": settlement.outcome.class.name(),
            ":code": settlement.outcome.code,
            ":now": settlement.finished_at,
            ":id": settlement.id,
            ":boot": boot_id,
            ":attempt": settlement.attempt,
        })?;
    if touched == 0 {
        return Ok(RecordedResult::Stale);
    }
    close_attempt(connection, settlement)?;
    if let DeliveryState::Failed { .. } = delivery.state {
        pending_alerts::suppress(connection, &settlement.id)?;
    }
    update_channel_health(connection, settlement)
}

/// What the end of a try means for its channel. One at a target that the channel no longer has
/// says nothing about the new one; and a wait that was meant for the old one is over.
fn update_channel_health(
    connection: &Connection,
    settlement: &AttemptResult,
) -> rusqlite::Result<RecordedResult> {
    let (channel, recipient, counted_in, is_elsewhere) = connection
        .prepare_cached(
            "SELECT d.channel_id, d.recipient, d.counted_in_run, ifnull(c.target_fp <> ?2, 0)
             FROM deliveries d JOIN channels c ON c.id = d.channel_id WHERE d.id = ?1",
        )?
        .query_row((&settlement.id, &settlement.target), |row| {
            let recipient: String = row.get(1)?;
            Ok((
                row.get::<_, ChannelName>(0)?,
                recipient,
                row.get::<_, Option<i64>>(2)?,
                row.get(3)?,
            ))
        })?;
    if is_elsewhere {
        connection
            .prepare_cached(
                "UPDATE deliveries SET next_attempt_at = ?2 WHERE id = ?1 AND state = 'pending'",
            )?
            .execute((&settlement.id, settlement.finished_at))?;
        return Ok(RecordedResult::TargetChanged);
    }
    let counted_in = counted_in.and_then(|streak| u64::try_from(streak).ok());
    let AttemptResult { outcome, delivery, finished_at: now, roll, .. } = settlement;
    let before = channels::find(connection, &channel)?;
    let alone = update_recipient_health(connection, settlement, &channel, &recipient, &before)?;
    let effect = if alone {
        before.clone().on_response()
    } else {
        before.clone().after(outcome, delivery, counted_in, *now, *roll)
    };
    channels::save(connection, &channel, &before, &effect.health, *now)?;
    if effect.counted {
        let streak = i64::try_from(effect.health.failure_run).unwrap_or(i64::MAX);
        connection
            .prepare_cached("UPDATE deliveries SET counted_in_run = ?2 WHERE id = ?1")?
            .execute((&settlement.id, streak))?;
    }
    if effect.reschedule_pending {
        channels::reschedule_pending(connection, &channel, *now)?;
    }
    if before.failing_since.is_some() && effect.health.failing_since.is_none() {
        recipients::on_channel_recovered(connection, &channel, *now)?;
    }
    Ok(RecordedResult::Recorded)
}

/// What the end of an attempt means for its recipient; whether it means nothing for the channel.
fn update_recipient_health(
    connection: &Connection,
    settlement: &AttemptResult,
    channel: &ChannelName,
    recipient: &str,
    health: &ChannelHealth,
) -> rusqlite::Result<bool> {
    if recipient.is_empty() {
        return Ok(false);
    }
    let AttemptResult { outcome, delivery, finished_at: now, .. } = settlement;
    let before = recipients::find(connection, channel, recipient)?;
    let others = recipients::others_delivered_at(connection, channel, recipient)?;
    // A channel that is only probed has to end its own trouble first.
    let others = others.filter(|_| !health.is_limited_to_probe());
    let alone = before.is_only_one_failing(outcome, others);
    let after = before.clone().after(outcome, delivery, alone, *now);
    recipients::save(connection, channel, recipient, &after)?;
    if before.failing_since.is_some() && after.failing_since.is_none() {
        recipients::reschedule_pending(connection, channel, recipient, *now)?;
    }
    Ok(alone)
}

fn close_attempt(connection: &Connection, settlement: &AttemptResult) -> rusqlite::Result<()> {
    let outcome = &settlement.outcome;
    connection
        .prepare_cached(
            "UPDATE attempts
             SET finished_at = :now, outcome = :class, phase = :phase, code = :code,
                 latency_ms = :latency, retry_after_s = :after, error = :error,
                 response_snippet = :snippet
             WHERE delivery_id = :id AND no = :attempt",
        )?
        .execute(named_params! {
            ":now": settlement.finished_at,
            ":class": outcome.class.name(),
            ":phase": outcome.phase,
            ":code": outcome.code,
            ":latency": i64::try_from(settlement.latency_ms).unwrap_or(i64::MAX),
            ":after": outcome.retry_after.map(|wait| i64::try_from(wait.as_secs()).unwrap_or(0)),
            ":error": outcome.error,
            ":snippet": outcome.snippet,
            ":id": settlement.id,
            ":attempt": settlement.attempt,
        })
        .map(drop)
}

fn read_claimed(row: &Row<'_>) -> rusqlite::Result<Claimed> {
    Ok(Claimed {
        id: row.get(0)?,
        event_id: row.get(1)?,
        channel: row.get(2)?,
        recipient: row.get(3)?,
        avatar_id: row.get(4)?,
        content_type: row.get(5)?,
        body: row.get(6)?,
        attempt: row.get(7)?,
        delivery: Delivery {
            state: DeliveryState::Sending,
            attempts_used: row.get(8)?,
            free_attempts: row.get(9)?,
            unknowns: row.get(10)?,
            expires_at: row.get(11)?,
        },
        probe_of: row.get(13)?,
        was_overtaken: false,
    })
}

fn next_attempt_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.state {
        DeliveryState::Pending { next_attempt_at } => Some(next_attempt_at),
        DeliveryState::Sending
        | DeliveryState::Delivered
        | DeliveryState::Failed { .. }
        | DeliveryState::Cancelled => None,
    }
}

fn final_reason(delivery: &Delivery) -> Option<&str> {
    match &delivery.state {
        DeliveryState::Failed { reason } => Some(reason),
        DeliveryState::Pending { .. }
        | DeliveryState::Sending
        | DeliveryState::Delivered
        | DeliveryState::Cancelled => None,
    }
}

/// What is due; what is due first goes first.
const DUE: (&str, &str) = ("d.next_attempt_at <= :now", "d.next_attempt_at, d.seq");
/// What is due; what was made first goes first, to recipients without trouble before all others.
const OLDEST_DUE: (&str, &str) = ("d.next_attempt_at <= :now", OLDEST);
/// The same, due or not.
const PROBE: (&str, &str) = ("true", OLDEST);
/// One recipient that takes nothing must not be all that is tried.
const OLDEST: &str = "EXISTS(
  SELECT 1 FROM recipients r WHERE r.channel_id = d.channel_id AND r.recipient = d.recipient
    AND r.failure_since IS NOT NULL), d.seq";
