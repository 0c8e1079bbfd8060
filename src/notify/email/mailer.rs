//! A mail account and its recipients: what a channel of type `email` is.
//!
//! Every recipient gets a mail and a delivery of their own, so that one refused address stops
//! nobody else.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Address;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use crate::domain::channel::ChannelName;
use crate::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use crate::domain::event::Event;
use crate::domain::mail_address::MailAddress;
use crate::domain::roll::Roll;
use crate::domain::timestamp::Timestamp;
use crate::notify::channels::{Draft, Parcel};
use crate::notify::email::message::{CONTENT_TYPE, Letterhead};
use crate::notify::email::session::{Server, Transaction};
use crate::notify::error::NotifyError;
use crate::notify::{fault, signature};
use crate::secret::Secret;

/// The settings of a mail channel.
#[derive(Clone, Debug)]
pub struct EmailSpec {
    /// The channel's name, which a trial mail shows.
    pub channel: ChannelName,
    /// Who writes; also where bounces go.
    pub from: MailAddress,
    /// Who is told; a repeated address is told once.
    pub to: Vec<MailAddress>,
    /// The domain behind the `@` of a `Message-ID`.
    pub message_id_domain: String,
    /// The server that takes the mail.
    pub smtp: SmtpSpec,
    /// How long each step may take.
    pub timeouts: PhaseTimeouts,
}

/// The settings of a mail server.
#[derive(Clone, Debug)]
pub struct SmtpSpec {
    /// Its name, which its certificate must bear.
    pub host: String,
    /// Its port: 587 for STARTTLS, 465 for TLS from the start, as a rule.
    pub port: u16,
    /// How the connection is secured.
    pub tls: SmtpTls,
    /// User name and password, if it wants any.
    pub login: Option<(String, Secret)>,
    /// More roots to trust, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// What we call ourselves in EHLO; `[127.0.0.1]` when left out.
    pub hello_name: Option<String>,
}

/// How a connection to a mail server is secured. There is no "if it happens to offer it".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begins in plain and turns to TLS before anything is said; without TLS, nothing is said.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Never: for a server on this machine.
    None,
}

/// How long each step of a session may take (RFC 5321, section 4.5.3.2, asks for patience: a
/// short wait after the final dot makes duplicates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTimeouts {
    /// Looking the name up, and connecting to each address.
    pub connect: Duration,
    /// Each of TLS, greeting with EHLO, and AUTH.
    pub hello: Duration,
    /// Each of MAIL and RCPT.
    pub mail: Duration,
    /// DATA until its go-ahead, and again until the message is out.
    pub data: Duration,
    /// From the final dot to its answer.
    pub dot: Duration,
    /// The whole session.
    pub whole: Duration,
}

impl Default for PhaseTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            hello: Duration::from_secs(60),
            mail: Duration::from_secs(60),
            data: Duration::from_secs(120),
            dot: Duration::from_secs(300),
            whole: Duration::from_secs(360),
        }
    }
}

/// A mail account that writes to its recipients.
pub struct Email {
    letterhead: Letterhead,
    to: Vec<MailAddress>,
    server: Server,
    fingerprint: String,
}

impl Email {
    /// Sets it up; nobody is connected to.
    ///
    /// # Errors
    /// When there are no recipients, an address cannot stand in a mail, a name is no name of a
    /// host, or the certificates cannot be read.
    pub fn new(spec: EmailSpec) -> Result<Self, NotifyError> {
        let channel = spec.channel.as_str();
        let mut to: Vec<MailAddress> = Vec::new();
        for recipient in spec.to {
            address(channel, &recipient)?;
            if !to.contains(&recipient) {
                to.push(recipient);
            }
        }
        if to.is_empty() {
            return Err(NotifyError::NoRecipients { channel: channel.to_owned() });
        }
        host_name(channel, "message_id_domain", &spec.message_id_domain)?;
        let from = address(channel, &spec.from)?;
        let fingerprint = fingerprint(&spec.smtp, &to);
        Ok(Self {
            server: server(channel, spec.smtp, spec.timeouts)?,
            letterhead: Letterhead { from, domain: spec.message_id_domain },
            to,
            fingerprint,
        })
    }

    /// Renders the event, once for each recipient.
    pub fn freeze(&self, event: &Event, now: Timestamp, roll: Roll) -> Vec<Draft> {
        let ids = (0..).map(|salt| DeliveryId::mint(now, roll.derive(salt)));
        let parsed = self.to.iter().filter_map(|to| to.as_str().parse::<Address>().ok());
        parsed
            .zip(ids)
            .map(|(to, id)| Draft {
                body: self.letterhead.write(event, &id, &to, now),
                id,
                recipient: to.to_string(),
                content_type: CONTENT_TYPE.to_owned(),
            })
            .collect()
    }

    /// Makes exactly one try: one session, one recipient.
    pub async fn deliver(&self, parcel: &Parcel) -> Outcome {
        let Ok(to) = parcel.recipient.parse::<Address>() else {
            let text = "the recipient is not an address that a mail can go to".to_owned();
            return fault::stopped(OutcomeClass::Rejected, "rcpt", text);
        };
        let from = &self.letterhead.from;
        self.server.deliver(Transaction { from, to: &to, message: &parcel.body }).await
    }

