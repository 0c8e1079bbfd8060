//! One SMTP session: one attempt to send one mail to one recipient.
//!
//! Invariants: a connection is used once, so that a late reply never counts for another mail; every
//! step has a limit; without the configured TLS, neither credentials nor addresses are sent; a
//! reply that arrived counts, and any interruption is a failure of the current step.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::mask::Mask;
use crate::notify::email::auth::{Auth, Credential, Mechanism};
use crate::notify::email::config::{PhaseTimeouts, SmtpTls};
use crate::notify::email::smtp::data::dot_stuffed;
use crate::notify::email::smtp::error::{self, SmtpEnvelope, SmtpPhase};
use crate::notify::email::smtp::extensions::{Extensions, STARTTLS};
use crate::notify::email::smtp::parameters::parameters;
use crate::notify::email::smtp::reply::Reply;
use crate::notify::email::smtp::stream::{SmtpStream, StreamError};
use crate::notify::email::smtp::tls::Tls;
use crate::notify::excerpt;
use crate::notify::transport_error;
use crate::notify::webhook::ssrf_guard;

pub(in crate::notify::email) struct Server {
    pub(in crate::notify::email) host: String,
    pub(in crate::notify::email) port: u16,
    pub(in crate::notify::email) tls_mode: SmtpTls,
    pub(in crate::notify::email) tls: Tls,
    pub(in crate::notify::email) login: Option<Auth>,
    pub(in crate::notify::email) hello_name: Option<MailDomain>,
    pub(in crate::notify::email) timeouts: PhaseTimeouts,
}

/// The mail of one session.
#[derive(Clone, Copy)]
pub(in crate::notify::email) struct Transaction<'a> {
    /// The sender of the envelope; the null path without.
    pub(in crate::notify::email) from: Option<&'a MailAddress>,
    pub(in crate::notify::email) to: &'a MailAddress,
    pub(in crate::notify::email) message: &'a [u8],
}

impl Server {
    /// Makes exactly one attempt.
    pub(in crate::notify::email) async fn deliver(&self, mail: Transaction<'_>) -> Outcome {
        let known = SmtpEnvelope {
            sender: mail.from.map(ToString::to_string).unwrap_or_default(),
            recipient: mail.to.to_string(),
            hello_name: String::new(),
        };
        self.session(known, Some(mail)).await.0
    }

    /// Connects and logs in. Also returns the extensions that the server offers.
    pub(in crate::notify::email) async fn probe(&self) -> (Outcome, Extensions) {
        self.session(SmtpEnvelope::default(), None).await
    }

    async fn session(
        &self,
        known: SmtpEnvelope,
        mail: Option<Transaction<'_>>,
    ) -> (Outcome, Extensions) {
        let mut session = Session {
            server: self,
            phase: SmtpPhase::Resolve,
            stream: None,
            extensions: Extensions::default(),
            is_answered: false,
            // The sender is not masked: refusals often refer to it, and it is not a secret.
            hidden: vec![known.recipient.clone()],
            known,
        };
        let outcome = match catch_panic(session.run(mail)).await {
            Some(Ok(outcome) | Err(outcome)) => outcome,
            None => error::broken_off(&self.host, session.phase),
        };
        let help = outcome.help.or_else(|| error::help(&outcome, self.tls_mode));
        let outcome = Outcome { help, ..outcome };
        session.quit().await;
        (outcome, session.extensions)
    }

    /// The longest duration of one attempt.
    pub(in crate::notify::email) fn attempt_timeout(&self) -> Duration {
        let PhaseTimeouts { opening, data, dot, .. } = self.timeouts;
        [data, dot, QUIT_TIMEOUT].into_iter().fold(opening, Duration::saturating_add)
    }

