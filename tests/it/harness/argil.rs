//! A fake Argil API: keeps a status for each avatar, and gives special responses on request,
//! down to broken HTTP and dying connections.
//!
//! It speaks HTTP/1.1 over raw sockets, keeps connections open, and runs on a thread of its
//! own, so that tests with and without a runtime can use it. It counts and records what it was
//! asked, and is gone when dropped. An avatar that was never set is answered with 404.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use url::Url;

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The id in the path, decoded; empty when the path is not one of an avatar.
    pub(crate) avatar: String,
    /// The path, and the query if there is one, as sent.
    pub(crate) path: String,
    /// The headers, their names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    /// Which connection it came on, counted from 1.
    pub(crate) connection: usize,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A special answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A proper answer with these headers and this body; the connection is kept.
    Status { code: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// These bytes, whatever they are; then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes in pieces, each sent on its own after a pause; then it is closed.
    Drip { pieces: Vec<Vec<u8>>, pause: Duration },
    /// These bytes, then the second ones over and over, until the other side hangs up.
    Endless { head: Vec<u8>, piece: Vec<u8> },
    /// These bytes (none will do), then silence, with the connection open.
    Stall(Vec<u8>),
    /// The connection is closed without a word.
    CloseBeforeHead,
    /// The connection is reset (RST) without a word.
    Reset,
    /// The answer of the status that is set, but only once the gate is opened.
    Hold(Arc<Notify>),
}

impl Answer {
    /// A proper answer with a code and a body.
    pub(crate) fn status(code: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Status { code, headers: Vec::new(), body: body.into() }
    }

    /// The same answer with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// The fake API. Dropping it closes every connection.
pub(crate) struct FakeArgil {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl FakeArgil {
    /// Starts a fake API on a free port, with no avatars.
    pub(crate) fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts a fake API at that address, as one does after an outage.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let server = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, server) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is, as a client's base URL.
    pub(crate) fn base_url(&self) -> Url {
        format!("http://{}/v1", self.address).parse().unwrap()
    }

    /// From now on the avatar has this status.
    pub(crate) fn set_status(&self, id: &str, status: &str) {
        self.set_avatar(id, json!({"id": id, "name": format!("avatar {id}"), "status": status}));
    }

    /// From now on the avatar is this JSON.
    pub(crate) fn set_avatar(&self, id: &str, avatar: Value) {
        self.shared.state().avatars.insert(id.to_owned(), avatar);
    }

    /// From now on there is no such avatar.
    pub(crate) fn remove(&self, id: &str) {
        self.shared.state().avatars.remove(id);
    }

    /// The avatar's next request gets this answer instead; several wait in line.
    pub(crate) fn answer_next(&self, id: &str, answer: Answer) {
        self.shared.state().queues.entry(id.to_owned()).or_default().push_back(answer);
    }

    /// From now on lists do not show the avatar.
    pub(crate) fn hide_from_list(&self, id: &str) {
        self.shared.state().hidden.insert(id.to_owned());
    }

    /// The next list gets this answer instead; several wait in line.
    pub(crate) fn answer_list_next(&self, answer: Answer) {
        self.answer_next("", answer);
    }

    /// How many lists were asked for.
    pub(crate) fn lists(&self) -> usize {
        self.shared.state().requests.iter().filter(|it| it.path == LIST).count()
    }

    /// Every request goes through this from now on; `None` lets it pass to the rest. The hook
    /// must not ask the fake itself.
    pub(crate) fn answer_with(&self, hook: impl Fn(&Request) -> Option<Answer> + Send + 'static) {
        self.shared.state().hook = Some(Box::new(hook));
    }

    /// From now on a request with another `x-api-key` is answered with 401.
    pub(crate) fn require_key(&self, key: &str) {
        self.shared.state().key = Some(key.to_owned());
    }

