//! Broadcasts live events to the event stream of the API and to the demo.
//!
//! Nothing depends on it: a slow subscriber misses events, a bus without subscribers costs nothing,
//! and every event is committed before it is published.

use tokio::sync::broadcast;

use crate::domain::avatar::transition::Transition;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::{DeliveryState, Outcome};
use crate::domain::event::EventKind;
use crate::domain::id::EventId;
use crate::domain::ordering_key::OrderingKey;

/// A live event.
#[derive(Clone, Debug)]
pub enum LiveEvent {
    /// An avatar changed its status, or was polled for the first time.
    StatusChanged {
        /// The transition.
        transition: Transition,
        /// The event about it, if any channel receives it.
        event: Option<(EventId, EventKind)>,
    },
    /// A delivery attempt finished.
    AttemptFinished {
        /// The event of the delivery.
        event_id: EventId,
        /// The ordering key of the delivery.
        ordering_key: OrderingKey,
        /// The channel.
        channel: ChannelName,
        /// The number of the attempt.
        attempt: u32,
        /// The outcome.
        outcome: Outcome,
        /// The state of the delivery.
        state: DeliveryState,
    },
}

/// The bus; clones share it.
#[derive(Clone, Debug)]
pub struct EventBus(broadcast::Sender<LiveEvent>);

impl Default for EventBus {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl EventBus {
    /// Publishes an event, if there are subscribers.
    pub fn publish(&self, event: impl FnOnce() -> LiveEvent) {
        if self.0.receiver_count() > 0 {
            // The last subscriber may have been dropped.
            drop(self.0.send(event()));
        }
    }

    /// Subscribes to events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.0.subscribe()
    }
}

/// Number of events that a slow subscriber may lag behind.
const CAPACITY: usize = 8192;
