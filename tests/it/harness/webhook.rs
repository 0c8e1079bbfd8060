//! A receiver of webhooks: records every request to the byte, and responds as configured. Without
//! a script it answers 200.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avatar_watch::demo::fake_server::{Request, Response, serve};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::argil;

/// A running receiver.
pub(crate) struct Receiver {
    port: u16,
    state: Arc<State>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received(Request);

impl Deref for Received {
    type Target = Request;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
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
    /// The end of the connection after the request.
    CloseBeforeHead,
    /// Bytes that are no HTTP.
    Garbage,
    /// 200, once [`Receiver::release`] was called.
    Hold,
    /// Anything else.
    Broken(argil::Answer),
}

impl Answer {
    /// That status, with a short body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: b"as scripted".to_vec() }
    }

    /// The same with one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let Self::Status { headers, .. } = &mut self else {
            panic!("only a proper answer has headers");
        };
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with that body.
    #[must_use]
    pub(crate) fn body(mut self, chosen: impl Into<Vec<u8>>) -> Self {
        let Self::Status { body, .. } = &mut self else {
            panic!("only a proper answer has a body that can be chosen");
        };
        *body = chosen.into();
        self
    }

    /// A redirect to another place.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    fn response(self, request: &Received) -> Response {
        let broken = match self {
            Self::Status { status: code, headers, body } => {
                return Response::Whole { code, headers, body };
            }
            Self::Echo(status, echo) => return Response::new(status, echo(request)),
            Self::Hold => return Response::new(200, ""),
            Self::Stall => argil::Answer::Stall(Vec::new()),
            Self::Reset => argil::Answer::Reset,
            Self::CloseBeforeHead => argil::Answer::CloseBeforeHead,
            Self::Garbage => argil::Answer::Raw(b"220 this is no web server\r\n".to_vec()),
            Self::Broken(broken) => broken,
        };
        broken.response()
    }
}

impl Receiver {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, connections) = (Arc::new(State::default()), Arc::default());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        let respond = move |request| respond(Arc::clone(&shared), Received(request));
        tasks.spawn(serve(listener, Arc::clone(&connections), respond));
        Self { port, state, connections, _tasks: tasks }
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
        self.connections.load(Ordering::SeqCst)
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

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
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

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Answer>>,
    received: watch::Sender<Vec<Received>>,
    released: watch::Sender<bool>,
}

async fn respond(state: Arc<State>, request: Received) -> Response {
    let mut answer = None;
    // In one go, so that answers are given in the order of arrival.
    state.received.send_modify(|received| {
        answer = state.script.lock().unwrap().pop_front();
        received.push(request.clone());
    });
    let answer = answer.unwrap_or(Answer::status(200));
    if matches!(answer, Answer::Hold) {
        let _ = state.released.subscribe().wait_for(|released| *released).await;
    }
    answer.response(&request)
}

/// How long a test waits for a fact before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