    /// Every request so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// How many requests there were for the avatar.
    pub(crate) fn count(&self, id: &str) -> usize {
        self.shared.state().requests.iter().filter(|request| request.avatar == id).count()
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Waits until the requests so far make it true.
    ///
    /// # Panics
    /// With `what` in the text, when it did not become true within the limit.
    pub(crate) async fn wait_until(&self, what: &str, mut fact: impl FnMut(&[Request]) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        let waiting = async {
            while !fact(&self.requests()) {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(WAIT_MAX, waiting).await.is_err() {
            panic!("not within {WAIT_MAX:?}: {what}; requests: {:#?}", self.requests());
        }
    }

    /// The same for a test without a runtime.
    pub(crate) fn wait_until_blocking(&self, what: &str, fact: impl FnMut(&[Request]) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(self.wait_until(what, fact));
    }
}

impl Drop for FakeArgil {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Hook = Box<dyn Fn(&Request) -> Option<Answer> + Send>;

#[derive(Default)]
struct State {
    avatars: HashMap<String, Value>,
    queues: HashMap<String, VecDeque<Answer>>,
    hidden: HashSet<String>,
    hook: Option<Hook>,
    key: Option<String>,
    requests: Vec<Request>,
    connections: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Records the request and chooses its answer: the hook first, then what is in line, then
    /// the key, then the status.
    fn take(&self, request: &Request) -> Answer {
        let mut state = self.state();
        state.requests.push(request.clone());
        let special = state.hook.as_ref().and_then(|hook| hook(request));
        let special = special.or_else(|| state.queues.get_mut(&request.avatar)?.pop_front());
        drop(state);
        self.changes.send_replace(());
        special.unwrap_or_else(|| self.usual(request))
    }

    fn usual(&self, request: &Request) -> Answer {
        let state = self.state();
        if state.key.is_some() && request.header("x-api-key") != state.key.as_deref() {
            let body = json!({"code": 401, "message": "Unauthorized"});
            return Answer::status(401, body.to_string());
        }
        if request.path == LIST {
            let shown = state.avatars.iter().filter(|(id, _)| !state.hidden.contains(*id));
            let list: BTreeMap<_, _> = shown.collect();
            return Answer::status(200, json!(list.values().collect::<Vec<_>>()).to_string());
        }
        match state.avatars.get(&request.avatar) {
            Some(avatar) => Answer::status(200, avatar.to_string()),
            None => {
                let body = json!({"code": 404, "message": "Avatar not found"});
                Answer::status(404, body.to_string())
            }
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = {
            let mut state = shared.state();
            state.connections += 1;
            state.connections
        };
        let shared = Arc::clone(&shared);
        // The tasks end with the runtime, and that with the server.
        tokio::spawn(async move { converse(stream, number, &shared).await });
    }
}

/// Answers request after request until one side hangs up.
async fn converse(mut stream: TcpStream, connection: usize, shared: &Shared) {
    let mut unread = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut unread, connection).await {
        let mut answer = shared.take(&request);
        if let Answer::Hold(gate) = answer {
            gate.notified().await;
            answer = shared.usual(&request);
        }
        let Answer::Status { code, headers, body } = answer else {
            return misbehave(stream, answer).await;
        };
        if stream.write_all(&proper(code, &headers, &body)).await.is_err() {
            return;
        }
    }
}

async fn misbehave(mut stream: TcpStream, answer: Answer) {
    match answer {
        Answer::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            // A close with unread bytes would be a reset.
            let _ = stream.shutdown().await;
        }
        Answer::Drip { pieces, pause } => {
            let _ = stream.set_nodelay(true);
            for piece in pieces {
                if stream.write_all(&piece).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        }
        Answer::Endless { head, piece } => {
            let mut written = stream.write_all(&head).await;
            while written.is_ok() {
                written = stream.write_all(&piece).await;
            }
        }
        Answer::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        Answer::Reset => {
            let _ = stream.set_zero_linger();
        }
        Answer::CloseBeforeHead | Answer::Status { .. } | Answer::Hold(_) => {}
    }
}

fn proper(code: u16, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {code} Said\r\n").into_bytes();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        bytes.extend_from_slice(b"content-type: application/json\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !matches!(code, 204 | 304) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Reads the next head; a GET has no body.
async fn next_request(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    connection: usize,
) -> Option<Request> {
    let end = loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    };
    let head: Vec<u8> = unread.drain(..end + 4).collect();
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let id = path.strip_prefix("/v1/avatars/").filter(|id| !id.contains(['/', '?']));
    let avatar = percent_decode_str(id.unwrap_or("")).decode_utf8_lossy().into_owned();
    Some(Request { avatar, path, headers, connection })
}

/// The path of a list.
const LIST: &str = "/v1/avatars?visibility=private";
/// How long a test waits for a fact.
const WAIT_MAX: Duration = Duration::from_secs(10);
