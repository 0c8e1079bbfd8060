//! How the avatars of an account are polled.

/// The choice of `[poll] strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One request for each avatar.
    #[default]
    Single,
    /// One request for all avatars of an account, where that takes fewer requests; absent avatars
    /// are polled singly.
    List,
}
