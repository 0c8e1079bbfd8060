//! What one request for all avatars of an account showed.
//!
//! A list proves that an avatar is as it is known to be, and nothing else: whoever is not in it,
//! or is in it with another status, must be looked at singly before anything is concluded. The
//! API promises no complete list, and a list may be older than what was seen since.

use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::polling::observation::Observation;

/// The outcome of one listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListObservation {
    /// A list.
    Listed {
        /// The avatars in it that can be used, in the order of the list; no id twice.
        avatars: Vec<Avatar>,
        /// Who is in it, too, and of whom it shows nothing that can be used.
        unclear: Vec<AvatarId>,
        /// How many elements cannot be used, whether they have an id or not.
        unusable: usize,
        /// Why the list is taken for one page of a longer one, in words, if its answer says so.
        page: Option<String>,
    },
    /// No list: one of the observations that show no avatar, other than
    /// [`Observation::Missing`].
    Failed(Observation),
}
