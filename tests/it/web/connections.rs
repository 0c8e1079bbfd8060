//! Clients that send nothing, too little or too much, or read nothing: they are disconnected and
//! do not block others.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use avatar_watch::secret::Secret;
use avatar_watch::web::http::auth::AccessPolicy;
use avatar_watch::web::http::connection_limit::CHECKS_MAX;
use avatar_watch::web::http::server::ServerLimits;
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::test_server::{HINT_TOKEN, TestServer, attempt_finished, serve};
use super::*;
use crate::harness::http::Listener;

/// Time limits that no test reaches, and few connections.
fn patient() -> ServerLimits {
    let ever = Duration::from_secs(3600);
    let (connections, answers, streams) = (64, 24, 4);
    ServerLimits {
        connections,
        answers,
        streams,
        write_timeout: ever,
        header_timeout: ever,
        request_timeout: ever,
        drain: ever,
        shutdown_grace: ever,
    }
}

/// A server where everything requires the token.
fn test_server_with_token() -> TestServer {
    let token = Some(Secret::new(TOKEN));
    TestServer::with(AccessPolicy { token, ..AccessPolicy::default() })
}

/// A connection that has sent a text and waits.
fn stranger(page: SocketAddr, says: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page).unwrap();
    stream.write_all(says.as_bytes()).unwrap();
    stream
}

/// A connection that requests more than fits into the buffers, and reads nothing.
fn non_reader(page: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(page).unwrap();
    set_socket_recv_buffer_size(&stream, 1024).unwrap();
    let request = format!("GET /api/v1/openapi.json HTTP/1.1\r\nhost: {page}\r\n\r\n");
    let requests = request.repeat(100);
    // The server may already have closed it.
    drop(stream.write_all(requests.as_bytes()));
    stream
}

