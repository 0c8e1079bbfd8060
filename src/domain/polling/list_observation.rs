//! The result of one request for all avatars of an account.
//!
//! A list only confirms that an avatar still has its known status. An avatar that is missing from
//! it, or has another status in it, is polled individually before anything is concluded: the API
//! guarantees no complete list, and a list may be older than the last poll.

use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::polling::observation::Observation;

/// The outcome of one list poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListObservation {
    /// A list.
    Listed {
        /// The valid avatars, in the order of the list; no id twice.
        avatars: Vec<Avatar>,
        /// The ids of invalid elements.
        unreadable_ids: Vec<AvatarId>,
        /// The number of invalid elements, with or without an id.
        unreadable: usize,
        /// Why the list seems to be one page of a longer one, if so.
        page: Option<String>,
    },
    /// No list: an observation without an avatar, other than [`Observation::Missing`].
    Failed(Observation),
}
