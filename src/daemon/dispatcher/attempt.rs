//! One delivery attempt: send, classify, record the result.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::select;
use tracing::{debug, error, info, warn};

use crate::daemon::config::runtime_config::{ChannelRuntime, RuntimeConfig};
use crate::daemon::context::{DaemonContext, STORE_RETRY_DELAY};
use crate::daemon::dispatcher::clock_skew::ClockSkew;
use crate::daemon::dispatcher::local_fault::LocalFaultDetector;
use crate::daemon::logging::log::{log_write_failed, log_write_recovered};
use crate::daemon::logging::log_throttle::{Key, Resolution};
use crate::daemon::ports::{Clock, Notifier};
use crate::domain::delivery::{DeliveryState, Outcome, OutcomeClass};
use crate::domain::time::monotonic::Monotonic;
use crate::notify::message::OutboundMessage;
use crate::runtime::event_bus::LiveEvent;
use crate::store::error::{Recovery, StoreError};
use crate::store::tables::outbox::{AttemptResult, ClaimedDelivery, RecordedResult};
use crate::text::plural::counted;

#[derive(Clone, Debug, Default)]
pub(crate) struct Detectors {
    pub local_fault: Arc<LocalFaultDetector>,
    pub clock_skew: Arc<ClockSkew>,
}

/// Attempts a claimed delivery on its channel and records the result. `detectors` reclassify
/// failures that are local to this host.
pub(crate) async fn run_attempt<S, N: Notifier, C: Clock>(
    context: DaemonContext<C>,
    config: Arc<RuntimeConfig<S, N>>,
    detectors: Detectors,
    mut claimed: ClaimedDelivery,
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
    let started_at = context.clock.monotonic();
    let sent = send(&context.clock, &**notifier, &message, *attempt_timeout).await;
    let (ended_at, ended_at_monotonic) = (context.clock.now(), context.clock.monotonic());
    let channels = config.channels.keys();
    let mut outcome =
        detectors.local_fault.reclassify(&claimed.channel, sent, channels, ended_at_monotonic);
    if claimed.was_overtaken {
        outcome = outcome.after_accepted_message();
    }
    detectors.clock_skew.observe(&claimed.channel, outcome.clock, ended_at);
    let random = context.rng.next_bits();
    let before = claimed.retry_state.clone();
    let retry_state = before.apply(&outcome, claimed.due_at_before_probe, ended_at, policy, random);
    let duration = ended_at_monotonic.since(started_at);
    let attempt_result = AttemptResult {
        id: claimed.id.clone(),
        attempt: claimed.attempt,
        target: Some(target.clone()),
        retry_state,
        outcome,
        finished_at: ended_at,
        latency_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        random: random.derive(1),
    };
    let recorded = record(&context, &attempt_result).await?;
    let (class, state) = (attempt_result.outcome.class, &attempt_result.retry_state.state);
    context.metrics.record_attempt(&claimed.channel, class, duration);
    let latency = claimed.event_id.minted_at().map(|minted_at| ended_at.since(minted_at));
    context.metrics.record_delivery(&claimed.channel, state, latency);
    log_attempt(&context, &claimed, &attempt_result, recorded, ended_at_monotonic);
    context.events.publish(|| LiveEvent::AttemptFinished {
        event_id: claimed.event_id,
        ordering_key: claimed.ordering_key,
        channel: claimed.channel,
        attempt: claimed.attempt,
        outcome: attempt_result.outcome,
        state: attempt_result.retry_state.state,
    });
    Ok(())
}

/// Sends the message. A notifier that panics or does not return has an outcome, too.
async fn send<N: Notifier, C: Clock>(
    clock: &C,
    notifier: &N,
    message: &OutboundMessage,
    attempt_timeout: Duration,
) -> Outcome {
    let started_at = clock.monotonic();
    let sending = notifier.deliver(message, clock.now());
    select! {
        biased;
        sent = AssertUnwindSafe(sending).catch_unwind() => sent.unwrap_or_else(|_| {
            error!("delivery attempt panicked: this is a bug");
            may_be_accepted("was aborted by a bug in avatar-watch")
        }),
        timed_out = time_out(clock, started_at, attempt_timeout) => timed_out,
    }
}

