//! Recovery from a process that was killed during attempts, and from a wall clock that was set
//! back.

use std::collections::BTreeMap;

use rusqlite::{Connection, named_params};

use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::delivery::{DeliveryId, Outcome, OutcomeClass, RetryState};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;
use crate::store::tables::outbox::{self, AttemptResult};

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

/// An attempt that an earlier process left open.
struct OpenAttempt {
    delivery: DeliveryId,
    channel: ChannelName,
    number: u32,
    boot_id: String,
    retry_state: RetryState,
    due_at_before_probe: Option<Timestamp>,
}

/// Ends the attempts that an earlier process left open, with an unknown outcome, and returns their
/// number. Those of a channel without a known policy stay open, since the policy decides whether
/// they are repeated.
pub(super) fn recover(
    connection: &Connection,
    recovery: &CrashRecovery,
    boot_id: &str,
) -> rusqlite::Result<usize> {
    let CrashRecovery { now, policies, random } = recovery;
    outbox::unblock_all(connection)?;
    let mut recovered = 0;
    for (salt, open) in (0..).zip(open_attempts(connection, boot_id)?) {
        let Some(policy) = policies.get(&open.channel) else { continue };
        let error = Some("the program ended before the response arrived".to_owned());
        let outcome = Outcome { error, ..Outcome::new(OutcomeClass::Unknown, "unknown") };
        let (due_at, random) = (open.due_at_before_probe, random.derive(salt));
        let result = AttemptResult {
            id: open.delivery,
            attempt: open.number,
            target: None,
            retry_state: open.retry_state.apply(&outcome, due_at, *now, policy, random),
            outcome,
            finished_at: *now,
            latency_ms: 0,
            random: random.derive(1),
        };
        outbox::record_result(connection, &result, &open.boot_id)?;
        recovered += 1;
    }
    Ok(recovered)
}

fn open_attempts(connection: &Connection, boot_id: &str) -> rusqlite::Result<Vec<OpenAttempt>> {
    let sql = "SELECT id, channel_id, attempts, lease_owner, charged_attempts, free_attempts,
                      unknown_streak, expires_at, due_at_before_probe
               FROM deliveries WHERE state = 'sending' AND lease_owner <> ?1";
    rows(connection, sql, [boot_id], |row| {
        Ok(OpenAttempt {
            delivery: row.get("id")?,
            channel: row.get("channel_id")?,
            number: row.get("attempts")?,
            boot_id: row.get("lease_owner")?,
            retry_state: outbox::read_retry_state(row)?,
            due_at_before_probe: row.get("due_at_before_probe")?,
        })
    })
}

/// Makes deliveries due that were delayed before the wall clock was set back, and moves times in
/// the future to now: the delays would otherwise last until the clock has caught up.
pub(super) fn reschedule_after_clock_step(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<()> {
    for sql in CLOCK_STEP {
        connection.prepare_cached(sql)?.execute(named_params! {":now": now})?;
    }
    Ok(())
}

const CLOCK_STEP: [&str; 3] = [
    "UPDATE channels
     SET not_before = min(not_before, :now), probe_at = min(probe_at, :now),
         failure_since = min(failure_since, :now), counted_since = min(counted_since, :now),
         misconfigured_since = min(misconfigured_since, :now),
         failing_since = min(failing_since, :now), suspended_since = min(suspended_since, :now),
         updated_at = :now
     WHERE updated_at > :now OR suspended_since > :now",
    "UPDATE recipients
     SET accepted_at = min(accepted_at, :now), failure_since = min(failure_since, :now),
         failing_since = min(failing_since, :now)
     WHERE accepted_at > :now OR failure_since > :now OR failing_since > :now",
    "UPDATE deliveries SET next_attempt_at = :now, updated_at = :now
     WHERE state IN ('pending','sending') AND state = 'pending' AND next_attempt_at > :now
       AND updated_at > :now",
];
