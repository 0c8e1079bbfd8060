//! A receiver of webhooks: records every request to the byte, and responds as configured.
//!
//! Implements HTTP/1.1 itself, so that it can misbehave in ways that no server library allows. One
//! request a connection. Without a script it answers 200.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running receiver.
pub(crate) struct Receiver {
    port: u16,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A proper answer.
    Status { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// That status, and what this makes of the request.
    Echo(u16, fn(&Received) -> String),
    /// No response, forever.
    Stall,
    /// A reset of the connection after the request.
    Reset,
    /// A reset in the middle of the head of an answer.
    ResetInHead,
    /// The head of an answer that has no end.
    EndlessHead,
    /// Answers that are none yet (1xx), without an end.
    EndlessInformation,
    /// An answer that is cut off in its body.
    CutBody,
    /// The end of the connection after the request.
    CloseBeforeHead,
    /// 200, and a body of one byte every few milliseconds, without an end.
    Drip,
    /// 200, and a body without an end, as fast as it goes.
    Flood,
    /// 200 with the promise of a body that never comes.
    OkThenStall,
    /// Bytes that are no HTTP.
    Garbage,
    /// 200, once [`Receiver::release`] was called.
    Hold,
}

impl Answer {
    /// That status, with a short body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: b"as scripted".to_vec() }
    }

    /// The same with one more header.
    #[must_use]
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let Self::Status { status, mut headers, body } = self else {
            panic!("only a proper answer has headers");
        };
        headers.push((name.to_owned(), value.to_owned()));
        Self::Status { status, headers, body }
    }

    /// The same with that body.
    #[must_use]
    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let Self::Status { status, headers, .. } = self else {
            panic!("only a proper answer has a body that can be chosen");
        };
        Self::Status { status, headers, body: body.into() }
    }

    /// A redirect to another place.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }
}

impl Receiver {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state)));
        Self { port, state, _tasks: tasks }
    }

    /// From now on, connections are reset before anything is read.
    pub(crate) fn hang_up(&self) {
        *self.state.hangs_up.lock().unwrap() = true;
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// What to answer to the next requests, one after the other.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.script.lock().unwrap().extend(answers);
    }

    /// Lets all held requests go, and those to come.
    pub(crate) fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// All requests so far, in the order of arrival.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.borrow().clone()
    }

    /// How many connections were made, with or without a request.
    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Waits until there were at least that many requests.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.state.received.subscribe();
        let waiting = received.wait_for(|received| received.len() >= count);
        let ended = tokio::time::timeout(LIMIT, waiting).await.map(|seen| seen.unwrap().clone());
        ended.unwrap_or_else(|_| panic!("{} of {count} requests came", self.received().len()))
    }
}

impl Received {
    /// The value of a header that came exactly once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values: Vec<&str> =
            self.headers.iter().filter(|(key, _)| key == name).map(|(_, v)| v.as_str()).collect();
        assert_eq!(values.len(), 1, "`{name}` came {} times", values.len());
        values[0]
    }

    /// Whether a header came at all.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key == name)
    }

    /// Verifies the signature with the published library, which also wants a timestamp within
    /// five minutes of the real clock.
    pub(crate) fn verify(&self, secret: &str) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let hook = standardwebhooks::Webhook::new(secret).unwrap();
        hook.verify(&self.body, &headers).map_err(|error| error.to_string())
    }

    /// Whether the published library signs the same, whatever the time is: for clocks that are
    /// advanced by the test.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let hook = standardwebhooks::Webhook::new(secret).unwrap();
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let signed = hook.sign(self.header("webhook-id"), timestamp, &self.body).unwrap();
        self.header("webhook-signature").split(' ').any(|token| token == signed)
    }
}

struct State {
    script: Mutex<VecDeque<Answer>>,
    received: watch::Sender<Vec<Received>>,
    released: watch::Sender<bool>,
    connections: Mutex<usize>,
    hangs_up: Mutex<bool>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            script: Mutex::default(),
            received: watch::Sender::new(Vec::new()),
            released: watch::Sender::new(false),
            connections: Mutex::default(),
            hangs_up: Mutex::default(),
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Dropped together with the receiver, and every conversation with it.
    let mut conversations = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        *state.connections.lock().unwrap() += 1;
        if *state.hangs_up.lock().unwrap() {
            stream.set_zero_linger().unwrap();
            continue;
        }
        conversations.spawn(converse(stream, Arc::clone(&state)));
    }
}

async fn converse(mut stream: TcpStream, state: Arc<State>) {
    let Some(request) = read_request(&mut stream).await else { return };
    // In one go, so that answers are given in the order of arrival.
    let mut answer = Answer::status(200);
    state.received.send_modify(|received| {
        answer = state.script.lock().unwrap().pop_front().unwrap_or(Answer::status(200));
        if let Answer::Echo(status, echo) = answer {
            answer = Answer::status(status).body(echo(&request));
        }
        received.push(request);
    });
    // The other side may hang up at any time; that is its right.
    let _ = give(&mut stream, answer, &state).await;
}

async fn give(stream: &mut TcpStream, answer: Answer, state: &State) -> std::io::Result<()> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    match answer {
        Answer::Status { status, headers, body } => {
            stream.write_all(&response(status, &headers, &body)).await?;
            stream.shutdown().await
        }
        Answer::Hold => {
            let _ = state.released.subscribe().wait_for(|released| *released).await;
            stream.write_all(&response(200, &[], b"")).await?;
            stream.shutdown().await
        }
        Answer::Stall | Answer::Echo(..) => std::future::pending().await,
        Answer::Reset => stream.set_zero_linger(),
        Answer::CloseBeforeHead => Ok(()),
        Answer::ResetInHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await?;
            stream.set_zero_linger()
        }
        Answer::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: and more\r\n").await?;
            }
        }
        Answer::EndlessInformation => loop {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await?;
        },
        Answer::CutBody => {
            stream.write_all(OK).await?;
            stream.write_all(b"so far").await
        }
        Answer::Garbage => stream.write_all(b"220 this is no web server\r\n").await,
        Answer::OkThenStall => {
            stream.write_all(OK).await?;
            std::future::pending().await
        }
        Answer::Drip => {
            stream.write_all(OK).await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Answer::Flood => {
            stream.write_all(OK).await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
            }
        }
    }
}

fn response(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 204 && status != 304 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if status != 204 && status != 304 {
        bytes.extend_from_slice(body);
    }
    bytes
}

async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            stream.write_all(&response(400, &[], b"")).await.ok()?;
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(head_end);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { method, path, headers, body })
}

/// The first byte of a client that expects TLS; it gets what common web servers say to that.
const TLS_HANDSHAKE: u8 = 0x16;
/// How long a test waits for a fact before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
