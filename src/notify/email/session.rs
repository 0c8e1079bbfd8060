//! One SMTP session: one recipient, one mail, one try.
//!
//! Driven by hand, because only so is it known which step failed, and whether before or after
//! the final dot. What always holds: a connection is used once and dropped, so that a late
//! answer can never be taken for the answer to another mail; every step has a limit; without
//! the TLS that was asked for, neither a password nor an address is said.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::slice::Chunks;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Auth, Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::notify::email::login::{Login, Pass};
use crate::notify::email::reply::{self, Introduction, Phase};
use crate::notify::email::spec::{LoginMethod, PhaseTimeouts, SmtpTls};
use crate::notify::email::wire::LineWire;
use crate::notify::{fault, plain};

/// A mail server, and how to get in.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls_mode: SmtpTls,
    pub(super) tls: TlsParameters,
    pub(super) login: Option<Login>,
    pub(super) hello_name: ClientId,
    pub(super) timeouts: PhaseTimeouts,
}

/// What one session is about.
#[derive(Clone, Copy)]
pub(super) struct Transaction<'a> {
    /// Where bounces go; nowhere without.
    pub(super) from: Option<&'a Address>,
    pub(super) to: &'a Address,
    pub(super) message: &'a [u8],
}

impl Server {
    /// Makes exactly one try.
    pub(super) async fn deliver(&self, mail: Transaction<'_>) -> Outcome {
        let known = Introduction {
            sender: mail.from.map(ToString::to_string).unwrap_or_default(),
            recipient: mail.to.to_string(),
            hello_name: self.hello_name.to_string(),
        };
        self.session(known, Some(mail)).await
    }

    /// Goes through everything up to the login, and leaves.
    pub(super) async fn probe(&self) -> Outcome {
        let hello_name = self.hello_name.to_string();
        self.session(Introduction { hello_name, ..Introduction::default() }, None).await
    }

    async fn session(&self, known: Introduction, mail: Option<Transaction<'_>>) -> Outcome {
        let phase = Mutex::new(Phase::Resolve);
        let hidden = vec![known.sender.clone(), known.recipient.clone()];
        let mut session = Session { server: self, phase, is_out: Notify::new(), known, hidden };
        let mut connection = None;
        let ended = session.run(&mut connection, mail).await;
        // The verdict stands, whatever happens to the farewell, and no limit of the try counts
        // that. Who has not answered before gets none.
        let has_answered = ended.as_ref().map_or_else(|lost| lost.code.is_some(), |_| true);
        if let Some(mut connection) = connection.filter(|_| has_answered) {
            let _ = timeout(QUIT_PATIENCE, connection.quit()).await;
        }
        ended.unwrap_or_else(|lost| lost)
    }

    /// How long one try takes at most.
    pub(super) fn attempt_max(&self) -> Duration {
        let PhaseTimeouts { opening, data, dot, .. } = self.timeouts;
        [data, dot, QUIT_PATIENCE].into_iter().fold(opening, Duration::saturating_add)
    }
}

/// A session under way.
struct Session<'a> {
    server: &'a Server,
    phase: Mutex<Phase>,
    /// Told when everything but the dot is out.
    is_out: Notify,
    known: Introduction,
    hidden: Vec<String>,
}

