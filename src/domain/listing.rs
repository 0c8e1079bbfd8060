//! What one request for all avatars of an account showed.
//!
//! A list proves what is in it and nothing else: whoever is not in it must be looked at singly
//! before anything is concluded, because the API promises no complete list.

use crate::domain::avatar::Avatar;
use crate::domain::observation::Observation;

/// The outcome of one listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A list.
    Shown {
        /// The avatars in it that can be used, in the order of the list; no id twice.
        avatars: Vec<Avatar>,
        /// How many elements had no usable id or status.
        unusable: usize,
        /// Why the list is taken for one page of a longer one, in words, if its answer says so.
        page: Option<String>,
    },
    /// No list: one of the observations that show no avatar, other than
    /// [`Observation::Missing`].
    Unseen(Observation),
}
