//! The view of one decision of routing.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RouteView {
    pub(crate) channel: String,
    /// Whether the channel gets the events of the avatar.
    pub(crate) receives: bool,
    pub(crate) reason: String,
}