/// Completes when an attempt exceeds its timeout plus [`TIMEOUT_GRACE`]; the outcome is ambiguous.
/// The grace period also gives an attempt time to complete after the machine was suspended.
async fn time_out<C: Clock>(
    clock: &C,
    started_at: Monotonic,
    attempt_timeout: Duration,
) -> Outcome {
    clock.sleep_until(started_at.plus(attempt_timeout)).await;
    clock.sleep_until(clock.monotonic().plus(TIMEOUT_GRACE)).await;
    may_be_accepted(&format!("did not complete within {} s", attempt_timeout.as_secs()))
}

/// Ambiguous. It spends an attempt and counts against the channel, because the next attempt may end
/// like this as well.
fn may_be_accepted(what: &str) -> Outcome {
    let error = Some(format!("the attempt {what}; the message may have been accepted"));
    Outcome { error, ..Outcome::new(OutcomeClass::Ambiguous, "unknown") }
}

/// Records the result, however long the store is busy. After a crash before that, the delivery is
/// sent again.
async fn record<C: Clock>(
    context: &DaemonContext<C>,
    attempt_result: &AttemptResult,
) -> Result<RecordedResult, StoreError> {
    loop {
        match context.store.record_result(attempt_result.clone()).await {
            Ok(recorded) => {
                log_write_recovered(context, RESULTS);
                if recorded == RecordedResult::Stale {
                    warn!("attempt result discarded: it was recorded too late");
                }
                return Ok(recorded);
            }
            Err(failure) if failure.next_step() == Recovery::Retry => {
                log_write_failed(context, RESULTS, &failure);
                context.clock.sleep_until(context.clock.monotonic().plus(STORE_RETRY_DELAY)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Logs the result of an attempt. Final results are always logged, retries are throttled by
/// channel.
fn log_attempt<C>(
    context: &DaemonContext<C>,
    claimed: &ClaimedDelivery,
    attempt_result: &AttemptResult,
    recorded: RecordedResult,
    now: Monotonic,
) {
    let ClaimedDelivery { id, channel, title, attempt, .. } = claimed;
    let reason = attempt_result.outcome.summary();
    let key = Key::Channel(channel.clone());
    match &attempt_result.retry_state.state {
        DeliveryState::Delivered => {
            let latency_ms = attempt_result.latency_ms;
            info!(latency_ms, "delivered \"{title}\" to channel `{channel}`");
            if let Resolution::Logged(emission) = context.throttle.resolve(&key, now) {
                info!(
                    suppressed = emission.suppressed(),
                    "delivery to channel `{channel}` recovered {emission}"
                );
            }
        }
        DeliveryState::Pending { .. } if recorded == RecordedResult::TargetChanged => info!(
            "delivery to the previous target of channel `{channel}` failed: {reason}; the new \
             target is next"
        ),
        DeliveryState::Pending { .. } if attempt_result.outcome.class == OutcomeClass::Gone => {
            error!(
                "channel `{channel}` disabled: {reason}; pending deliveries are kept; re-enable \
                 with `avatar-watch channels enable {channel}`"
            )
        }
        DeliveryState::Pending { next_attempt_at } => {
            let phase = attempt_result.outcome.phase;
            let text = format!(
                "delivery to channel `{channel}` failed: {reason}; next attempt of \"{title}\" at \
                 {next_attempt_at}"
            );
            match context.throttle.record(key, phase, now) {
                Some(emission) => warn!(phase, suppressed = emission.suppressed(), "{text}"),
                None => debug!(phase, "{text}"),
            }
        }
        DeliveryState::Dead { reason } => error!(
            "delivery to channel `{channel}` moved to dead letters after {}: {reason}; send \
             \"{title}\" again with `avatar-watch deliveries retry {id}`",
            counted(u64::from(*attempt), "attempt")
        ),
        DeliveryState::Sending => error!("an ended attempt is still being sent: this is a bug"),
    }
}

/// Grace period after `attempt_timeout`: the notifier's own timeouts give a more precise outcome.
const TIMEOUT_GRACE: Duration = Duration::from_secs(15);
/// Name of attempt results in the log.
const RESULTS: &str = "attempt results";
