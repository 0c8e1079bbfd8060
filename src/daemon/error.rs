//! What ends the daemon.

use std::net::SocketAddr;

use crate::argil::error::ArgilError;
use crate::domain::channel::ChannelName;
use crate::notify::error::NotifyError;
use crate::store::error::StoreError;

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
    #[error("cannot listen at `{place}`, the `web.listen` of the config")]
    Listen {
        /// Where.
        place: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A loop ended that never should.
    #[error("the {0} ended unexpectedly")]
    LoopEnded(&'static str),
}
