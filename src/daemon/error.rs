//! What ends the daemon.

use std::io::ErrorKind;
use std::net::SocketAddr;

use rustix::io::Errno;

use crate::argil::error::ArgilError;
use crate::config::active::Emptied;
use crate::daemon::background::shortage;
use crate::domain::delivery::channel::ChannelName;
use crate::notify::error::NotifyError;
use crate::store::error::{Recovery, StoreError};

/// A failure that the daemon cannot live with.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API's client could not be built.
    #[error("the client of the API cannot be built")]
    Argil(#[source] ArgilError),
    /// A channel could not be built.
    #[error("channel `{name}` cannot be built")]
    Channel {
        /// Which one.
        name: ChannelName,
        /// Why.
        #[source]
        source: NotifyError,
    },
    /// The heartbeat could not be built.
    #[error("`heartbeat_url` cannot be used")]
    Heartbeat(#[source] NotifyError),
    /// A reload asked for another database.
    #[error("`store.path` cannot change while the daemon runs: restart it")]
    StoreMoved,
    /// A reload would take away all that there is.
    #[error("{0}")]
    StoreEmptied(Emptied),
    /// The system refused something that the daemon needs.
    #[error("the system failed at {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The web server cannot listen.
    #[error("cannot listen at `{address}`, the `web.listen` of the config")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A loop ended that never should.
    #[error("the {0} ended unexpectedly")]
    LoopEnded(&'static str),
}

impl DaemonError {
    /// Whether it may pass by itself: another program leaves, an address comes up with its network,
    /// the machine has again what it lacks.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store(failure) => failure.next_step() == Recovery::Retry,
            Self::System { source, .. } => shortage::help(source).is_some(),
            Self::Listen { source, .. } => {
                let is_denied = matches!(
                    source.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
                );
                !is_denied && Errno::from_io_error(source) != Some(Errno::AFNOSUPPORT)
            }
            Self::Argil(_)
            | Self::Channel { .. }
            | Self::Heartbeat(_)
            | Self::StoreMoved
            | Self::StoreEmptied(_)
            | Self::LoopEnded(_) => false,
        }
    }
}
