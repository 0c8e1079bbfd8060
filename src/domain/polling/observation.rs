//! The outcome of one poll: one of the five things that looking at an avatar can show.
//!
//! A failed request is an observation too, so looking never fails; but no observation other
//! than [`Observation::Seen`] says anything about the avatar's status.

use std::time::Duration;

use crate::domain::avatar::Avatar;

/// How far a denial goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The key is not known (401).
    Key,
    /// The key may not do this (403): this avatar may be another workspace's, or the plan may
    /// have lapsed.
    Avatar,
}

/// The kinds of failure to see an avatar, by what may mend them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollError {
    /// The name of the host could not be looked up. Mends itself.
    Unresolved,
    /// No answer: the host does not answer, or breaks off. Mends itself.
    Unreachable,
    /// The way to the API is wrong: its certificate is not trusted, or it points elsewhere. It
    /// concerns every avatar, and will not mend itself in seconds.
    Misrouted,
    /// An answer that cannot be used, such as a web page or a server's error. Mends itself.
    InvalidResponse,
    /// An answer in a coding that was not understood, so that nobody knows what it says. Mends
    /// itself, if at all.
    UnknownEncoding,
    /// An answer that says that the question is wrong, or that is about something else. It may
    /// concern one avatar only, and will not mend itself in seconds.
    RequestRejected,
    /// This machine lacks something that a request takes, such as file handles.
    Local,
}

/// What one poll showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The avatar, with a status.
    Seen(Box<Avatar>),
    /// The API says that there is no such avatar (404).
    Missing {
        /// What the API said, for people.
        reason: String,
    },
    /// The key was not accepted.
    Denied {
        /// Whether for anything, or for this avatar.
        denial: Denial,
        /// What the API said, for people.
        reason: String,
    },
    /// The API asks for fewer requests (429), or is closed for a while (503 with `Retry-After`).
    Throttled {
        /// How long it asks us to stay away, if it says so.
        retry_after: Option<Duration>,
        /// What the API said, for people.
        reason: String,
    },
    /// Anything else: no answer, or one that tells nothing about the avatar.
    Failed {
        /// What kind of failure it is.
        fault: PollError,
        /// What went wrong, for people.
        reason: String,
    },
}

impl Observation {
    /// Why nothing was seen, for people; `None` when something was.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Seen(_) => None,
            Self::Missing { reason }
            | Self::Denied { reason, .. }
            | Self::Throttled { reason, .. }
            | Self::Failed { reason, .. } => Some(reason),
        }
    }
}
