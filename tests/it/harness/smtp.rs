//! A mail server: records mails to the byte, and misbehaves as configured, step by step.
//!
//! Implements SMTP itself, in plain, with STARTTLS, or with TLS from the first byte, under a
//! certificate that it made itself. Each connection takes the next plan of the script; without
//! one it behaves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A running mail server.
pub(crate) struct Mailbox {
    port: u16,
    ca_pem: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// How the server secures its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    Starttls,
    Implicit,
}

/// A mail that the server took, or was about to take.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The bytes between DATA and the dot, without dot-stuffing.
    pub(crate) data: Vec<u8>,
    pub(crate) encrypted: bool,
    /// Who was logged in.
    pub(crate) user: Option<String>,
}

/// A step of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Greeting,
    Ehlo,
    /// Refused, unless the plan says otherwise.
    Helo,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
    Quit,
}

/// What goes wrong at a step.
#[derive(Clone, Debug)]
pub(crate) enum Upset {
    /// This answer instead of a good one.
    Reply(&'static str),
    /// These bytes instead of a good answer, as they are.
    Raw(&'static [u8]),
    /// These bytes, and the end of the connection right behind them.
    RawThenDrop(&'static [u8]),
    /// At AUTH: this question before anything else is heard.
    Ask(&'static str),
    /// No response, forever.
    Stall,
    /// A good answer, after so much time.
    Slow(Duration),
    /// The end of the connection instead of an answer.
    Drop,
}

/// What goes wrong in one connection.
pub(crate) type Plan = Vec<(Step, Upset)>;

impl Mailbox {
    /// Listens on a free port; wants a login if there is one.
    pub(crate) async fn start(security: Security, login: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let identity = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        let state = Arc::new(State {
            security,
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            tls: TlsAcceptor::from(Arc::new(tls)),
            mechanisms: Mutex::new("PLAIN LOGIN".to_owned()),
            script: Mutex::default(),
            mails: watch::Sender::new(Vec::new()),
            talk: Mutex::default(),
            sessions: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state)));
        Self { port, ca_pem: identity.cert.pem(), state, _tasks: tasks }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that vouches for the server.
    pub(crate) fn ca_pem(&self) -> Vec<u8> {
        self.ca_pem.clone().into_bytes()
    }

    /// What goes wrong in the next connections, one after the other.
    pub(crate) fn script(&self, plans: impl IntoIterator<Item = Plan>) {
        self.state.script.lock().unwrap().extend(plans);
    }

    /// The ways of logging in that are offered.
    pub(crate) fn offer_auth(&self, mechanisms: &str) {
        *self.state.mechanisms.lock().unwrap() = mechanisms.to_owned();
    }

    /// All mails that reached their dot and were not refused.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.state.mails.borrow().clone()
    }

    /// Everything that clients said, line by line, without the mails.
    pub(crate) fn talk(&self) -> Vec<String> {
        self.state.talk.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(crate) fn sessions(&self) -> usize {
        *self.state.sessions.lock().unwrap()
    }

    /// Waits until there are at least that many mails.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mut mails = self.state.mails.subscribe();
        let waiting = mails.wait_for(|mails| mails.len() >= count);
        let ended = tokio::time::timeout(LIMIT, waiting).await.map(|seen| seen.unwrap().clone());
        ended.unwrap_or_else(|_| panic!("{} of {count} mails came", self.mails().len()))
    }
}

struct State {
    security: Security,
    login: Option<(String, String)>,
    tls: TlsAcceptor,
    mechanisms: Mutex<String>,
    script: Mutex<VecDeque<Plan>>,
    mails: watch::Sender<Vec<Mail>>,
    talk: Mutex<Vec<String>>,
    sessions: Mutex<usize>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection. `None` from a step is its end.
struct Session {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    plan: Plan,
    state: Arc<State>,
    encrypted: bool,
    user: Option<String>,
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut conversations = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        *state.sessions.lock().unwrap() += 1;
        let plan = state.script.lock().unwrap().pop_front().unwrap_or_default();
        conversations.spawn(converse(stream, plan, Arc::clone(&state)));
    }
}

async fn converse(stream: TcpStream, plan: Plan, state: Arc<State>) -> Option<()> {
    let encrypted = state.security == Security::Implicit;
    let stream: Box<dyn Stream> =
        if encrypted { Box::new(state.tls.accept(stream).await.ok()?) } else { Box::new(stream) };
    let session = Session { stream, buffer: Vec::new(), plan, state, encrypted, user: None };
    session.run().await
}

impl Session {
    async fn run(mut self) -> Option<()> {
        self.answer(Step::Greeting, "220 mailbox ready").await?;
        let (mut from, mut to) = (String::new(), String::new());
        loop {
            let line = self.line().await?;
            self.state.talk.lock().unwrap().push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.hello().await?,
                "HELO" => self.answer(Step::Helo, "502 what?").await.map(drop)?,
                "STARTTLS" => self = self.starttls().await?,
                "AUTH" => self.auth(&line).await?,
                "MAIL" => {
                    from = address(&line);
                    let good = self.user.is_some() || self.state.login.is_none();
                    let reply = if good { "250 sender ok" } else { "530 log in first" };
                    self.answer(Step::Mail, reply).await?;
                }
                "RCPT" => {
                    to = address(&line);
                    self.answer(Step::Rcpt, "250 recipient ok").await?;
                }
                "DATA" => {
                    if self.answer(Step::Data, "354 go").await?.starts_with('3') {
                        self.data(&from, &to).await?;
                    }
                }
                "QUIT" => {
                    self.answer(Step::Quit, "221 bye").await?;
                    return Some(());
                }
                _ => self.say("500 what?").await?,
            }
        }
    }

    async fn hello(&mut self) -> Option<()> {
        let mut offers = vec!["mailbox".to_owned(), "8BITMIME".to_owned()];
        if self.state.security == Security::Starttls && !self.encrypted {
            offers.push("STARTTLS".to_owned());
        }
        if self.state.login.is_some() {
            offers.push(format!("AUTH {}", self.state.mechanisms.lock().unwrap()));
        }
        let last = offers.len() - 1;
        let line = |(at, offer)| format!("250{}{offer}", if at == last { ' ' } else { '-' });
        let reply: Vec<String> = offers.iter().enumerate().map(line).collect();
        self.answer(Step::Ehlo, &reply.join("\r\n")).await.map(drop)
    }

    async fn starttls(mut self) -> Option<Self> {
        if !self.answer(Step::Starttls, "220 go").await?.starts_with("220") {
            return Some(self);
        }
        self.stream = Box::new(self.state.tls.accept(self.stream).await.ok()?);
        self.encrypted = true;
        Some(self)
    }

    async fn auth(&mut self, line: &str) -> Option<()> {
        let decoded = |text: &str| {
            String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned()
        };
        let mut words = line.split(' ').skip(1);
        let pair = match (words.next()?, words.next()) {
            ("PLAIN", Some(initial)) => {
                let mut said = initial.to_owned();
                while let Some(question) = self.question() {
                    self.say(question).await?;
                    said = self.line().await?;
                }
                let parts = decoded(&said);
                let mut parts = parts.split('\0').skip(1).map(str::to_owned);
                (parts.next()?, parts.next()?)
            }
            ("LOGIN", None) => {
                let question = self.question().unwrap_or("334 VXNlcm5hbWU6");
                self.say(question).await?;
                let user = decoded(&self.line().await?);
                let question = self.question().unwrap_or("334 UGFzc3dvcmQ6");
                self.say(question).await?;
                (user, decoded(&self.line().await?))
            }
            ("XOAUTH2", Some(initial)) => {
                let parts = decoded(initial);
                let mut parts = parts.split('\x01');
                let user = parts.next()?.strip_prefix("user=")?.to_owned();
                (user, parts.next()?.strip_prefix("auth=Bearer ")?.to_owned())
            }
            _ => return self.say("504 unknown").await,
        };
        let good = self.state.login.as_ref() == Some(&pair);
        if !good && line.starts_with("AUTH XOAUTH2") {
            // The reason, as a question; the verdict comes after its answer.
            let reason = STANDARD.encode(r#"{"status":"401","schemes":"bearer"}"#);
            self.say(&format!("334 {reason}")).await?;
            let answer = self.line().await?;
            self.state.talk.lock().unwrap().push(answer);
        }
        let reply = if good { "235 welcome" } else { "535 5.7.8 wrong user or password" };
        if self.answer(Step::Auth, reply).await?.starts_with("235") {
            self.user = Some(pair.0);
        }
        Some(())
    }

    async fn data(&mut self, from: &str, to: &str) -> Option<()> {
        let mut data = Vec::new();
        loop {
            let line = self.raw_line().await?;
            if line == b".\r\n" {
                break;
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let refused = self.plan.iter().any(|(step, upset)| {
            *step == Step::Dot && matches!(upset, Upset::Reply(reply) if !reply.starts_with('2'))
        });
        if !refused {
            let mail = Mail {
                from: from.to_owned(),
                to: to.to_owned(),
                data,
                encrypted: self.encrypted,
                user: self.user.clone(),
            };
            self.state.mails.send_modify(|mails| mails.push(mail));
        }
        self.answer(Step::Dot, "250 2.0.0 queued as 4711").await.map(drop)
    }

    /// Answers as planned; the reply that was given, or `None` when the connection is to end.
    async fn answer(&mut self, step: Step, good: &str) -> Option<String> {
        match self.take(step, |_| true) {
            None => self.say(good).await.map(|()| good.to_owned()),
            Some(Upset::Reply(reply)) => self.say(reply).await.map(|()| reply.to_owned()),
            Some(Upset::Raw(bytes)) => {
                self.stream.write_all(bytes).await.ok()?;
                self.stream.flush().await.ok()?;
                Some(String::from_utf8_lossy(bytes.trim_ascii()).into_owned())
            }
            Some(Upset::RawThenDrop(bytes)) => {
                self.stream.write_all(bytes).await.ok()?;
                self.stream.flush().await.ok()?;
                None
            }
            Some(Upset::Stall) => std::future::pending().await,
            Some(Upset::Slow(time)) => {
                tokio::time::sleep(time).await;
                self.say(good).await.map(|()| good.to_owned())
            }
            Some(Upset::Drop | Upset::Ask(_)) => None,
        }
    }

    fn question(&mut self) -> Option<&'static str> {
        match self.take(Step::Auth, |upset| matches!(upset, Upset::Ask(_)))? {
            Upset::Ask(question) => Some(question),
            _ => None,
        }
    }

    fn take(&mut self, step: Step, fits: impl Fn(&Upset) -> bool) -> Option<Upset> {
        let at = self.plan.iter().position(|(when, upset)| *when == step && fits(upset))?;
        Some(self.plan.remove(at).1)
    }

    async fn say(&mut self, reply: &str) -> Option<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        self.stream.flush().await.ok()
    }

    async fn line(&mut self) -> Option<String> {
        let line = self.raw_line().await?;
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    async fn raw_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(at + 1);
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

fn address(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}

/// How long a test waits for a fact before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
