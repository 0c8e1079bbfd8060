//! What a mail channel is made of, as plain values: who writes to whom, and which way the mail
//! goes.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::delivery::channel::ChannelName;
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::files::program::Program;
use crate::secret::Secret;

/// The settings of a mail channel.
#[derive(Clone, Debug)]
pub struct EmailSpec {
    /// The channel's name, which a trial mail shows.
    pub channel: ChannelName,
    /// Who writes.
    pub from: MailAddress,
    /// Who is told; a repeated address is told once.
    pub to: Vec<MailAddress>,
    /// Where servers send what cannot be delivered.
    pub bounces: Bounces,
    /// What stands on every mail.
    pub style: MailStyle,
    /// The way that mails go.
    pub post: TransportConfig,
}

/// Where bounces go: the sender of the envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bounces {
    /// To who writes.
    #[default]
    Sender,
    /// To this address.
    To(MailAddress),
    /// Nowhere: the null path `<>` (RFC 5321, section 4.5.5).
    Nowhere,
}

/// What stands on every mail of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailStyle {
    /// The domain behind the `@` of a `Message-ID`.
    pub message_id_domain: MailDomain,
    /// What subjects begin with; may be empty.
    pub subject_prefix: String,
    /// Who is answered; who writes, when it is left out.
    pub reply_to: Option<MailAddress>,
    /// Which mails are shown together.
    pub threading: Threading,
    /// A URL (`https:` or `mailto:`) that ends the subscription (RFC 2369).
    pub list_unsubscribe: Option<String>,
}

impl MailStyle {
    /// Nothing special, under that domain.
    pub fn plain(message_id_domain: MailDomain) -> Self {
        Self {
            message_id_domain,
            subject_prefix: SUBJECT_PREFIX.to_owned(),
            reply_to: None,
            threading: Threading::Avatar,
            list_unsubscribe: None,
        }
    }
}

/// Which mails a mail program shows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// All that are about one avatar, one account or one channel.
    Avatar,
    /// Each stands alone.
    None,
}

/// The way that mails go.
#[derive(Clone, Debug)]
pub enum TransportConfig {
    /// To a mail server.
    Smtp(SmtpSpec),
    /// To a program of this machine.
    Sendmail(SendmailSpec),
    /// Into a folder, for development.
    File(FileSpec),
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
    /// How to log in, if it wants that.
    pub login: Option<LoginSpec>,
    /// More roots to trust, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// What we call ourselves in EHLO; when left out, the full name of this machine or, when it has
    /// none, its address on the connection.
    pub hello_name: Option<MailDomain>,
    /// How long each step may take.
    pub timeouts: PhaseTimeouts,
}

/// How to log in to a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSpec {
    /// Who.
    pub user: String,
    /// In which way.
    pub method: LoginMethod,
    /// What proves it.
    pub credential: CredentialSource,
}

/// A way of logging in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// With a password: `PLAIN`, else `LOGIN`.
    Password,
    /// With a token: `XOAUTH2`.
    Xoauth2,
}

/// A password or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// This one.
    Given(Secret),
    /// What this program prints; it is run for every try, without a shell.
    Command(Program),
}

/// A program that takes mails as `sendmail` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendmailSpec {
    /// The program with its first arguments.
    pub program: Program,
    /// How long one run may take.
    pub timeout: Duration,
}

/// A folder for mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// The folder; it must be there.
    pub folder: PathBuf,
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
    /// Each of TLS, greeting with EHLO, and AUTH; also the program that gives a token.
    pub hello: Duration,
    /// Each of MAIL and RCPT.
    pub mail: Duration,
    /// DATA until its go-ahead, and again until the message is out.
    pub data: Duration,
    /// Everything up to the go-ahead of DATA, together. What comes then has its own limits, so
    /// that a server which was slow before has all the time that it needs after the dot.
    pub opening: Duration,
    /// From the final dot to its answer.
    pub dot: Duration,
}

impl PhaseTimeouts {
    /// The usual ones, with that patience after the final dot.
    #[must_use]
    pub fn with_dot(dot: Duration) -> Self {
        Self { dot, ..Self::default() }
    }
}

impl Default for PhaseTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            hello: Duration::from_secs(60),
            mail: Duration::from_secs(60),
            data: Duration::from_secs(120),
            opening: Duration::from_secs(240),
            dot: Duration::from_secs(300),
        }
    }
}

/// What subjects begin with, unless a channel says otherwise.
pub const SUBJECT_PREFIX: &str = "[avatar-watch]";
