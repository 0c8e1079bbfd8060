//! The endpoint of hints over real sockets: slow, endless, many and malformed requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::secret::Secret;
use avatar_watch::web::endpoints::hints::{Hints, RESPONSE_DELAY, TASKS_MAX, routes};
use avatar_watch::web::http::server::{self, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A running listener.
struct HintListener {
    address: SocketAddr,
    hinted: mpsc::Receiver<AvatarId>,
    tasks: Arc<Semaphore>,
    _token: watch::Sender<Option<Secret>>,
    end: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

fn open(limits: ServerLimits, queue: usize) -> HintListener {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (token, followed) = watch::channel(Some(Secret::new(TOKEN)));
    let (sender, hinted) = mpsc::channel(queue);
    let (end, ended) = oneshot::channel::<()>();
    let tasks = Arc::new(Semaphore::new(TASKS_MAX));
    let routes = routes(Hints { token: followed, hinted: sender, tasks: Arc::clone(&tasks) });
    let served = tokio::spawn(async move {
        server::run(listener, routes, limits, async { drop(ended.await) }, |_| {}).await.unwrap();
    });
    HintListener { address, hinted, tasks, _token: token, end, served }
}

/// Short time limits.
fn short() -> ServerLimits {
    ServerLimits {
        connections: 8,
        answers: 4,
        streams: 2,
        write_timeout: Duration::from_millis(300),
        header_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(500),
        drain: Duration::from_millis(300),
        shutdown_grace: Duration::from_millis(300),
    }
}

fn hint(token: &str, method: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} /hints/argil/{token} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// Sends a request and reads until the server closes; empty without a response.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A client that is disconnected while it sends may miss the response.
    drop(stream.write_all(request).await);
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let end = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "the connection does not end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Runs a test with one blocking thread, so that hints are processed in order.
fn in_order(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(test);
}

/// Waits until all answered hints are processed.
async fn all_read(listener: &HintListener) {
    let all = u32::try_from(TASKS_MAX).unwrap();
    drop(timeout(LIMIT, listener.tasks.acquire_many(all)).await.unwrap().unwrap());
}

/// Sends a hint about an avatar.
async fn hint_about(listener: &HintListener, avatar: &str) -> String {
    let body = format!(r#"{{"avatarId":"{avatar}"}}"#);
    ask(listener.address, hint(TOKEN, "POST", &body).as_bytes()).await
}

async fn next(listener: &mut HintListener) -> String {
    timeout(LIMIT, listener.hinted.recv()).await.unwrap().unwrap().to_string()
}

#[test]
fn every_hint_gets_the_same_response() {
    in_order(async {
        let mut listener = open(ServerLimits::default(), 16);
        let good = r#"{"event":"AVATAR_TRAINING_SUCCESS","data":{"avatarId":"a1"}}"#;
        let undated = |answer: String| {
            let lines = answer.split("\r\n").filter(|line| !line.starts_with("date: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = undated(ask(listener.address, hint(TOKEN, "POST", good).as_bytes()).await);
        assert_eq!(expected[0], "HTTP/1.1 202 Accepted");
        assert_eq!(expected.last().unwrap(), "", "there is no body");
        assert_eq!(next(&mut listener).await, "a1");
        let nested = "[".repeat(60_000);
        let large = format!("[{}0]", "{},".repeat(30_000));
        for (token, method, body) in [
            (TOKEN, "POST", "junk"),
            (TOKEN, "POST", ""),
            (TOKEN, "POST", nested.as_str()),
            (TOKEN, "POST", large.as_str()),
            (TOKEN, "POST", r#"{"data":{"avatarId":7}}"#),
            (TOKEN, "GET", good),
            (TOKEN, "DELETE", good),
            ("wrong", "POST", good),
            ("0123456789abcdeF", "POST", good),
            ("%30123456789abcdef", "POST", good),
        ] {
            let answer = ask(listener.address, hint(token, method, body).as_bytes()).await;
            let shown = &body[..body.len().min(40)];
            assert_eq!(undated(answer), expected, "{method} {token} {shown}");
        }
        all_read(&listener).await;
        assert!(listener.hinted.try_recv().is_err(), "none of them is a hint");
    });
}

/// The timing must not disclose whether the token was right.
#[test]
fn a_hint_is_answered_before_token_and_body_are_examined() {
    in_order(async {
        let mut listener = open(ServerLimits::default(), 16);
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        for token in [TOKEN, "wrong"] {
            let request = hint(token, "POST", r#"{"avatarId":"a1"}"#);
            let answer = ask(listener.address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        }
        assert!(listener.hinted.try_recv().is_err(), "nothing was read yet");
        drop(let_go);
        assert_eq!(next(&mut listener).await, "a1");
    });
}

/// Processing must not delay the response, not even on one processor.
#[tokio::test(flavor = "multi_thread")]
async fn a_hint_is_processed_after_its_response() {
    let mut listener = open(ServerLimits::default(), 16);
    let mut was_quick = false;
    while !was_quick {
        let asked = Instant::now();
        hint_about(&listener, "a1").await;
        tokio::time::sleep(RESPONSE_DELAY / 3).await;
        let read = listener.hinted.try_recv().is_ok();
        was_quick = asked.elapsed() < RESPONSE_DELAY;
        assert!(!(was_quick && read), "it was read already");
        all_read(&listener).await;
        while listener.hinted.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_is_read_up_to_the_limit() {
    let mut listener = open(short(), 16);
    let mut stream = TcpStream::connect(listener.address).await.unwrap();
    let head = format!(
        "POST /hints/argil/{TOKEN} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let mut sent = 0;
    let sending = async {
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
    };
    timeout(LIMIT, sending).await.expect("it is cut off");
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes went out");
    // The listener still works.
    hint_about(&listener, "a1").await;
    assert_eq!(next(&mut listener).await, "a1");
}

#[test]
fn a_full_queue_drops_hints_and_still_responds() {
    in_order(async {
        let mut listener = open(ServerLimits::default(), 2);
        for number in 0..10 {
            let answer = hint_about(&listener, &format!("a{number}")).await;
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        }
        all_read(&listener).await;
        assert_ne!(next(&mut listener).await, next(&mut listener).await);
        assert!(listener.hinted.try_recv().is_err(), "two is what fits");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_short_requests_and_aborts_long_ones() {
    let mut listener = open(
        ServerLimits { request_timeout: LIMIT, shutdown_grace: Duration::from_secs(2), ..short() },
        16,
    );
    let request = hint(TOKEN, "POST", r#"{"avatarId":"a1"}"#);
    let (start, rest) = request.split_at(request.len() - 1);
    let mut quick = TcpStream::connect(listener.address).await.unwrap();
    let mut slow = TcpStream::connect(listener.address).await.unwrap();
    quick.write_all(start.as_bytes()).await.unwrap();
    slow.write_all(start.as_bytes()).await.unwrap();
    // Both are accepted once a later one has been answered.
    hint_about(&listener, "a2").await;
    assert_eq!(next(&mut listener).await, "a2");
    listener.end.send(()).unwrap();
    quick.write_all(rest.as_bytes()).await.unwrap();
    assert!(read(&mut quick).await.starts_with("HTTP/1.1 202"));
    timeout(LIMIT, listener.served).await.expect("it ends").unwrap();
    assert_eq!(read(&mut slow).await, "");
    assert!(TcpStream::connect(listener.address).await.is_err(), "the listener is closed");
}

const TOKEN: &str = "0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(15);
