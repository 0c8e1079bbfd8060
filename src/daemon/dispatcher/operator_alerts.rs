//! Publishes conditions of channels, and dead letters, to the other operator channels.
//!
//! An event is marked as reported in the transaction that creates it, so it is published once even
//! across a crash. A channel gets no event about itself.

use std::sync::Arc;

use tracing::error;

use crate::daemon::context::DaemonContext;
use crate::daemon::poller::poll::log_condition;
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::runtime_config::RuntimeConfig;
use crate::domain::condition::{Condition, ConditionSubject};
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::pending_alerts::{ChannelChange, PendingAlerts};

/// Publishes all pending alerts.
///
/// # Errors
/// When the store cannot write them; the next call retries.
pub(crate) async fn publish_pending<S, N: Notifier, C: Clock>(
    context: &DaemonContext<C>,
    config: &Arc<RuntimeConfig<S, N>>,
) -> Result<(), StoreError> {
    let PendingAlerts { channel_changes, dead_letters } = context.store.pending_alerts().await?;
    let (now, random) = (context.clock.now(), context.rng.next_bits());
    let channel_changes =
        channel_changes.into_iter().map(|channel_change| channel_event(channel_change, now));
    let dead_letters = dead_letters.into_iter().map(dead_letter_event);
    let mut new_events = Vec::new();
    for (salt, (kind, subject)) in (0u64..).zip(channel_changes.chain(dead_letters)) {
        let random: RandomBits = random.derive(salt);
        let event = Event { id: EventId::mint(now, random), kind, occurred_at: now, subject };
        new_events.push(config.new_event(event, None, now, random.derive(1)));
    }
    let events: Vec<(Event, bool)> =
        new_events.iter().map(|it| (it.event.clone(), it.deliveries.is_empty())).collect();
    context.store.publish(new_events, now).await?;
    for (event, undelivered) in &events {
        log_condition(event);
        if let (true, Subject::Condition(condition)) = (undelivered, &event.subject)
            && let Some(channel) = condition.subject.channel()
        {
            error!(
                channel = %channel,
                "no channel receives {}: no other channel has `operator = true`", event.kind
            );
        }
    }
    if events.iter().any(|(_, undelivered)| !undelivered) {
        context.wakeup.notify();
    }
    Ok(())
}

fn channel_event(channel_change: ChannelChange, now: Timestamp) -> (EventKind, Subject) {
    let ChannelChange { channel, recipient, kind, phase, since, reason } = channel_change;
    let subject = ConditionSubject::Channel { name: channel, recipient };
    let condition = Condition { phase, started_at: since.min(now), subject, reason };
    (kind, Subject::Condition(Box::new(condition)))
}

fn dead_letter_event(dead_letter: DeadLetter) -> (EventKind, Subject) {
    (EventKind::DeliveryExhausted, Subject::DeadLetter(Box::new(dead_letter)))
}
