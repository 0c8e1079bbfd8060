//! One try at a delivery: send, judge, write down the end. A step, not a loop.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::select;
use tracing::{debug, error, info, warn};

use crate::daemon::background::log_throttle::{Key, Resolution};
use crate::daemon::context::DaemonContext;
use crate::daemon::dispatcher::local_fault::LocalFaultDetector;
use crate::daemon::poller::poll::{log_write_failed, log_write_recovered};
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::runtime_config::{ChannelRuntime, RuntimeConfig};
use crate::domain::delivery::{DeliveryState, Outcome, OutcomeClass};
use crate::domain::time::monotonic::Monotonic;
use crate::notify::message::OutboundMessage;
use crate::runtime::event_bus::LiveEvent;
use crate::store::error::{Recovery, StoreError};
use crate::store::tables::outbox::{AttemptResult, Claimed, RecordedResult};

/// Makes one try at what was claimed for a channel of `plan`, and records how it ended. `witness`
/// knows what all tries together tell about ourselves.
///
/// # Errors
/// When the store fails for good.
pub async fn run_attempt<S, N: Notifier, C: Clock>(
    context: DaemonContext<C>,
    config: Arc<RuntimeConfig<S, N>>,
    local_fault: Arc<LocalFaultDetector>,
    mut claimed: Claimed,
) -> Result<(), StoreError> {
    let Some(ChannelRuntime { notifier, policy, target, attempt_timeout, .. }) =
        config.channels.get(&claimed.channel)
    else {
        return Ok(());
    };
    let message = OutboundMessage {
        delivery_id: claimed.id.clone(),
        event_id: claimed.event_id.clone(),
        recipient: std::mem::take(&mut claimed.recipient),
        content_type: std::mem::take(&mut claimed.content_type),
        body: std::mem::take(&mut claimed.body),
    };
    let begun = context.clock.monotonic();
    let sending = notifier.deliver(&message, context.clock.now());
    let outcome = select! {
        biased;
        ended = AssertUnwindSafe(sending).catch_unwind() => ended.unwrap_or_else(|_| {
            error!("a try at a delivery broke off: this is a bug");
            panicked()
        }),
        outcome = hard_timeout(&context.clock, begun, *attempt_timeout) => outcome,
    };
    let (finished_at, ended) = (context.clock.now(), context.clock.monotonic());
    let outcome = local_fault.reclassify(&claimed.channel, outcome, config.channels.keys(), ended);
    let outcome = if claimed.was_overtaken { outcome.after_accepted_message() } else { outcome };
    local_fault.check_clock_skew(&claimed.channel, outcome.clock, finished_at);
    let random = context.rng.next_bits();
    let delivery = claimed.delivery.clone();
    let delivery = delivery.apply_attempt(&outcome, claimed.probe_of, finished_at, policy, random);
    let attempt_result = AttemptResult {
        id: claimed.id.clone(),
        attempt: claimed.attempt,
        target: Some(target.clone()),
        delivery,
        outcome,
        finished_at,
        latency_ms: u64::try_from(ended.since(begun).as_millis()).unwrap_or(u64::MAX),
        roll: random.derive(1),
    };
    let recorded = record(&context, &attempt_result).await?;
    let (channel, elapsed) = (&claimed.channel, ended.since(begun));
    context.metrics.record_attempt(channel, attempt_result.outcome.class, elapsed);
    let since = claimed.event_id.minted_at().map(|then| finished_at.since(then));
    context.metrics.record_delivery(
        channel,
        &attempt_result.delivery.state,
        since.unwrap_or_default(),
    );
    log_attempt(&context, &claimed, &attempt_result, recorded, ended);
    context.events.publish(|| LiveEvent::AttemptFinished {
        event_id: claimed.event_id,
        avatar_id: claimed.avatar_id,
        channel: claimed.channel,
        attempt: claimed.attempt,
        outcome: attempt_result.outcome,
        state: attempt_result.delivery.state,
    });
    Ok(())
}

