//! The outcome of one poll. A failed request is an observation too, so polling never fails; only
//! [`Observation::Seen`] says anything about the avatar's status.

use std::time::Duration;

use crate::domain::avatar::Avatar;

/// The extent of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The key is unknown (401).
    Key,
    /// The key has no permission (403): this avatar may be in another workspace, or the plan may
    /// have expired.
    Avatar,
}

/// The kinds of failed polls, by what may fix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollError {
    /// The name of the host could not be resolved. Transient.
    Unresolved,
    /// No response: the host does not respond, or closes the connection. Transient.
    Unreachable,
    /// The API endpoint is misconfigured: its certificate is not trusted, or it redirects. It
    /// affects every avatar, and lasts longer than seconds.
    Misrouted,
    /// An unreadable response, such as a web page or a server error. Transient.
    InvalidResponse,
    /// A response in an unknown content coding, so that its content is unknown. Probably transient.
    UnknownEncoding,
    /// A response that rejects the request, or is about something else. It may affect one avatar
    /// only, and lasts longer than seconds.
    RequestRejected,
    /// A local resource is missing, such as file handles.
    Local,
}

/// The result of one poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The avatar, with a status.
    Seen(Box<Avatar>),
    /// The API says that there is no such avatar (404).
    Missing {
        /// The error text of the API, for people.
        reason: String,
    },
    /// The key was not accepted.
    Denied {
        /// Whether for everything, or for this avatar.
        denial: Denial,
        /// The error text of the API, for people.
        reason: String,
    },
    /// The API limits the rate (429), or is unavailable for a while (503 with `Retry-After`).
    Throttled {
        /// The requested delay, if any.
        retry_after: Option<Duration>,
        /// The error text of the API, for people.
        reason: String,
    },
    /// Anything else: no response, or one that says nothing about the avatar.
    Failed {
        /// What kind of failure it is.
        fault: PollError,
        /// What went wrong, for people.
        reason: String,
    },
}

impl Observation {
    /// Why the poll failed, for people; `None` when it succeeded.
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
