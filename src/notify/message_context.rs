//! What texts for people depend on, besides the event: the time zone and the links.

use crate::domain::public_url::PublicUrl;
use crate::domain::time::time_zone::TimeZone;

/// The settings of all messages for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageContext {
    /// The zone in which times are shown.
    pub time_zone: TimeZone,
    /// Where links lead; without it, messages have no links.
    pub public_url: Option<PublicUrl>,
}

impl MessageContext {
    /// UTC, without links.
    pub const PLAIN: Self = Self { time_zone: TimeZone::UTC, public_url: None };
}
