//! A dead letter: a delivery that was given up, as operators are told of it.
//!
//! Only news and conditions of the watch are told of so; a dead letter about a channel is not,
//! so that two broken channels never write about each other for ever.

use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::id::EventId;

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it should have gone.
    pub channel: ChannelName,
    /// Which delivery; `deliveries retry` takes this id.
    pub delivery: DeliveryId,
    /// The event that was not told.
    pub event: EventId,
    /// The kind of that event, as consumers see it.
    pub kind: String,
    /// The avatar that it was about, if it was about one.
    pub avatar_id: Option<String>,
    /// How many tries were made.
    pub attempts: u32,
    /// Why it was given up, for people.
    pub reason: String,
}
