//! Errors that end the daemon, or with which it rejects a config.

use std::io::ErrorKind;
use std::net::SocketAddr;

use rustix::io::Errno;

use crate::argil::error::ArgilError;
use crate::daemon::background::shortage;
use crate::domain::delivery::channel_name::ChannelName;
use crate::notify::build_error::BuildError;
use crate::store::error::{Recovery, StoreError};

/// Why the daemon ends, or rejects a config.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API client could not be built.
    #[error("cannot build the API client")]
    Argil(#[source] ArgilError),
    /// A channel could not be built.
    #[error("cannot build channel `{name}`")]
    Channel {
        /// The channel.
        name: ChannelName,
        /// The cause.
        #[source]
        source: BuildError,
    },
    /// The heartbeat client could not be built.
    #[error("`heartbeat_url` cannot be used")]
    Heartbeat(#[source] BuildError),
    /// A reload changes the database path.
    #[error("`store.path` cannot change while the daemon runs: restart it")]
    StoreMoved,
    /// A reload would remove all avatars or channels.
    #[error("{0}")]
    ConfigEmptied(&'static str),
    /// A system call failed.
    #[error("{doing} failed")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The web server cannot listen.
    #[error("cannot listen on `{address}` (`web.listen`)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A loop ended unexpectedly.
    #[error("the {0} ended unexpectedly")]
    LoopEnded(&'static str),
}

impl DaemonError {
    /// Whether the failure is transient: an address in use or not up yet, or a shortage of
    /// resources.
    pub fn is_transient(&self) -> bool {
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
            | Self::ConfigEmptied(_)
            | Self::LoopEnded(_) => false,
        }
    }
}
