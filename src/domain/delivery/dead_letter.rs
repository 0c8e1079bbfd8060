//! A dead letter: a failed delivery, as reported to operators.
//!
//! Dead letters of events about a channel are not reported, so that two failing channels do not
//! report each other forever.

use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::id::EventId;

/// A failed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its channel.
    pub channel: ChannelName,
    /// Its id, for `deliveries retry`.
    pub delivery: DeliveryId,
    /// The event that was not delivered.
    pub event: EventId,
    /// The kind of that event, as consumers see it.
    pub kind: String,
    /// The avatar that it was about, if it was about one.
    pub avatar_id: Option<String>,
    /// The number of attempts.
    pub attempts: u32,
    /// Why it failed, for people.
    pub reason: String,
}