/// Whether the server has closed it, after any response.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(failure) if failure.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthorized_connections_block_no_other() {
    let (_own, page) = test_server_with_token().serve(patient());
    let refused = format!("GET / HTTP/1.1\r\nhost: {page}\r\n\r\n");
    let half = &refused[..refused.len() - 4];
    let slow = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: {page}\r\ncontent-length: 60\r\n\r\nhalf")
    };
    let [hint, forged] = [HINT_TOKEN, "x"].map(|token| slow(&format!("/hints/argil/{token}")));
    let says = ["", half, &refused, &hint, &forged];
    let mut strangers: Vec<TcpStream> =
        says.iter().cycle().take(MANY).map(|says| stranger(page, says)).collect();
    let answer = ask(page, "GET", "/", &[BEARER]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Each one above the limit evicted the oldest one.
    let evicted = MANY + 1 - patient().connections;
    for (number, stream) in strangers.iter_mut().enumerate() {
        if number < evicted {
            wait_until(&format!("the end of stranger {number}"), || is_ended(stream));
        } else {
            assert!(!is_ended(stream), "stranger {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_block_no_other() {
    let (_own, page) = TestServer::new().serve(patient());
    let listen = format!("GET /api/v1/stream HTTP/1.1\r\nhost: {page}\r\n\r\n");
    let _open: Vec<[TcpStream; 2]> =
        (0..MANY).map(|_| [non_reader(page), stranger(page, &listen)]).collect();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(page, path).status, 200, "{path}");
    }
    // After the response has been sent they are idle and can be evicted.
    for path in ["/", "/metrics"] {
        wait_until("a connection for a reader", || get(page, path).status == 200);
    }
    Listener::open(page, "/api/v1/stream").wait_for("retry: 1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_disconnected() {
    let own = TestServer::new();
    let write_timeout = Duration::from_millis(300);
    let page = serve(own.state.clone(), ServerLimits { write_timeout, ..patient() });
    let mut slow = non_reader(page);
    let mut open = non_reader(page);
    // One of the two reads slowly, for longer than the write timeout.
    let mut part = [0; 512];
    wait_until("the end of the reader who takes nothing", || {
        slow.read_exact(&mut part).unwrap();
        // Without a read, which would be progress.
        open.write(b"x").is_err()
    });
    slow.read_exact(&mut part).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_requests_do_not_delay_health_checks() {
    let mut own = test_server_with_token();
    let share = patient().answers * 3 / 4;
    let (trials, mut asked) = tokio::sync::mpsc::channel(2 * share);
    own.state.test_requests = trials;
    let page = serve(own.state.clone(), patient());
    let asks = format!(
        "POST /api/v1/channels/ops/test HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\n\
         {BEARER}\r\n\r\n"
    );
    let mut waiting: Vec<TcpStream> = (0..share).map(|_| stranger(page, &asks)).collect();
    let mut trials = Vec::new();
    for _ in 0..share {
        trials.push(asked.recv().await.unwrap());
    }
    // No connection with a request in progress is evicted.
    let _strangers: Vec<TcpStream> = (0..MANY).map(|_| stranger(page, "")).collect();
    assert_eq!(get(page, "/healthz").status, 200);
    assert_eq!(get(page, "/readyz").status, 200);
    // One more waits for a permit and gets it.
    let next = tokio::task::spawn_blocking(move || ask(page, "GET", "/api/v1/status", &[BEARER]));
    for trial in trials {
        trial.answer.send(Some(Vec::new())).unwrap();
    }
    for stream in &mut waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(next.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_readers_do_not_delay_health_checks() {
    let (own, page) = TestServer::new().serve(patient());
    let turn = Arc::clone(&own.state.readers).acquire_owned().await.unwrap();
    let waits = tokio::task::spawn_blocking(move || get(page, "/").status);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(page, path).status, 200, "{path}");
    }
    drop(turn);
    assert_eq!(waits.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_its_connection_at_the_limit() {
    let (own, page) = TestServer::new().serve(patient());
    let mut listener = Listener::open(page, "/api/v1/stream");
    listener.wait_for("retry: 1000");
    let mut strangers: Vec<TcpStream> = (0..MANY).map(|_| stranger(page, "")).collect();
    assert_eq!(get(page, "/").status, 200);
    wait_until("the end of a stranger", || is_ended(&mut strangers[0]));
    let attempt = attempt_finished();
    own.state.events.publish(|| attempt.clone());
    assert_eq!(listener.wait_for("event: attempt")["channel"], "ops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_waits_while_none_is_idle() {
    let (own, page) = TestServer::new().serve(ServerLimits { connections: 1, ..patient() });
    let mut listener = Listener::open(page, "/api/v1/stream");
    listener.wait_for("retry: 1000");
    let waiting = tokio::task::spawn_blocking(move || get(page, "/healthz").status);
    let attempt = attempt_finished();
    own.state.events.publish(|| attempt.clone());
    listener.wait_for("event: attempt");
    drop(listener);
    // A closed stream is noticed at the next write.
    wait_until("an answer for the newcomer", || {
        own.state.events.publish(|| attempt.clone());
        waiting.is_finished()
    });
    assert_eq!(waiting.await.unwrap(), 200);
}

#[test]
fn there_are_many_more_connections_than_can_be_held() {
    let ServerLimits { connections, answers, streams, .. } = ServerLimits::default();
    assert!(answers + streams + CHECKS_MAX <= connections - connections / 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed() {
    let own = TestServer::new();
    let limit = Duration::from_millis(200);
    let limits =
        ServerLimits { header_timeout: limit, request_timeout: limit, drain: limit, ..patient() };
    let page = serve(own.state.clone(), limits);
    let whole = format!("GET /healthz HTTP/1.1\r\nhost: {page}\r\n\r\n");
    let hint = format!("POST /hints/argil/{HINT_TOKEN} HTTP/1.1\r\nhost: {page}\r\n");
    let half = format!("{hint}content-length: 60\r\n\r\nhalf");
    for says in ["", "GET /hea", &whole[..whole.len() - 2], &whole, &hint, &half] {
        let mut stream = stranger(page, says);
        wait_until(&format!("the end after {says:?}"), || is_ended(&mut stream));
    }
}

/// More connections than the limit of these tests.
const MANY: usize = 100;