/// Waits until a try has taken longer than it may; its outcome is that of one that keeps to no
/// limit of its own, so how far it came is not known. After a machine was asleep, the limit may be
/// over before anything was heard: there is always a last while to hear it in.
async fn hard_timeout<C: Clock>(clock: &C, begun: Monotonic, attempt_timeout: Duration) -> Outcome {
    clock.sleep_until(begun.plus(attempt_timeout)).await;
    clock.sleep_until(clock.monotonic().plus(TIMEOUT_GRACE)).await;
    let limit_s = attempt_timeout.as_secs();
    Outcome {
        error: Some(format!("the try did not end within {limit_s} s; it may have been taken")),
        ..Outcome::new(OutcomeClass::Ambiguous, "unknown")
    }
}

/// What a panic of whoever sends leaves: nobody knows how far it came. It spends an attempt and
/// counts against the channel, since the next one may end in the same way.
fn panicked() -> Outcome {
    let error = "the attempt was broken off by a bug in this program; it may have been taken";
    Outcome { error: Some(error.to_owned()), ..Outcome::new(OutcomeClass::Ambiguous, "unknown") }
}

/// Writes down the end of a try, however long the disk takes: if we die before, it is sent
/// again.
async fn record<C: Clock>(
    context: &DaemonContext<C>,
    attempt_result: &AttemptResult,
) -> Result<RecordedResult, StoreError> {
    loop {
        match context.store.record_result(attempt_result.clone()).await {
            Ok(recorded) => {
                log_write_recovered(context, ENDS);
                if recorded == RecordedResult::Stale {
                    warn!("the end of a try came too late to count");
                }
                return Ok(recorded);
            }
            Err(failure) if failure.next_step() == Recovery::Retry => {
                log_write_failed(context, ENDS, &failure);
                context.clock.sleep_until(context.clock.monotonic().plus(STORE_RETRY_DELAY)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Says how a try ended, within the span that names it. A delivery that ends is always said; one
/// that is tried again is when the channel's trouble is.
fn log_attempt<C>(
    context: &DaemonContext<C>,
    claimed: &Claimed,
    attempt_result: &AttemptResult,
    recorded: RecordedResult,
    now: Monotonic,
) {
    let Claimed { id, channel, avatar_id, .. } = claimed;
    let said = attempt_result.outcome.summary();
    let key = Key::Channel(channel.clone());
    match &attempt_result.delivery.state {
        DeliveryState::Delivered => {
            let latency_ms = attempt_result.latency_ms;
            info!(latency_ms, "told `{channel}` of `{avatar_id}`");
            if let Resolution::Logged(said) = context.throttle.resolve(&key, now) {
                info!(suppressed = said.suppressed(), "`{channel}` takes messages again, {said}");
            }
        }
        DeliveryState::Pending { .. } if recorded == RecordedResult::TargetChanged => info!(
            "the target that `{channel}` had before did not take it: {said}; it goes to the new one"
        ),
        DeliveryState::Pending { .. } if attempt_result.outcome.class == OutcomeClass::Gone => {
            error!(
                "`{channel}` takes nothing any more: {said}; it is disabled, and what waits for it is \
             kept until `avatar-watch channels enable {channel}`"
            )
        }
        DeliveryState::Pending { next_attempt_at } => {
            let phase = attempt_result.outcome.phase;
            if let Some(line) = context.throttle.record(key, phase, now) {
                warn!(
                    phase,
                    suppressed = line.suppressed(),
                    "`{channel}` did not take it: {said}; next try at {next_attempt_at}"
                );
            } else {
                debug!(phase, "`{channel}` did not take it: {said}; next try at {next_attempt_at}");
            }
        }
        DeliveryState::Failed { reason } => error!(
            "given up telling `{channel}` of `{avatar_id}`: {reason}; \
             `avatar-watch deliveries retry {id}` sends it again"
        ),
        DeliveryState::Sending | DeliveryState::Cancelled => debug!("a try ended in an odd state"),
    }
}

/// How much longer than it may a try is waited for: its own limits know how far it came.
const TIMEOUT_GRACE: Duration = Duration::from_secs(15);
/// What the log calls the ends of tries.
const ENDS: &str = "ends of tries";
/// The wait after the store was busy or full.
pub const STORE_RETRY_DELAY: Duration = Duration::from_secs(5);