impl Session<'_> {
    /// Goes through all of it but the farewell; leaves the connection in `kept`.
    async fn run(
        &mut self,
        kept: &mut Option<AsyncSmtpConnection>,
        mail: Option<Transaction<'_>>,
    ) -> Result<Outcome, Outcome> {
        let Server { host, timeouts, .. } = self.server;
        let opening = self.begin(kept, mail);
        let begun = timeout(timeouts.opening, opening).await;
        begun.unwrap_or_else(|_| Err(reply::silent(host, self.phase())))?;
        match (mail, kept) {
            // From here on nothing that came before takes from the server's time.
            (Some(mail), Some(connection)) => self.hand_over(connection, mail.message).await,
            _ => Ok(Outcome::new(OutcomeClass::Delivered, self.phase().name())),
        }
    }

    /// Everything before the mail itself.
    async fn begin(
        &mut self,
        kept: &mut Option<AsyncSmtpConnection>,
        mail: Option<Transaction<'_>>,
    ) -> Result<(), Outcome> {
        let pass = match &self.server.login {
            Some(login) => Some(login.pass(self.server.timeouts.hello).await?),
            None => None,
        };
        self.hidden.extend(pass.iter().flat_map(|pass| pass.hidden.iter().cloned()));
        let connection = kept.insert(self.open(pass.as_ref()).await?);
        match mail {
            Some(mail) => self.announce(connection, mail).await,
            None => Ok(()),
        }
    }

    /// Connects, secures and logs in.
    async fn open(&self, pass: Option<&Pass>) -> Result<AsyncSmtpConnection, Outcome> {
        let Server { host, port, timeouts, tls, hello_name, .. } = self.server;
        let resolved = fault::resolve(host, *port, timeouts.connect).await;
        let addresses = resolved.map_err(|error| error.outcome(host))?;
        self.enter(Phase::Connect);
        let mut connection = match self.server.tls_mode {
            SmtpTls::Implicit => self.open_secured(&addresses).await?,
            SmtpTls::Starttls | SmtpTls::None => {
                let stream = fault::connect(host, &addresses, timeouts.connect).await?;
                let wire = Box::new(LineWire::new(stream));
                let hello = AsyncSmtpConnection::connect_with_transport(wire, hello_name);
                self.step(Phase::Hello, timeouts.hello, hello).await?
            }
        };
        if self.server.tls_mode == SmtpTls::Starttls {
            if !connection.can_starttls() {
                let what = "does not offer STARTTLS; nothing was said in plain";
                return Err(reply::unoffered(host, Phase::Tls, what));
            }
            let upgrade = connection.starttls(tls.clone(), hello_name);
            self.step(Phase::Tls, timeouts.hello, upgrade).await?;
        }
        if let Some(pass) = pass {
            self.log_in(&mut connection, pass).await?;
        }
        Ok(connection)
    }

    async fn log_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        pass: &Pass,
    ) -> Result<(), Outcome> {
        let Server { host, timeouts, .. } = self.server;
        let mechanisms = Login::mechanisms(pass.method);
        let answer = match pass.method {
            LoginMethod::Password => {
                let auth = connection.auth(mechanisms, &pass.credentials);
                self.step(Phase::Auth, timeouts.hello, auth).await?
            }
            LoginMethod::Xoauth2 => {
                if !connection.server_info().supports_auth_mechanism(Mechanism::Xoauth2) {
                    let what = "does not offer XOAUTH2";
                    return Err(reply::unoffered(host, Phase::Auth, what));
                }
                let auth = Auth::new(Mechanism::Xoauth2, pass.credentials.clone(), None);
                let auth = auth.map_err(|_| reply::silent(host, Phase::Auth))?;
                let auth = connection.command(auth);
                let answer = self.step(Phase::Auth, timeouts.hello, auth).await?;
                if answer.has_code(CHALLENGE) {
                    // Not a question but the reason, which an empty line asks the verdict for.
                    self.step(Phase::Auth, timeouts.hello, connection.command("\r\n")).await?
                } else {
                    answer
                }
            }
        };
        self.require(Phase::Auth, &answer, 200)
    }

    /// Connects with TLS from the first byte. The library does it all in one go, so the phase
    /// is read out of the error; silence after the connection counts as TLS.
    async fn open_secured(&self, addresses: &[SocketAddr]) -> Result<AsyncSmtpConnection, Outcome> {
        let Server { host, timeouts, tls, hello_name, .. } = self.server;
        let opened = AsyncSmtpConnection::connect_tokio1(
            addresses,
            Some(timeouts.connect),
            hello_name,
            Some(tls.clone()),
            None,
        );
        let limit = timeouts.connect.saturating_add(timeouts.hello.saturating_mul(2));
        match timeout(limit, opened).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                let in_tls = error.source().is_some_and(|inner| inner.is::<smtp::Error>());
                let phase = if in_tls { Phase::Tls } else { Phase::Hello };
                match fault::cause::<io::Error>(&error) {
                    Some(refusal) if !in_tls && fault::is_of_connecting(refusal) => {
                        Err(fault::not_connected(host, refusal))
                    }
                    _ => Err(reply::failed(host, phase, &error, &self.known, &self.hidden)),
                }
            }
            Err(_) => Err(reply::silent(host, Phase::Tls)),
        }
    }

    /// Says from whom the mail is and to whom, up to the go-ahead.
    async fn announce(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: Transaction<'_>,
    ) -> Result<(), Outcome> {
        let Server { host, timeouts, .. } = self.server;
        self.enter(Phase::Mail);
        let parameters = parameters(connection, mail).map_err(|missing| {
            let text = format!("`{host}` does not offer {missing}, which this mail needs");
            fault::stopped(OutcomeClass::Rejected, Phase::Mail.name(), text)
        })?;
        let from = Mail::new(mail.from.cloned(), parameters);
        let answer = self.step(Phase::Mail, timeouts.mail, connection.command(from)).await?;
        self.require(Phase::Mail, &answer, 200)?;
        let to = Rcpt::new(mail.to.clone(), Vec::new());
        let answer = self.step(Phase::Rcpt, timeouts.mail, connection.command(to)).await?;
        self.require(Phase::Rcpt, &answer, 200)?;
        let answer = self.step(Phase::Data, timeouts.data, connection.command(Data)).await?;
        self.require(Phase::Data, &answer, 300)
    }

    /// Sends the message and the final dot, and waits for the verdict.
    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        message: &[u8],
    ) -> Result<Outcome, Outcome> {
        let Server { host, timeouts, .. } = self.server;
        // The library puts a line end before the dot; ours would make an empty line.
        let message = message.strip_suffix(b"\r\n").unwrap_or(message);
        let parts = Parts { chunks: message.chunks(CHUNK_BYTES), session: self };
        let patience = async {
            if timeout(timeouts.data, self.is_out.notified()).await.is_ok() {
                sleep(timeouts.dot).await;
            }
        };
        let answer = tokio::select! {
            biased;
            ended = connection.message_iter(parts) => {
                ended.map_err(|error| reply::failed(host, self.phase(), &error, &self.known, &self.hidden))?
            }
            () = patience => return Err(reply::silent(host, self.phase())),
        };
        self.require(Phase::Dot, &answer, 200)?;
        let said: Vec<&str> = answer.message().collect();
        Ok(Outcome {
            code: Some(answer.code().into()),
            snippet: plain::snippet(said.join(" ").as_bytes(), &self.hidden),
            ..Outcome::new(OutcomeClass::Delivered, Phase::Dot.name())
        })
    }

    /// One step, within its limit.
    async fn step<T>(
        &self,
        phase: Phase,
        limit: Duration,
        doing: impl Future<Output = Result<T, smtp::Error>>,
    ) -> Result<T, Outcome> {
        let host = &self.server.host;
        self.enter(phase);
        match timeout(limit, doing).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(reply::failed(host, phase, &error, &self.known, &self.hidden)),
            Err(_) => Err(reply::silent(host, phase)),
        }
    }

    /// Checks that an answer is of the hundred that belongs to the step: the library takes any
    /// 2yz or 3yz for a yes.
    fn require(&self, phase: Phase, answer: &Response, hundred: u16) -> Result<(), Outcome> {
        let code = u16::from(answer.code());
        if code / 100 * 100 == hundred {
            return Ok(());
        }
        Err(reply::out_of_step(&self.server.host, phase, code))
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of a message, and the knowledge that the last of them is out: what comes after it
/// is the dot.
struct Parts<'a> {
    chunks: Chunks<'a, u8>,
    session: &'a Session<'a>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.chunks.next();
        if part.is_none() {
            self.session.enter(Phase::Dot);
            self.session.is_out.notify_one();
        }
        part
    }
}

/// What MAIL must say about this mail, or the extension that is missing.
fn parameters(
    connection: &AsyncSmtpConnection,
    mail: Transaction<'_>,
) -> Result<Vec<MailParameter>, &'static str> {
    let offers = |extension| connection.server_info().supports_feature(extension);
    let mut parameters = Vec::new();
    if !mail.from.into_iter().chain([mail.to]).all(|address| address.to_string().is_ascii()) {
        if !offers(Extension::SmtpUtfEight) {
            return Err("SMTPUTF8");
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !mail.message.is_ascii() {
        if !offers(Extension::EightBitMime) {
            return Err("8BITMIME");
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
}

const CHALLENGE: u16 = 334;
const CHUNK_BYTES: usize = 16 * 1024;
const QUIT_PATIENCE: Duration = Duration::from_secs(2);
