//! The fake Argil API, with special responses on request, down to broken HTTP and dying
//! connections.
//!
//! It runs on a thread of its own, so that tests with and without a runtime can use it. It records
//! what it was asked, and is gone when dropped.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use avatar_watch::demo::fake_argil::{self, LIST, id_in};
use avatar_watch::demo::fake_server::{self, Response, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use url::Url;

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The id in the path, decoded; empty when the path is not one of an avatar.
    pub(crate) avatar: String,
    sent: fake_server::Request,
}

impl Deref for Request {
    type Target = fake_server::Request;

    fn deref(&self) -> &Self::Target {
        &self.sent
    }
}

/// A special answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A proper answer with these headers and this body; the connection is kept.
    Status { code: u16, headers: Vec<(String, String)>, body: Vec<u8> },
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
    /// The connection is reset in the middle of a head.
    ResetInHead,
    /// The answer of the status that is set, but only once the gate is opened.
    Hold(Arc<Notify>),
}

impl Answer {
    /// A proper answer with a code and a body.
    pub(crate) fn status(code: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Status { code, headers: Vec::new(), body: body.into() }
    }

    /// The same answer with one more header.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }

    /// What the server makes of it.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::Status { code, headers, body } => Response::Whole { code, headers, body },
            // The other side may hang up at any time; that is its right.
            broken => Response::Broken(Box::new(|stream| {
                Box::pin(async { drop(broken.give(stream).await) })
            })),
        }
    }

    async fn give(self, mut stream: TcpStream) -> std::io::Result<()> {
        match self {
            Self::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                // A close with unread bytes would be a reset.
                stream.shutdown().await
            }
            Self::Drip { pieces, pause } => {
                stream.set_nodelay(true)?;
                for piece in pieces {
                    stream.write_all(&piece).await?;
                    tokio::time::sleep(pause).await;
                }
                Ok(())
            }
            Self::Endless { head, piece } => {
                stream.write_all(&head).await?;
                loop {
                    stream.write_all(&piece).await?;
                }
            }
            Self::Stall(bytes) => {
                stream.write_all(&bytes).await?;
                stream.read_to_end(&mut Vec::new()).await.map(drop)
            }
            Self::Reset => stream.set_zero_linger(),
            Self::ResetInHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await?;
                stream.set_zero_linger()
            }
            Self::CloseBeforeHead | Self::Status { .. } | Self::Hold(_) => Ok(()),
        }
    }
}

/// The fake API. Dropping it closes every connection.
pub(crate) struct FakeArgil {
    address: SocketAddr,
    shared: Arc<Shared>,
    connections: Arc<AtomicUsize>,
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
        let (shared, connections) = (Arc::new(Shared::default()), Arc::default());
        let (stop, stopped) = oneshot::channel();
        let (server, counted) = (Arc::clone(&shared), Arc::clone(&connections));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let respond = move |request| respond(Arc::clone(&server), request);
                tokio::select! {
                    () = serve(listener, counted, respond) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, connections, stop: Some(stop), thread: Some(thread) }
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

    /// From now on all of these have this status.
    pub(crate) fn set_all(&self, ids: &[&str], status: &str) {
        ids.iter().for_each(|id| self.set_status(id, status));
    }

    /// The avatar's next request gets this answer instead; several wait in line.
    pub(crate) fn answer_next(&self, id: &str, answer: Answer) {
        self.shared.state().queues.entry(id.to_owned()).or_default().push_back(answer);
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
        self.connections.load(Ordering::SeqCst)
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

impl Deref for FakeArgil {
    type Target = fake_argil::FakeArgil;

    fn deref(&self) -> &Self::Target {
        &self.shared.fake
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
    queues: HashMap<String, VecDeque<Answer>>,
    hook: Option<Hook>,
    requests: Vec<Request>,
}

#[derive(Default)]
struct Shared {
    fake: fake_argil::FakeArgil,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Records the request; its special answer is the hook's, or what is in line.
    fn record(&self, request: &Request) -> Option<Answer> {
        let mut state = self.state();
        state.requests.push(request.clone());
        let special = state.hook.as_ref().and_then(|hook| hook(request));
        let special = special.or_else(|| state.queues.get_mut(&request.avatar)?.pop_front());
        drop(state);
        self.changes.send_replace(());
        special
    }
}

async fn respond(shared: Arc<Shared>, sent: fake_server::Request) -> Response {
    let request = Request { avatar: id_in(&sent.path), sent };
    match shared.record(&request) {
        Some(Answer::Hold(gate)) => gate.notified().await,
        Some(special) => return special.response(),
        None => {}
    }
    shared.fake.respond(&request)
}

/// How long a test waits for a fact.
const WAIT_MAX: Duration = Duration::from_secs(10);
