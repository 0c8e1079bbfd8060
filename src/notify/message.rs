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
    /// The media type of the body.
    pub content_type: String,
    /// The bytes that every attempt sends.
    pub body: Vec<u8>,
    /// Why the body is the standard one instead of the channel's template, for people.
    pub fallback: Option<String>,
}

/// A stored message, for one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// The id of the delivery.
    pub delivery_id: DeliveryId,
    /// The id of the event, the same on every attempt.
    pub event_id: EventId,
    /// The address for mail; empty for a webhook.
    pub recipient: String,
    /// The media type of the body.
    pub content_type: String,
    /// The stored bytes.
    pub body: Vec<u8>,
}
