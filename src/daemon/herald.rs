//! The herald: tells operators what the tables say of channels and dead letters, through the
//! channels that work.
//!
//! What always holds: what is told is noted in the same transaction, so each is told once,
//! whenever the process dies; a channel never hears of itself.

use std::sync::Arc;

use tracing::error;

use crate::daemon::look::{Tools, log_condition};
use crate::daemon::plan::Plan;
use crate::daemon::ports::{Clock, Notifier};
use crate::domain::condition::{About, Condition};
use crate::domain::dead_letter::DeadLetter;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::roll::Roll;
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::untold::{ChannelTurn, Untold};

/// Tells what has not been told.
///
/// # Errors
/// When it could not be written; then it is told the next time.
pub async fn tell<S, N: Notifier, C: Clock>(
    tools: &Tools<C>,
    plan: &Arc<Plan<S, N>>,
) -> Result<(), StoreError> {
    let Untold { turns, letters } = tools.store.untold().await?;
    let (now, roll) = (tools.clock.now(), tools.chance.roll());
    let turns = turns.into_iter().map(|turn| about_channel(turn, now));
    let letters = letters.into_iter().map(about_letter);
    let mut announcements = Vec::new();
    for (salt, (kind, subject)) in (0u64..).zip(turns.chain(letters)) {
        let roll: Roll = roll.derive(salt);
        let event = Event { id: EventId::mint(now, roll), kind, occurred_at: now, subject };
        announcements.push(plan.announcement(event, None, now, roll.derive(1)));
    }
    let events: Vec<(Event, bool)> =
        announcements.iter().map(|it| (it.event.clone(), it.deliveries.is_empty())).collect();
    tools.store.announce(announcements, now).await?;
    for (event, unheard) in &events {
        log_condition(event);
        if let (true, Subject::Condition(condition)) = (unheard, &event.subject)
            && let Some(channel) = condition.about.channel()
        {
            error!(
                channel = %channel,
                "{} is told to nobody: no other channel has `operator = true`", event.kind
            );
        }
    }
    if events.iter().any(|(_, unheard)| !unheard) {
        tools.bell.ring();
    }
    Ok(())
}

fn about_channel(turn: ChannelTurn, now: Timestamp) -> (EventKind, Subject) {
    let ChannelTurn { channel, recipient, kind, phase, since, reason } = turn;
    let about = About::Channel { name: channel, recipient };
    let condition = Condition { phase, since: since.min(now), about, reason };
    (kind, Subject::Condition(Box::new(condition)))
}

fn about_letter(letter: DeadLetter) -> (EventKind, Subject) {
    (EventKind::DeliveryExhausted, Subject::DeadLetter(Box::new(letter)))
}
