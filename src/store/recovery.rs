//! Making up for what happened to us: a process that died in the middle of tries, a wall clock
//! that was set back.

use std::collections::BTreeMap;

use rusqlite::{Connection, named_params};

use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::delivery::{Delivery, DeliveryId, DeliveryState, Outcome, OutcomeClass};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::tables::outbox::{AttemptResult, record_result};

/// What taking back open tries needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashRecovery {
    /// The moment of it.
    pub now: Timestamp,
    /// What holds for deliveries, by channel.
    pub policies: BTreeMap<ChannelName, DeliveryPolicy>,
    /// Chance, for the waits.
    pub roll: RandomBits,
}

/// Takes back every try that a process before this one left open: nobody knows how it ended.
/// Those of a channel whose terms are not known stay open until they are: whether they may be sent
/// again is for the channel to say. The number of tries taken back.
pub(super) fn recover(
    connection: &Connection,
    recovery: &CrashRecovery,
    boot_id: &str,
) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(
        "SELECT id, attempts, lease_owner, budget_used, free_attempts, unknowns, expires_at,
                channel_id, probe_of
         FROM deliveries WHERE state = 'sending' AND lease_owner <> ?1",
    )?;
    let rows = statement.query_map([boot_id], |row| {
        let delivery = Delivery {
            state: DeliveryState::Sending,
            attempts_used: row.get(3)?,
            free_attempts: row.get(4)?,
            unknowns: row.get(5)?,
            expires_at: row.get(6)?,
        };
        let (id, attempt): (DeliveryId, u32) = (row.get(0)?, row.get(1)?);
        let (owner, channel): (String, ChannelName) = (row.get(2)?, row.get(7)?);
        Ok((channel, (id, attempt, owner, delivery, row.get(8)?)))
    })?;
    let open = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let known = open.into_iter().filter_map(|(channel, row)| {
        let terms = recovery.policies.get(&channel)?;
        Some((terms, row))
    });
    let mut taken_back = 0;
    for (salt, (terms, (id, attempt, owner, delivery, probe_of))) in (0..).zip(known) {
        let outcome = unknown_outcome();
        let (now, roll) = (recovery.now, recovery.roll.derive(salt));
        let settlement = AttemptResult {
            id,
            attempt,
            target: None,
            delivery: delivery.apply_attempt(&outcome, probe_of, now, terms, roll),
            outcome,
            finished_at: now,
            latency_ms: 0,
            roll: roll.derive(1),
        };
        record_result(connection, &settlement, &owner)?;
        taken_back += 1;
    }
    Ok(taken_back)
}

/// The outcome of a try that nobody saw the end of.
fn unknown_outcome() -> Outcome {
    Outcome {
        error: Some("the program ended before the answer came".to_owned()),
        ..Outcome::new(OutcomeClass::Unknown, "unknown")
    }
}

/// Makes due what was written at a moment that is yet to come, and lets what lasts have begun now:
/// the wall clock was set back since, and the wait, or the time in which nothing has lasted yet,
/// would go on until it has caught up.
pub(super) fn reschedule_after_clock_step(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE channels SET not_before = min(not_before, :now), probe_at = min(probe_at, :now),
               failure_since = min(failure_since, :now),
               first_failure_at = min(first_failure_at, :now),
               misconfigured_since = min(misconfigured_since, :now),
               failing_since = min(failing_since, :now),
               suspended_since = min(suspended_since, :now), updated_at = :now
             WHERE updated_at > :now OR suspended_since > :now",
        )?
        .execute(named_params! {":now": now})?;
    connection
        .prepare_cached(
            "UPDATE recipients SET accepted_at = min(accepted_at, :now),
               failure_since = min(failure_since, :now), failing_since = min(failing_since, :now)
             WHERE accepted_at > :now OR failure_since > :now OR failing_since > :now",
        )?
        .execute(named_params! {":now": now})?;
    connection
        .prepare_cached(
            "UPDATE deliveries SET next_attempt_at = :now, updated_at = :now
             WHERE state = 'pending' AND next_attempt_at > :now AND updated_at > :now",
        )?
        .execute(named_params! {":now": now})
}
