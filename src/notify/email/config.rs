//! The settings of a mail channel as plain values: sender, recipients, style, transport.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::domain::mail::options::{LoginMethod, SmtpTls, Threading};
use crate::files::program::Program;
use crate::notify::message_context::MessageContext;
use crate::secret::CredentialSource;

/// The settings of a mail channel.
#[derive(Clone, Debug)]
pub struct EmailSpec {
    /// Shown in a test mail.
    pub channel: ChannelName,
    /// The sender of the mails.
    pub from: MailAddress,
    /// The recipients; a repeated address gets one mail.
    pub to: Vec<MailAddress>,
    /// The sender of the envelope, which receives bounces; without one it is the null path `<>`
    /// (RFC 5321, section 4.5.5).
    pub bounces: Option<MailAddress>,
    /// Headers that all mails share.
    pub style: MailStyle,
    /// The time zone and the links of the mails.
    pub context: MessageContext,
    /// How mails are sent.
    pub post: TransportConfig,
}

/// The headers of every mail of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailStyle {
    /// The domain of a `Message-ID`.
    pub message_id_domain: MailDomain,
    /// May be empty.
    pub subject_prefix: String,
    /// The header `Reply-To`; none by default.
    pub reply_to: Option<MailAddress>,
    /// How mails are grouped.
    pub threading: Threading,
    /// An `https:` or `mailto:` URL (RFC 2369).
    pub list_unsubscribe: Option<String>,
}

impl MailStyle {
    /// The defaults for a domain.
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

/// How mails are sent.
#[derive(Clone, Debug)]
pub enum TransportConfig {
    /// By a mail server.
    Smtp(SmtpSpec),
    /// By a local program.
    Sendmail(SendmailSpec),
    /// As files in this folder, which must exist; for development.
    File(PathBuf),
}

/// The settings of a mail server.
#[derive(Clone, Debug)]
pub struct SmtpSpec {
    /// The certificate must be valid for it.
    pub host: String,
    /// Usually 587 for STARTTLS and 465 for implicit TLS.
    pub port: u16,
    /// How the connection is secured.
    pub tls: SmtpTls,
    /// None for a server without authentication.
    pub login: Option<LoginSpec>,
    /// More root certificates, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// The name in EHLO; by default the fully qualified name of this machine or, without one, the
    /// local address of the connection.
    pub hello_name: Option<MailDomain>,
    /// The limits of the steps.
    pub timeouts: PhaseTimeouts,
}

/// How to log in to a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSpec {
    /// The user name.
    pub user: String,
    /// Password or token.
    pub method: LoginMethod,
    /// Where the password or token comes from.
    pub credential: CredentialSource,
}

/// A program with the command line of `sendmail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendmailSpec {
    /// The program with its first arguments.
    pub program: Program,
    /// The limit of one run.
    pub timeout: Duration,
}

/// The limits of the steps of a session. RFC 5321, section 4.5.3.2, recommends long ones: a short
/// limit after the final dot causes duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTimeouts {
    /// DNS, and connecting to each address.
    pub connect: Duration,
    /// Each of TLS, EHLO and AUTH, and the program that prints a token.
    pub hello: Duration,
    /// Each of MAIL and RCPT.
    pub mail: Duration,
    /// DATA until its 354 reply, and again until the message is sent.
    pub data: Duration,
    /// Everything up to the 354 reply in total. The later steps have limits of their own, so that a
    /// slow start does not shorten the time after the dot.
    pub opening: Duration,
    /// From the final dot to its reply.
    pub dot: Duration,
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

/// The default of `subject_prefix`.
pub const SUBJECT_PREFIX: &str = "[avatar-watch]";
