//! The server: connections in, routes behind, and limits on everything.
//!
//! What always holds: a number of connections at once, and a time for each; whoever sends slowly,
//! or nothing, or without an end, is cut off, and keeps no newcomer waiting meanwhile.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::web::seats::{Seats, Taken};

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; for one more, another one gives up its seat, or it waits.
    pub connections: usize,
    /// How long the head of a request may take, from its beginning or from the answer before.
    pub head: Duration,
    /// How long a connection is kept for more requests.
    pub whole: Duration,
    /// How long the request that is under way then may still go on.
    pub last: Duration,
    /// How long requests under way may go on at the end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(5),
            whole: Duration::from_secs(30),
            last: Duration::from_secs(30),
            grace: Duration::from_secs(1),
        }
    }
}

/// Serves until `shutdown` ends; then what is under way may end, for a short while. `starved` hears
/// when no connection can be taken, and why, and when one can again.
///
/// # Errors
/// When the listener cannot be used.
pub async fn run(
    listener: std::net::TcpListener,
    routes: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    starved: impl Fn(Option<&io::Error>),
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let seats = Seats::new(limits.connections);
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut failures = 0_u32;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        match accepted {
            Ok((stream, taken)) => {
                if failures >= FAILURES_SAID {
                    starved(None);
                }
                failures = 0;
                let task = serve(stream, routes.clone(), limits, stopped.clone(), taken);
                connections.spawn(task);
            }
            // Most likely there are no file handles: to ask again at once would only burn.
            Err(failure) => {
                failures = failures.saturating_add(1);
                if failures == FAILURES_SAID {
                    starved(Some(&failure));
                }
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    drop(stop);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Whoever takes longer is cut off.
    drop(tokio::time::timeout(limits.grace, ended).await);
    Ok(())
}

async fn accept(listener: &TcpListener, seats: &Seats) -> io::Result<(TcpStream, Taken)> {
    let (stream, _) = listener.accept().await?;
    let taken = seats.take().await.ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((stream, taken))
}

async fn serve(
    stream: TcpStream,
    routes: Router,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
    mut taken: Taken,
) {
    let (seat, routes) = (taken.seat.clone(), TowerToHyperService::new(routes));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(seat.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = async {
        tokio::select! {
            // How a connection ends is the other side's affair.
            _ = connection.as_mut() => {}
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
            () = tokio::time::sleep(limits.whole) => {
                // An answer that is being sent is not torn off.
                connection.as_mut().graceful_shutdown();
                drop(tokio::time::timeout(limits.last, connection).await);
            }
        }
    };
    tokio::select! {
        () = served => {}
        _ = &mut taken.dismissed => {}
    }
}

/// So many failures in a row are no visitor that has gone again.
const FAILURES_SAID: u32 = 3;
/// The pause after a connection that could not be taken.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);
