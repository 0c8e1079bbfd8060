//! Publishes conditions of channels, and dead letters, to the other operator channels.
//!
//! An event is marked as reported in the transaction that creates it, so it is published once even
//! across a crash. A channel gets no event about itself.

use std::sync::Arc;

use tracing::error;

use crate::daemon::config::runtime_config::RuntimeConfig;
use crate::daemon::context::DaemonContext;
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::publish::publish;
use crate::domain::condition::{Condition, ConditionSubject};
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::handle::NewEvent;
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
    let subjects = channel_changes
        .into_iter()
        .map(|change| channel_event(change, now))
        .chain(dead_letters.into_iter().map(dead_letter_event));
    let new_events: Vec<NewEvent> = (0..)
        .zip(subjects)
        .map(|(number, (kind, subject))| {
            let random = random.derive(number);
            let event = Event { id: EventId::mint(now, random), kind, occurred_at: now, subject };
            config.new_event(event, None, now, random.derive(1))
        })
        .collect();
    let without_receiver: Vec<Event> = new_events
        .iter()
        .filter(|new_event| !new_event.has_deliveries())
        .map(|new_event| new_event.event.clone())
        .collect();
    publish(context, new_events, now).await?;
    for event in &without_receiver {
        if let Subject::Condition(condition) = &event.subject
            && let Some(channel) = condition.subject.channel()
        {
            error!(
                channel = %channel,
                "no channel receives {}: no other channel has `operator = true`", event.kind
            );
        }
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
