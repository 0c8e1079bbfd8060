//! HTTP server: accepts connections and serves the routes.
//!
//! Invariants: the number of connections and the duration of each are limited. A peer that sends
//! slowly, endlessly or nothing, or that does not read, is disconnected and delays no other peer.

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

use crate::web::http::connection_limit::{ConnectionLimiter, Slot};

/// The limits of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Concurrent connections; at the limit, an idle one is evicted.
    pub connections: usize,
    /// Concurrent authorized requests.
    pub answers: usize,
    /// Concurrent streams; `answers` and `streams` leave many idle connections to evict.
    pub streams: usize,
    /// How long a peer may read nothing of a response. Progress counts from about a third of
    /// `SEND_BUFFER_SIZE`.
    pub write_timeout: Duration,
    /// Time limit for the head of a request, from its first byte or the previous response.
    pub header_timeout: Duration,
    /// How long a connection accepts further requests.
    pub request_timeout: Duration,
    /// Time limit for the request in progress after that.
    pub drain: Duration,
    /// Time limit for requests in progress at shutdown.
    pub shutdown_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            answers: 160,
            streams: 16,
            write_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(1),
        }
    }
}

/// Serves until `shutdown` resolves, then drains for `shutdown_grace`. `starved` is called with the
/// error when connections cannot be accepted, and with `None` when they can be again.
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
    // The backlog of the standard library is so short that a burst of connections delays some by
    // the second until the TCP retransmission.
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
            // Most likely out of file handles: without a pause this would spin.
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
    // Slower connections are aborted.
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
    // With a large buffer, a peer that reads nothing would be noticed late. This fails only on a
    // closed connection, which is detected anyway.
    let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_SIZE);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
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
        // Errors of a connection are the peer's and not logged.
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
        () = tokio::time::sleep(limits.request_timeout) => {
            // The response in progress may finish.
            connection.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(limits.drain, connection).await);
        }
    }
}

/// The maximum size of a request head, and of the response buffer, in bytes.
const BUFFER_SIZE_MAX: usize = 64 * 1024;
/// The send buffer of the kernel in bytes; Linux doubles it for its own bookkeeping.
const SEND_BUFFER_SIZE: usize = 16 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Failures in a row before one is reported; a single one may be a peer that has disconnected.
const FAILURES_LOGGED: u32 = 3;
/// The pause after a failed accept.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
