//! A live feed of what happens, for whoever wants to look on: the demo, a page.
//!
//! Nothing depends on it: a listener that is too slow misses happenings, a feed without
//! listeners costs nothing, and what is told here is on disk already.

use tokio::sync::broadcast;

use crate::domain::avatar::transition::Transition;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::{DeliveryState, Outcome};
use crate::domain::event::EventKind;
use crate::domain::id::EventId;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum LiveEvent {
    /// An avatar changed its status, or was seen for the first time.
    StatusChanged {
        /// What changed.
        transition: Transition,
        /// The event about it, if it is told to anyone.
        event: Option<(EventId, EventKind)>,
    },
    /// A try at a delivery ended.
    AttemptFinished {
        /// The event that it tells.
        event_id: EventId,
        /// The avatar that it is about.
        avatar_id: String,
        /// The channel.
        channel: ChannelName,
        /// The number of the try.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
        /// Where the delivery stands now.
        state: DeliveryState,
    },
}

/// The feed; clones are the same feed.
#[derive(Clone, Debug)]
pub struct EventBus(broadcast::Sender<LiveEvent>);

impl Default for EventBus {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl EventBus {
    /// Tells whoever listens.
    pub fn publish(&self, happening: impl FnOnce() -> LiveEvent) {
        if self.0.receiver_count() > 0 {
            // The last listener may just have gone.
            drop(self.0.send(happening()));
        }
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.0.subscribe()
    }
}

/// Happenings that a slow listener can be behind.
const CAPACITY: usize = 8192;