    /// Connects, turns to TLS, logs in, and leaves without having sent anything.
    pub async fn probe(&self) -> Outcome {
        self.server.probe().await
    }

    /// A name of the server and the recipients that does not show them.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email").field("host", &self.server.host).finish_non_exhaustive()
    }
}

fn server(channel: &str, spec: SmtpSpec, timeouts: PhaseTimeouts) -> Result<Server, NotifyError> {
    host_name(channel, "smtp.host", &spec.host)?;
    if let Some(name) = &spec.hello_name {
        host_name(channel, "smtp.hello_name", name)?;
    }
    let tls_failed =
        |error| NotifyError::Tls { channel: channel.to_owned(), source: Box::new(error) };
    let mut tls = TlsParameters::builder(spec.host.clone());
    if let Some(pem) = &spec.ca_pem {
        tls = tls.add_root_certificate(Certificate::from_pem(pem).map_err(tls_failed)?);
    }
    Ok(Server {
        tls_mode: spec.tls,
        tls: tls.build().map_err(tls_failed)?,
        host: spec.host,
        port: spec.port,
        hidden: spec
            .login
            .iter()
            .flat_map(|(user, password)| shown_forms(user, password))
            .collect(),
        login: spec
            .login
            .map(|(user, password)| Credentials::new(user, password.expose().to_owned())),
        hello_name: spec.hello_name.map_or_else(ClientId::default, ClientId::Domain),
        timeouts,
    })
}

fn address(channel: &str, address: &MailAddress) -> Result<Address, NotifyError> {
    address.as_str().parse().map_err(|error: lettre::address::AddressError| NotifyError::Address {
        channel: channel.to_owned(),
        source: Box::new(error),
    })
}

/// Checks a name that goes into a command or a header as it is.
fn host_name(channel: &str, key: &'static str, value: &str) -> Result<(), NotifyError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    if !value.is_empty() && value.len() <= HOST_NAME_MAX && value.bytes().all(plain) {
        return Ok(());
    }
    let value = value.chars().take(HOST_NAME_MAX).collect();
    Err(NotifyError::HostName { channel: channel.to_owned(), key, value })
}

fn fingerprint(smtp: &SmtpSpec, to: &[MailAddress]) -> String {
    let port = smtp.port.to_string();
    let mut recipients: Vec<&str> = to.iter().map(MailAddress::as_str).collect();
    recipients.sort_unstable();
    let parts = [&["email", &smtp.host, &port], recipients.as_slice()].concat();
    signature::fingerprint(&parts)
}

/// How a password would look if a server sent it back: plain, and as `AUTH LOGIN` and
/// `AUTH PLAIN` send it (RFC 4616).
fn shown_forms(user: &str, password: &Secret) -> [String; 3] {
    let plain = password.expose();
    [plain.to_owned(), STANDARD.encode(plain), STANDARD.encode(format!("\0{user}\0{plain}"))]
}

const HOST_NAME_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(to: &[&str]) -> EmailSpec {
        EmailSpec {
            channel: ChannelName::parse("studio-mail").unwrap(),
            from: MailAddress::parse("watch@example.com").unwrap(),
            to: to.iter().map(|to| MailAddress::parse(to).unwrap()).collect(),
            message_id_domain: "example.com".to_owned(),
            smtp: SmtpSpec {
                host: "smtp.example.com".to_owned(),
                port: 587,
                tls: SmtpTls::Starttls,
                login: Some(("watch".to_owned(), Secret::new("CANARY"))),
                ca_pem: None,
                hello_name: None,
            },
            timeouts: PhaseTimeouts::default(),
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        let check = |spec: EmailSpec, expected: &str| {
            let error = Email::new(spec).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error:?}").contains("CANARY"));
        };
        check(spec(&[]), "no recipients");
        let mut injected = spec(&["a@example.com"]);
        injected.message_id_domain = "x>\r\nBcc: b@example.com".to_owned();
        check(injected, "message_id_domain");
        let mut injected = spec(&["a@example.com"]);
        injected.smtp.hello_name = Some("me\r\nMAIL FROM:<x>".to_owned());
        check(injected, "hello_name");
        let mut garbled = spec(&["a@example.com"]);
        garbled.smtp.ca_pem = Some(b"-----BEGIN CERTIFICATE-----\nxx\n".to_vec());
        check(garbled, "TLS");
    }

    #[test]
    fn a_fingerprint_changes_with_the_recipients_but_not_with_their_order() {
        let of = |to: &[&str]| Email::new(spec(to)).unwrap().fingerprint();
        assert_eq!(
            of(&["a@example.com", "b@example.com"]),
            of(&["b@example.com", "a@example.com"])
        );
        assert_ne!(of(&["a@example.com"]), of(&["b@example.com"]));
    }

    #[test]
    fn a_repeated_recipient_is_told_once_and_nothing_secret_shows() {
        let email = Email::new(spec(&["a@example.com", "a@example.com"])).unwrap();
        assert_eq!(email.to.len(), 1);
        assert_eq!(format!("{email:?}"), "Email { host: \"smtp.example.com\", .. }");
    }
}
