//! A live feed of what happens, for whoever wants to look on: the demo, a page.
//!
//! Nothing depends on it: a listener that is too slow misses happenings, a feed without
//! listeners costs nothing, and what is told here is on disk already.

use tokio::sync::broadcast;

use crate::domain::channel::ChannelName;
use crate::domain::delivery::{DeliveryState, Outcome};
use crate::domain::event::EventKind;
use crate::domain::id::EventId;
use crate::domain::transition::Transition;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An avatar changed its status, or was seen for the first time.
    Changed {
        /// What changed.
        transition: Transition,
        /// The event about it, if it is told to anyone.
        event: Option<(EventId, EventKind)>,
    },
    /// A try at a delivery ended.
    Tried {
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
pub struct Feed(broadcast::Sender<Happening>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Feed {
    /// Tells whoever listens.
    pub fn tell(&self, happening: impl FnOnce() -> Happening) {
        if self.0.receiver_count() > 0 {
            // The last listener may just have gone.
            drop(self.0.send(happening()));
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Happening> {
        self.0.subscribe()
    }
}

/// Happenings that a slow listener can be behind.
const KEPT: usize = 8192;
