//! Recovery from a process that was killed during attempts, and from a wall clock that was set
//! back.

use std::collections::BTreeMap;

use rusqlite::{Connection, named_params};

use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::delivery::{Delivery, DeliveryId, DeliveryState, Outcome, OutcomeClass};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;
use crate::store::tables::outbox::{AttemptResult, record_result};

/// The input of the recovery of open attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashRecovery {
    /// The current time.
    pub now: Timestamp,
    /// The delivery policies, by channel.
    pub policies: BTreeMap<ChannelName, DeliveryPolicy>,
    /// Random bits for the jitter of delays.
    pub random: RandomBits,
}

/// Ends every attempt that an earlier process left open, with an unknown outcome, and returns their
/// number. Attempts of a channel without a known policy stay open, since the policy decides whether
/// they are repeated.
pub(super) fn recover(
    connection: &Connection,
    recovery: &CrashRecovery,
    boot_id: &str,
) -> rusqlite::Result<usize> {
    let sql = "SELECT id, attempts, lease_owner, budget_used, free_attempts, unknowns, expires_at,
                      channel_id, probe_of
               FROM deliveries WHERE state = 'sending' AND lease_owner <> ?1";
    let open = rows(connection, sql, [boot_id], |row| {
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
    let known = open.into_iter().filter_map(|(channel, row)| {
        let policy = recovery.policies.get(&channel)?;
        Some((policy, row))
    });
    let mut recovered = 0;
    for (salt, (policy, (id, attempt, owner, delivery, probe_of))) in (0..).zip(known) {
        let error = Some("the program ended before the response arrived".to_owned());
        let outcome = Outcome { error, ..Outcome::new(OutcomeClass::Unknown, "unknown") };
        let (now, random) = (recovery.now, recovery.random.derive(salt));
        let result = AttemptResult {
            id,
            attempt,
            target: None,
            delivery: delivery.apply_attempt(&outcome, probe_of, now, policy, random),
            outcome,
            finished_at: now,
            latency_ms: 0,
            random: random.derive(1),
        };
        record_result(connection, &result, &owner)?;
        recovered += 1;
    }
    Ok(recovered)
}

/// Makes rows with a timestamp in the future due now, and moves start times in the future to now:
/// the wall clock was set back since, and the delays would otherwise last until it has caught up.
pub(super) fn reschedule_after_clock_step(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let sql =
        "UPDATE channels SET not_before = min(not_before, :now), probe_at = min(probe_at, :now),
                 failure_since = min(failure_since, :now),
                 first_failure_at = min(first_failure_at, :now),
                 misconfigured_since = min(misconfigured_since, :now),
                 failing_since = min(failing_since, :now),
                 suspended_since = min(suspended_since, :now), updated_at = :now
               WHERE updated_at > :now OR suspended_since > :now";
    connection.prepare_cached(sql)?.execute(named_params! {":now": now})?;
    let sql = "UPDATE recipients SET accepted_at = min(accepted_at, :now),
                 failure_since = min(failure_since, :now), failing_since = min(failing_since, :now)
               WHERE accepted_at > :now OR failure_since > :now OR failing_since > :now";
    connection.prepare_cached(sql)?.execute(named_params! {":now": now})?;
    let sql = "UPDATE deliveries SET next_attempt_at = :now, updated_at = :now
               WHERE state = 'pending' AND next_attempt_at > :now AND updated_at > :now";
    connection.prepare_cached(sql)?.execute(named_params! {":now": now})
}
