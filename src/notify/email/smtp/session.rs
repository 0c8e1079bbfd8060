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
use crate::domain::mail::options::SmtpTls;
use crate::mask::Mask;
use crate::notify::email::auth::{self, Credential, Mechanism};
use crate::notify::email::config::{PhaseTimeouts, SmtpSpec};
use crate::notify::email::smtp::dot_stuffing::dot_stuffed;
use crate::notify::email::smtp::error::{self, SmtpEnvelope, SmtpPhase};
use crate::notify::email::smtp::extensions::{Extensions, STARTTLS};
use crate::notify::email::smtp::parameters::parameters;
use crate::notify::email::smtp::reply::Reply;
use crate::notify::email::smtp::stream::{SmtpStream, StreamError};
use crate::notify::email::smtp::tls::Tls;
use crate::notify::excerpt;
use crate::notify::ssrf_guard;
use crate::notify::transport_error::{self, failed_outcome};

pub(in crate::notify::email) struct Server {
    pub(in crate::notify::email) spec: SmtpSpec,
    pub(in crate::notify::email) tls: Tls,
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
            stream: SmtpStream::closed(),
            extensions: Extensions::default(),
            is_answered: false,
            // The sender is not masked: refusals often refer to it, and it is not a secret.
            hidden: vec![known.recipient.clone()],
            known,
        };
        let outcome = match catch_panic(session.run(mail)).await {
            Some(Ok(outcome) | Err(outcome)) => outcome,
            None => error::broken_off(&self.spec.host, session.phase),
        };
        let help = outcome.help.or_else(|| error::help(&outcome, self.spec.tls));
        let outcome = Outcome { help, ..outcome };
        session.quit().await;
        (outcome, session.extensions)
    }

    /// The longest duration of one attempt.
    pub(in crate::notify::email) fn attempt_timeout(&self) -> Duration {
        let PhaseTimeouts { opening, data, dot, .. } = self.spec.timeouts;
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
        self.spec.hello_name.clone().or_else(of_machine).unwrap_or_else(of_connection)
    }
}

struct Session<'a> {
    server: &'a Server,
    phase: SmtpPhase,
    stream: SmtpStream,
    extensions: Extensions,
    /// Whether the last command got a reply.
    is_answered: bool,
    known: SmtpEnvelope,
    hidden: Vec<String>,
}

impl Session<'_> {
    /// Everything except QUIT.
    async fn run(&mut self, mail: Option<Transaction<'_>>) -> Result<Outcome, Outcome> {
        let begun = timeout(self.server.spec.timeouts.opening, self.begin(mail)).await;
        begun.unwrap_or_else(|_| {
            self.is_answered = false;
            Err(self.lost(&StreamError::TimedOut))
        })?;
        match mail {
            // The limits from here on do not depend on the duration of the steps before.
            Some(mail) => self.send_message(mail.message).await,
            None => Ok(Outcome::new(OutcomeClass::Delivered, self.phase.name())),
        }
    }

    /// Everything before the message.
    async fn begin(&mut self, mail: Option<Transaction<'_>>) -> Result<(), Outcome> {
        let SmtpSpec { login, timeouts, .. } = &self.server.spec;
        let credential = match login {
            Some(login) => Some(auth::credential(login, timeouts.hello).await?),
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
        let SmtpSpec { host, port, tls, timeouts, .. } = &self.server.spec;
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
        // Each line waits for a reply, so Nagle's algorithm would only add 40 ms.
        let _ = connected.set_nodelay(true);
        self.stream = SmtpStream::new(connected);
        if *tls == SmtpTls::Implicit {
            self.secure().await?;
        }
        self.phase = SmtpPhase::Hello;
        let greeting = self.stream.reply(timeouts.hello).await;
        let greeting = self.read_reply(greeting)?;
        self.require(&greeting, 200)?;
        self.hello(&name).await?;
        if *tls == SmtpTls::Starttls {
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
        let Server { spec: SmtpSpec { host, timeouts, .. }, tls } = self.server;
        self.phase = SmtpPhase::Tls;
        self.is_answered = false;
        // Extensions offered in plain text may come from an attacker.
        self.extensions = Extensions::default();
        let connector = tls.connector().map_err(|why| {
            failed_outcome(
                OutcomeClass::Local,
                SmtpPhase::Tls.name(),
                format!("nothing was sent to `{host}`: {why}"),
            )
        })?;
        match timeout(timeouts.hello, self.stream.secure(&connector, tls.name())).await {
            Ok(secured) => secured.map_err(|error| error::unsecured(host, &error, &self.hidden)),
            Err(_) => Err(self.lost(&StreamError::TimedOut)),
        }
    }

    /// Sends EHLO or, when it is refused, HELO, which has no extensions (RFC 5321, section 3.2).
    async fn hello(&mut self, name: &MailDomain) -> Result<(), Outcome> {
        let limit = self.server.spec.timeouts.hello;
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
        Err(error::unsupported(&self.server.spec.host, SmtpPhase::Auth, &what))
    }

    /// Sends the lines of a mechanism as long as the server asks for them.
    async fn authenticate(
        &mut self,
        credential: &Credential,
        mechanism: Mechanism,
    ) -> Result<Reply, Outcome> {
        let limit = self.server.spec.timeouts.hello;
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
        let SmtpSpec { host, timeouts, .. } = &self.server.spec;
        self.phase = SmtpPhase::Mail;
        let Transaction { from, to, message } = mail;
        let parameters = parameters(host, &self.extensions, from, to, message)?;
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
        let timeouts = self.server.spec.timeouts;
        self.is_answered = false;
        let sent = self.stream.message(&dot_stuffed(message), timeouts.data).await;
        if let Some(refusal) = sent.map_err(|lost| self.lost(&lost))? {
            return Err(self.refused(&refusal));
        }
        self.phase = SmtpPhase::Dot;
        let reply = self.stream.reply(timeouts.dot).await;
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
        if self.is_answered {
            let leaving = async {
                let _ = self.stream.command("QUIT", QUIT_TIMEOUT).await;
                self.stream.close().await;
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
        let reply = self.stream.command(line, limit).await;
        self.read_reply(reply)
    }

    fn read_reply(&mut self, reply: Result<Reply, StreamError>) -> Result<Reply, Outcome> {
        self.is_answered = reply.is_ok();
        reply.map_err(|lost| self.lost(&lost))
    }

    fn lost(&self, lost: &StreamError) -> Outcome {
        error::connection_lost(&self.server.spec.host, self.phase, lost, &self.hidden)
    }

    /// Checks that a reply is of the given hundred.
    fn require(&self, reply: &Reply, hundred: u16) -> Result<(), Outcome> {
        if reply.is_of(hundred) { Ok(()) } else { Err(self.refused(reply)) }
    }

    fn refused(&self, reply: &Reply) -> Outcome {
        error::refused(&self.server.spec.host, self.phase, reply, &self.known, &self.hidden)
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
        let at = |phase| error::broken_off("h", phase);
        assert_eq!(at(SmtpPhase::Hello).class, OutcomeClass::Retryable);
        assert_eq!(at(SmtpPhase::Dot).class, OutcomeClass::Ambiguous);
        assert!(at(SmtpPhase::Dot).error.unwrap().contains("may have accepted"));
    }
}
