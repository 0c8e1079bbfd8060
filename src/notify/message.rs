//! The outbound message: rendered once for each recipient, stored, and sent with the same bytes on
//! every attempt.

use crate::domain::delivery::DeliveryId;
use crate::domain::id::EventId;

/// A message for one recipient, rendered and not yet stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedMessage {
    /// The id of the delivery.
    pub id: DeliveryId,
    /// The address for mail; empty for a webhook.
    pub recipient: String,
    /// What the body is.
    pub content_type: String,
    /// The bytes that every try sends.
    pub body: Vec<u8>,
    /// Why it is the standard body instead of the channel's template, for people.
    pub fallback: Option<String>,
}

/// A stored message, to be tried once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// The id of the delivery.
    pub delivery_id: DeliveryId,
    /// The id of the event, the same on every repeat.
    pub event_id: EventId,
    /// The address for mail; empty for a webhook.
    pub recipient: String,
    /// What the body is.
    pub content_type: String,
    /// The bytes, as they were stored.
    pub body: Vec<u8>,
}
