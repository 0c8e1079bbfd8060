//! The door for hints: a listener of the web server, opened and closed as the config says.
//!
//! A new place is listened at before the old one is left, so a reload that cannot listen changes
//! nothing.

use std::net::{SocketAddr, TcpListener};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::config::settings::WebSettings;
use crate::daemon::error::DaemonError;
use crate::domain::avatar::AvatarId;
use crate::secret::Secret;
use crate::web::hints::{self, Hints};
use crate::web::server::{self, Limits};

/// An open door.
#[derive(Debug)]
pub struct Door {
    listen: SocketAddr,
    token: watch::Sender<Secret>,
    /// Dropped, it closes the door.
    _open: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What is to become of the door.
#[derive(Debug)]
pub enum Turn {
    /// It stays open, with this token.
    Stay(Secret),
    /// It is opened at another place, or for the first time.
    Open(TcpListener, Secret),
    /// It is closed, or stays so.
    Close,
}

impl Turn {
    /// What the config wants of the door; a new place is taken at once.
    ///
    /// # Errors
    /// When the place cannot be listened at.
    pub fn plan(door: Option<&Door>, web: &WebSettings) -> Result<Self, DaemonError> {
        let (Some(listen), Some(token)) = (web.listen, web.hint_token.clone()) else {
            return Ok(Self::Close);
        };
        if door.is_some_and(|door| door.listen == listen && !door.task.is_finished()) {
            return Ok(Self::Stay(token));
        }
        let listener = TcpListener::bind(listen)
            .map_err(|source| DaemonError::Listen { place: listen, source })?;
        Ok(Self::Open(listener, token))
    }

    /// Does it; the door as it is then.
    pub fn make(
        self,
        door: Option<Door>,
        listen: Option<SocketAddr>,
        hinted: &mpsc::Sender<AvatarId>,
    ) -> Option<Door> {
        match self {
            Self::Stay(token) => {
                let door = door?;
                door.token.send_replace(token);
                Some(door)
            }
            Self::Open(listener, token) => Some(Door::open(listener, listen?, token, hinted)),
            Self::Close => None,
        }
    }
}

impl Door {
    fn open(
        listener: TcpListener,
        listen: SocketAddr,
        token: Secret,
        hinted: &mpsc::Sender<AvatarId>,
    ) -> Self {
        let place = listener.local_addr().unwrap_or(listen);
        info!("hints are taken at `http://{place}/hints/argil/…`");
        let (token, followed) = watch::channel(token);
        let (open, closed) = oneshot::channel::<()>();
        let routes = hints::routes(Hints { token: followed, hinted: hinted.clone() });
        let task = tokio::spawn(async move {
            let closed = async { drop(closed.await) };
            if let Err(failure) = server::run(listener, routes, Limits::default(), closed).await {
                // Only what comes early is lost: avatars are looked at all the same.
                error!("the web server ended: {failure}");
            }
        });
        Self { listen, token, _open: open, task }
    }

    /// Closes the door and waits until nobody is in it.
    pub async fn close(self) {
        let Self { _open: open, task, .. } = self;
        drop(open);
        drop(task.await);
    }
}
