//! The herald: tells operators what the tables say of channels and dead letters, through the
//! channels that work.
//!
//! What always holds: what is told is noted in the same transaction, so each is told once,
//! whenever the process dies; a channel never hears of itself.

use std::sync::Arc;

use tracing::error;

use crate::daemon::poller::poll::{DaemonContext, log_condition};
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

/// Tells what has not been told.
///
/// # Errors
/// When it could not be written; then it is told the next time.
pub async fn publish_pending<S, N: Notifier, C: Clock>(
    tools: &DaemonContext<C>,
    plan: &Arc<RuntimeConfig<S, N>>,
) -> Result<(), StoreError> {
    let PendingAlerts { channel_changes: turns, dead_letters: letters } =
        tools.store.pending_alerts().await?;
    let (now, roll) = (tools.clock.now(), tools.rng.next_bits());
    let turns = turns.into_iter().map(|turn| channel_event(turn, now));
    let letters = letters.into_iter().map(dead_letter_event);
    let mut announcements = Vec::new();
    for (salt, (kind, subject)) in (0u64..).zip(turns.chain(letters)) {
        let roll: RandomBits = roll.derive(salt);
        let event = Event { id: EventId::mint(now, roll), kind, occurred_at: now, subject };
        announcements.push(plan.new_event(event, None, now, roll.derive(1)));
    }
    let events: Vec<(Event, bool)> =
        announcements.iter().map(|it| (it.event.clone(), it.deliveries.is_empty())).collect();
    tools.store.publish(announcements, now).await?;
    for (event, unheard) in &events {
        log_condition(event);
        if let (true, Subject::Condition(condition)) = (unheard, &event.subject)
            && let Some(channel) = condition.subject.channel()
        {
            error!(
                channel = %channel,
                "{} is told to nobody: no other channel has `operator = true`", event.kind
            );
        }
    }
    if events.iter().any(|(_, unheard)| !unheard) {
        tools.wakeup.notify();
    }
    Ok(())
}

fn channel_event(turn: ChannelChange, now: Timestamp) -> (EventKind, Subject) {
    let ChannelChange { channel, recipient, kind, phase, since, reason } = turn;
    let about = ConditionSubject::Channel { name: channel, recipient };
    let condition = Condition { phase, started_at: since.min(now), subject: about, reason };
    (kind, Subject::Condition(Box::new(condition)))
}

fn dead_letter_event(letter: DeadLetter) -> (EventKind, Subject) {
    (EventKind::DeliveryExhausted, Subject::DeadLetter(Box::new(letter)))
}