    /// The name in EHLO: `hello_name`, else the fully qualified name of this machine, else the
    /// local address of the connection (RFC 5321, section 4.1.3).
    fn greeting_name(&self, local: Option<IpAddr>) -> MailDomain {
        let of_machine = || {
            let name = rustix::system::uname().nodename().to_str().ok().map(MailDomain::parse)?;
            name.ok().filter(|name| name.is_full_name() && name.can_greet() && !is_local(name))
        };
        let of_connection =
            || MailDomain::literal(local.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        self.hello_name.clone().or_else(of_machine).unwrap_or_else(of_connection)
    }
}

struct Session<'a> {
    server: &'a Server,
    phase: SmtpPhase,
    stream: Option<SmtpStream>,
    extensions: Extensions,
    /// Whether the last command got a reply.
    is_answered: bool,
    known: SmtpEnvelope,
    hidden: Vec<String>,
}

impl Session<'_> {
    /// Everything except QUIT.
    async fn run(&mut self, mail: Option<Transaction<'_>>) -> Result<Outcome, Outcome> {
        let begun = timeout(self.server.timeouts.opening, self.begin(mail)).await;
        begun.unwrap_or_else(|_| {
            self.is_answered = false;
            Err(error::timed_out(&self.server.host, self.phase))
        })?;
        match mail {
            // The limits from here on do not depend on the duration of the steps before.
            Some(mail) => self.send_message(mail.message).await,
            None => Ok(Outcome::new(OutcomeClass::Delivered, self.phase.name())),
        }
    }

    /// Everything before the message.
    async fn begin(&mut self, mail: Option<Transaction<'_>>) -> Result<(), Outcome> {
        let credential = match &self.server.login {
            Some(login) => Some(login.credential(self.server.timeouts.hello).await?),
            None => None,
        };
        self.hidden.extend(credential.iter().flat_map(Credential::hidden));
        self.open(credential.as_ref()).await?;
        match mail {
            Some(mail) => self.send_envelope(mail).await,
            None => Ok(()),
        }
    }

    /// Connects, starts TLS and logs in.
    async fn open(&mut self, credential: Option<&Credential>) -> Result<(), Outcome> {
        let Server { host, port, tls_mode, timeouts, .. } = self.server;
        let resolved = transport_error::resolve(host, *port, timeouts.connect).await;
        let addresses = resolved.map_err(|error| error.outcome(host))?;
        self.phase = SmtpPhase::Connect;
        // A mail server may be in a private network; link-local and metadata addresses are blocked.
        let admitted = ssrf_guard::filter_addresses(addresses, EgressPolicy::AllowPrivate);
        let addresses = admitted.map_err(|refused| refused.outcome(host))?;
        let connected = transport_error::connect(host, &addresses, timeouts.connect).await?;
        let local = connected.local_addr().map(|address| address.ip()).ok();
        let name = self.server.greeting_name(local);
        self.known.hello_name = name.to_string();
        self.stream = Some(SmtpStream::new(connected));
        if *tls_mode == SmtpTls::Implicit {
            self.secure().await?;
        }
        self.phase = SmtpPhase::Hello;
        let greeting = match &mut self.stream {
            Some(stream) => stream.reply(timeouts.hello).await,
            None => Err(StreamError::Closed),
        };
        let greeting = self.read_reply(greeting)?;
        self.require(&greeting, 200)?;
        self.hello(&name).await?;
        if *tls_mode == SmtpTls::Starttls {
            self.phase = SmtpPhase::Tls;
            if !self.extensions.has(STARTTLS) {
                let what = "does not offer STARTTLS; nothing was sent in plain text";
                return Err(error::unsupported(host, SmtpPhase::Tls, what));
            }
            self.command(STARTTLS, timeouts.hello, 200).await?;
            self.secure().await?;
            self.hello(&name).await?;
        }
        match credential {
            Some(credential) => self.log_in(credential).await,
            None => Ok(()),
        }
    }

    /// Performs the TLS handshake.
    async fn secure(&mut self) -> Result<(), Outcome> {
        let Server { host, timeouts, tls, .. } = self.server;
        self.phase = SmtpPhase::Tls;
        self.is_answered = false;
        // Extensions offered in plain text may come from an attacker.
        self.extensions = Extensions::default();
        let connector = tls.connector().map_err(|why| {
            transport_error::failed_outcome(
                OutcomeClass::Local,
                SmtpPhase::Tls.name(),
                format!("nothing was sent to `{host}`: {why}"),
            )
        })?;
        let Some(stream) = self.stream.take() else {
            return Err(error::connection_lost(
                host,
                SmtpPhase::Tls,
                &StreamError::Closed,
                &self.hidden,
            ));
        };
        match timeout(timeouts.hello, stream.secured(&connector, tls.name())).await {
            Ok(Ok(stream)) => {
                self.stream = Some(stream);
                Ok(())
            }
            Ok(Err(error)) => Err(error::unsecured(host, &error, &self.hidden)),
            Err(_) => Err(error::timed_out(host, SmtpPhase::Tls)),
        }
    }

    /// Sends EHLO or, when it is refused, HELO, which has no extensions (RFC 5321, section 3.2).
    async fn hello(&mut self, name: &MailDomain) -> Result<(), Outcome> {
        let limit = self.server.timeouts.hello;
        self.phase = SmtpPhase::Hello;
        let reply = self.send(&format!("EHLO {name}"), limit).await?;
        if reply.is_of(200) {
            self.extensions = Extensions::of(&reply);
            return Ok(());
        }
        self.extensions = Extensions::default();
        if reply.is_of(500) {
            let second = self.send(&format!("HELO {name}"), limit).await;
            if second.is_ok_and(|reply| reply.is_of(200)) {
                return Ok(());
            }
        }
        self.require(&reply, 200).map_err(|refused| Outcome {
            error: refused.error.map(|error| format!("{error}, as `{name}`")),
            ..refused
        })
    }

    async fn log_in(&mut self, credential: &Credential) -> Result<(), Outcome> {
        self.phase = SmtpPhase::Auth;
        let known = credential.mechanisms();
        let offered: Vec<Mechanism> =
            known.iter().copied().filter(|it| self.extensions.has_mechanism(it.name())).collect();
        for (at, mechanism) in offered.iter().enumerate() {
            let reply = self.authenticate(credential, *mechanism).await?;
            // The server offers a mechanism that it does not implement.
            if reply.code == UNKNOWN_MECHANISM && at + 1 < offered.len() {
                continue;
            }
            return self.require(&reply, 200);
        }
        let names: Vec<&str> = known.iter().map(|mechanism| mechanism.name()).collect();
        let what = format!(
            "does not offer {}; it offers: {}",
            names.join(" or "),
            Mask::new(&self.hidden).whole(&self.extensions.mechanisms_shown())
        );
        Err(error::unsupported(&self.server.host, SmtpPhase::Auth, &what))
    }

    /// Sends the lines of a mechanism as long as the server asks for them.
    async fn authenticate(
        &mut self,
        credential: &Credential,
        mechanism: Mechanism,
    ) -> Result<Reply, Outcome> {
        let limit = self.server.timeouts.hello;
        let mut lines = credential.lines(mechanism).into_iter();
        let mut reply = self.send(&lines.next().unwrap_or_default(), limit).await?;
        for line in lines {
            if !reply.is_of(300) {
                break;
            }
            reply = self.send(&line, limit).await?;
        }
        Ok(reply)
    }

    /// MAIL, RCPT and DATA, up to the 354 reply.
    async fn send_envelope(&mut self, mail: Transaction<'_>) -> Result<(), Outcome> {
        let Server { host, timeouts, .. } = self.server;
        self.phase = SmtpPhase::Mail;
        let Transaction { from, to, message } = mail;
        let parameters = parameters(&self.extensions, from, to, message);
        let parameters = parameters.map_err(|lack| lack.outcome(host))?;
        let from = from.map_or("", MailAddress::as_str);
        let mail = format!("MAIL FROM:<{from}>{}", parameters.text);
        let accepted = self.command(&mail, timeouts.mail, 200).await;
        accepted.map_err(|outcome| parameters.refused(outcome))?;
        self.phase = SmtpPhase::Rcpt;
        self.command(&format!("RCPT TO:<{to}>"), timeouts.mail, 200).await?;
        self.phase = SmtpPhase::Data;
        self.command("DATA", timeouts.data, 300).await
    }

    /// Sends the message and the final dot, and waits for the reply.
    async fn send_message(&mut self, message: &[u8]) -> Result<Outcome, Outcome> {
        let Server { host, timeouts, .. } = self.server;
        let data = dot_stuffed(message);
        self.is_answered = false;
        let Some(stream) = &mut self.stream else {
            return Err(error::connection_lost(
                host,
                self.phase,
                &StreamError::Closed,
                &self.hidden,
            ));
        };
        // Until the dot is sent, the server cannot have accepted the mail.
        let sending = async {
            stream.send(&data).await?;
            let refusal = stream.unsolicited_refusal();
            if refusal.is_none() {
                stream.send(DOT).await?;
            }
            Ok(refusal)
        };
        match timeout(timeouts.data, sending).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(refusal))) => return Err(self.refused(&refusal)),
            Ok(Err(error)) => {
                return Err(match stream.final_reply().await {
                    Some(reply) => self.refused(&reply),
                    None => error::connection_lost(
                        host,
                        self.phase,
                        &StreamError::Broken(error),
                        &self.hidden,
                    ),
                });
            }
            Err(_) => return Err(error::timed_out(host, self.phase)),
        }
        self.phase = SmtpPhase::Dot;
        let reply = stream.reply(timeouts.dot).await;
        let reply = self.read_reply(reply)?;
        self.require(&reply, 200)?;
        Ok(Outcome {
            code: Some(reply.code),
            snippet: excerpt::redacted_excerpt(reply.text().as_bytes(), &self.hidden),
            ..Outcome::new(OutcomeClass::Delivered, SmtpPhase::Dot.name())
        })
    }

    /// Sends QUIT to a server that still replies. Does not change the outcome, and is not part of
    /// the limits of the attempt.
    async fn quit(&mut self) {
        if let Some(stream) = self.stream.as_mut().filter(|_| self.is_answered) {
            let leaving = async {
                let _ = stream.command("QUIT", QUIT_TIMEOUT).await;
                stream.close().await;
            };
            let _ = timeout(QUIT_TIMEOUT, leaving).await;
        }
    }

    /// Sends a line, and requires a reply of the given hundred.
    async fn command(&mut self, line: &str, limit: Duration, hundred: u16) -> Result<(), Outcome> {
        let reply = self.send(line, limit).await?;
        self.require(&reply, hundred)
    }

    /// Sends a line, and reads the reply.
    async fn send(&mut self, line: &str, limit: Duration) -> Result<Reply, Outcome> {
        self.is_answered = false;
        let reply = match &mut self.stream {
            Some(stream) => stream.command(line, limit).await,
            None => Err(StreamError::Closed),
        };
        self.read_reply(reply)
    }

    fn read_reply(&mut self, reply: Result<Reply, StreamError>) -> Result<Reply, Outcome> {
        self.is_answered = reply.is_ok();
        reply.map_err(|lost| {
            error::connection_lost(&self.server.host, self.phase, &lost, &self.hidden)
        })
    }

    /// Checks that a reply is of the given hundred.
    fn require(&self, reply: &Reply, hundred: u16) -> Result<(), Outcome> {
        if reply.is_of(hundred) { Ok(()) } else { Err(self.refused(reply)) }
    }

    fn refused(&self, reply: &Reply) -> Outcome {
        error::refused(&self.server.host, self.phase, reply, &self.known, &self.hidden)
    }
}

/// The result, or `None` after a panic.
async fn catch_panic<T>(running: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(running).catch_unwind().await.ok()
}

/// Names that only this machine itself understands.
fn is_local(name: &MailDomain) -> bool {
    let name = name.as_str().to_ascii_lowercase();
    name.ends_with(".localdomain") || name.ends_with(".localhost")
}

const DOT: &[u8] = b".\r\n";
/// RFC 4954, section 4.
const UNKNOWN_MECHANISM: u16 = 504;
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_current_step() {
        assert_eq!(catch_panic(async { 1 }).await, Some(1));
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("as the test asked for");
        };
        assert_eq!(catch_panic::<()>(panicking).await, None);
        let class_at = |phase| error::broken_off("h", phase).class;
        assert_eq!(class_at(SmtpPhase::Hello), OutcomeClass::Retryable);
        assert_eq!(class_at(SmtpPhase::Dot), OutcomeClass::Ambiguous);
    }
}
