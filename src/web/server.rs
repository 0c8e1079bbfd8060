//! The server: connections in, routes behind, and limits on everything.
//!
//! Invariants: a number of connections at once, and a time for each. A peer that sends slowly,
//! without an end or nothing, or that reads nothing, is cut off, and keeps no newcomer waiting.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use crate::web::connection_limit::{ConnectionLimiter, Slot};

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once; for one more, an idle one is evicted.
    pub connections: usize,
    /// Authorized requests that are answered at once.
    pub answers: usize,
    /// Streams at once; `answers` and `streams` leave many idle connections to evict.
    pub streams: usize,
    /// How long a peer may take nothing of what it is sent: a third of `SEND_BUFFER_SIZE`, with
    /// what the kernel adds, is the least that is noticed.
    pub stall: Duration,
    /// How long the head of a request may take, from its beginning or from the answer before.
    pub header_timeout: Duration,
    /// How long a connection is kept for more requests.
    pub request_timeout: Duration,
    /// How long the request that is under way then may still go on.
    pub drain: Duration,
    /// How long requests under way may go on at the end.
    pub shutdown_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            answers: 160,
            streams: 16,
            stall: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(1),
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
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
    starved: impl Fn(Option<&io::Error>),
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // The standard library's queue is so short that a burst costs a newcomer the second until it
    // tries again.
    rustix::net::listen(&listener, BACKLOG)?;
    let listener = TcpListener::from_std(listener)?;
    let mut limiter = ConnectionLimiter::new(limits.answers, limits.streams);
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut failures = 0_u32;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &mut limiter, &mut connections, limits) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if failures >= FAILURES_LOGGED {
                    starved(None);
                }
                failures = 0;
                limiter.open(peer.ip(), |slot| {
                    connections.spawn(serve(stream, routes.clone(), limits, stopped.clone(), slot))
                });
            }
            // Most likely there are no file handles: to ask again at once would only burn.
            Err(failure) => {
                failures = failures.saturating_add(1);
                if failures == FAILURES_LOGGED {
                    starved(Some(&failure));
                }
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    drop(stop);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Whoever takes longer is cut off.
    drop(tokio::time::timeout(limits.shutdown_grace, ended).await);
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    limiter: &mut ConnectionLimiter,
    connections: &mut JoinSet<()>,
    limits: ServerLimits,
) -> io::Result<(TcpStream, SocketAddr)> {
    let accepted = listener.accept().await?;
    while connections.try_join_next().is_some() {}
    if connections.len() >= limits.connections {
        limiter.evict_idle();
        connections.join_next().await;
    }
    Ok(accepted)
}

async fn serve(
    stream: TcpStream,
    routes: Router,
    limits: ServerLimits,
    mut stopped: watch::Receiver<()>,
    slot: Slot,
) {
    // A large buffer would hide for long whether the peer takes anything. This fails only for a
    // connection that is gone, which is noticed anyway.
    let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_SIZE);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stall));
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(slot.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER_SIZE_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // How a connection ends is the other side's affair.
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
        () = tokio::time::sleep(limits.request_timeout) => {
            // An answer that is being sent is not torn off.
            connection.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(limits.drain, connection).await);
        }
    }
}

/// What a head may have, and what of answers may wait for the peer, in bytes.
const BUFFER_SIZE_MAX: usize = 64 * 1024;
/// What the kernel holds of what is sent, in bytes; Linux doubles it for its own book-keeping.
const SEND_BUFFER_SIZE: usize = 16 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// So many failures in a row are no visitor that has gone again.
const FAILURES_LOGGED: u32 = 3;
/// The pause after a connection that could not be taken.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
