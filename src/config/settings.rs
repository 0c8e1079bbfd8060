//! The settings: validated plain values. An invalid value cannot exist here. Secrets are hidden
//! from `Debug`; all values can be compared, so that a reload can list its changes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use crate::config::error::Problem;
use crate::config::serialize::{command, debug, hidden, listen, never, path, text, tree, wait};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel::{Accepts, ChannelName};
use crate::domain::delivery::custom_header::CustomHeaderName;
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::delivery::template_tree::TemplateTree;
use crate::domain::event::EventKind;
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::read_access::ReadAccess;
use crate::domain::retention::Retention;
use crate::files::program::Program;
use crate::secret::Secret;
use crate::signing_secret::SigningSecret;
use crate::text::sanitize::sanitize;

/// All settings of the config.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file it was read from, as its path was given.
    pub path: PathBuf,
    /// The accounts at Argil by name; at least one.
    pub accounts: BTreeMap<AccountName, AccountSettings>,
    /// The polling strategy.
    pub strategy: StrategySetting,
    /// The polling intervals.
    pub intervals: PollIntervals,
    /// Whether a training that began and ended between two polls is an event.
    pub infer_missed_training: bool,
    /// The path of the database.
    pub store_path: PathBuf,
    /// The retention of the database.
    pub retention: Retention,
    /// The avatars in the order of the file, then of the drop-ins; no id twice.
    pub avatars: Vec<AvatarSettings>,
    /// Discovery; `None` when it is disabled.
    pub discover: Option<DiscoverSettings>,
    /// The channels by name.
    pub channels: BTreeMap<ChannelName, ChannelSettings>,
    /// The status page and the API.
    pub web: WebSettings,
    /// The heartbeat; `None` when there is none.
    pub heartbeat: Option<HeartbeatSettings>,
    /// Warnings: valid, but probably not intended.
    pub warnings: Vec<Problem>,
}

/// An account at Argil: its key and its request limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountSettings {
    /// The API key: visible ASCII, valid in a header.
    #[serde(serialize_with = "hidden")]
    pub api_key: Secret,
    /// The URL of the API; `https`, or `http` to this machine.
    #[serde(serialize_with = "text")]
    pub base_url: Url,
    /// The timeout of a request.
    #[serde(serialize_with = "wait")]
    pub timeout: Duration,
    /// The maximum number of requests in flight.
    pub max_concurrency: usize,
    /// The maximum number of requests per second.
    pub max_requests_per_second: u32,
    /// The time without a successful poll after which `account.unavailable` is raised.
    #[serde(serialize_with = "wait")]
    pub unavailable_after: Duration,
}

/// The polling strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StrategySetting {
    /// One request for each avatar.
    Single,
    /// One request for all avatars of an account, where that takes fewer requests.
    List,
}

/// One avatar to watch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AvatarSettings {
    /// Its id at Argil.
    #[serde(skip)]
    pub id: AvatarId,
    /// The name in messages, instead of the name at Argil.
    pub name: Option<String>,
    /// The channels to notify, which exist; `None` is every channel.
    pub channels: Option<Vec<ChannelName>>,
    /// The assumed status before the first poll.
    pub assume: Option<Status>,
    /// The account, which exists.
    pub account: AccountName,
    /// The maximum duration of a training; `None` is unlimited.
    #[serde(serialize_with = "never")]
    pub overdue_after: Option<Duration>,
    /// Its location in the config.
    #[serde(skip)]
    pub location: ConfigOrigin,
}

/// A location in the config or in a drop-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigOrigin {
    /// The file, as its path was given.
    pub file: PathBuf,
    /// The first line, counted from one.
    pub line: usize,
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", sanitize(&self.file.to_string_lossy()), self.line)
    }
}

/// Discovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiscoverSettings {
    /// The interval between two lists.
    #[serde(serialize_with = "wait")]
    pub every: Duration,
    /// The accounts to list, which exist: at least one, none twice.
    pub accounts: Vec<AccountName>,
    /// The channels to notify, which exist; `None` is every channel.
    pub channels: Option<Vec<ChannelName>>,
    /// The maximum duration of a training; `None` is unlimited.
    #[serde(serialize_with = "never")]
    pub overdue_after: Option<Duration>,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebSettings {
    /// The listen address; `None` is off. With port 0 the system chooses the port.
    #[serde(serialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// Whether the config sets the listen address, so that the daemon fails if it is not available.
    #[serde(skip)]
    pub is_chosen: bool,
    /// The token of the hints endpoint; `None` disables it.
    #[serde(serialize_with = "hidden")]
    pub hint_token: Option<Secret>,
    /// The token for changes, and for reading where `read` requires it; `None` disables changes.
    #[serde(serialize_with = "hidden")]
    pub token: Option<Secret>,
    /// What reading requires.
    pub read: ReadAccess,
    /// Host names besides `localhost`, in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Whether the page shows the images of avatars, which the browser loads from Argil.
    pub thumbnails: bool,
}

/// The heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeartbeatSettings {
    /// A valid `http` or `https` URL; a credential as a whole.
    #[serde(serialize_with = "hidden")]
    pub url: Secret,
    /// The minimum interval between two heartbeats.
    #[serde(serialize_with = "wait")]
    pub every: Duration,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelSettings {
    /// Its name.
    #[serde(skip)]
    pub name: ChannelName,
    /// Its events; none twice, and empty only for an operator channel.
    pub events: Vec<EventKind>,
    /// Whether it also gets conditions.
    pub operator: bool,
    /// Its delivery policy.
    #[serde(flatten)]
    pub policy: DeliveryPolicy,
    /// Its type.
    #[serde(flatten)]
    pub kind: ChannelKind,
}

/// The types of channels.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ChannelKind {
    /// An HTTP endpoint.
    Webhook(Box<WebhookSettings>),
    /// One or more mailboxes.
    Email(Box<EmailSettings>),
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WebhookSettings {
    /// A valid `http` or `https` URL; a credential as a whole.
    #[serde(serialize_with = "hidden")]
    pub url: Secret,
    /// The signing secrets: at least one if the format requires it, more during a rotation; none
    /// twice.
    #[serde(rename = "secret", serialize_with = "hidden")]
    pub secrets: Vec<SigningSecret>,
    /// The timeout of an attempt.
    #[serde(serialize_with = "wait")]
    pub timeout: Duration,
    /// The format of the body.
    #[serde(flatten)]
    pub format: FormatSettings,
    /// Additional request headers; the values are secrets.
    #[serde(serialize_with = "hidden")]
    pub headers: BTreeMap<CustomHeaderName, Secret>,
    /// The proxy: a valid `http` URL; a credential as a whole.
    #[serde(serialize_with = "hidden")]
    pub proxy: Option<Secret>,
    /// The addresses that it may connect to.
    #[serde(rename = "deny_private", serialize_with = "debug")]
    pub egress: EgressPolicy,
    /// Additional CA certificates, as PEM.
    #[serde(serialize_with = "hidden")]
    pub ca_file: Option<Vec<u8>>,
    /// Which responses of a chat service count as delivered.
    #[serde(serialize_with = "debug")]
    pub accepts: Accepts,
}

/// The format of a webhook.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum FormatSettings {
    /// The body of Standard Webhooks.
    Standard,
    /// `CloudEvents` 1.0.
    CloudEvents {
        /// The `source` attribute: a URI-reference.
        source: String,
    },
    /// Slack.
    Slack,
    /// Discord.
    Discord,
    /// Microsoft Teams.
    Teams,
    /// ntfy; the path of the URL is a topic.
    Ntfy,
    /// Any JSON.
    Template(TemplateSettings),
}

/// A custom body. Its templates have not been checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TemplateSettings {
    /// The body; its strings are templates.
    #[serde(rename = "template", serialize_with = "tree")]
    pub tree: TemplateTree,
    /// The `Content-Type`.
    pub content_type: String,
    /// Its location in the config.
    #[serde(skip)]
    pub location: ConfigOrigin,
    /// The line of each value by its path.
    #[serde(skip)]
    pub lines: BTreeMap<String, usize>,
}

impl FormatSettings {
    /// The word in the config.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::CloudEvents { .. } => "cloudevents",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
            Self::Ntfy => "ntfy",
            Self::Template(_) => "template",
        }
    }

    /// Whether people read the messages directly, so that old ones are worth little.
    pub const fn is_chat(&self) -> bool {
        match self {
            Self::Slack | Self::Discord | Self::Teams | Self::Ntfy => true,
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => false,
        }
    }
}

/// A mail channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmailSettings {
    /// The sender.
    pub from: MailAddress,
    /// The recipients: at least one; none twice.
    pub to: Vec<MailAddress>,
    /// The envelope sender.
    pub bounce_to: BounceTo,
    /// The `Reply-To` address; `None` is the sender.
    pub reply_to: Option<MailAddress>,
    /// The domain of message ids.
    pub message_id_domain: MailDomain,
    /// The prefix of subjects; may be empty.
    pub subject_prefix: String,
    /// Which messages form a thread.
    pub threading: ThreadingSetting,
    /// A valid `https` or `mailto` URL for unsubscribing.
    #[serde(serialize_with = "hidden")]
    pub list_unsubscribe: Option<String>,
    /// The transport.
    #[serde(flatten)]
    pub transport: MailTransport,
}

/// The envelope sender of a mail channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BounceTo {
    /// The sender.
    From,
    /// The null sender: no bounces.
    None,
    /// This address.
    #[serde(untagged)]
    Address(MailAddress),
}

/// Which messages form a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreadingSetting {
    /// Those about one avatar.
    Avatar,
    /// None.
    None,
}

/// The transport of a mail channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    /// An SMTP server.
    Smtp(SmtpSettings),
    /// A program on this machine.
    Sendmail {
        /// The program, by an absolute path, with its first arguments.
        #[serde(rename = "command", serialize_with = "command")]
        program: Program,
        /// How long one run may take.
        #[serde(serialize_with = "wait")]
        timeout: Duration,
    },
    /// Files in a folder.
    File {
        /// The folder: an absolute path, or relative to the working folder.
        #[serde(serialize_with = "path")]
        folder: PathBuf,
    },
}

/// An SMTP server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTlsSetting,
    /// How to log in.
    #[serde(flatten)]
    pub login: Option<SmtpLogin>,
    /// Additional CA certificates, as PEM.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hidden")]
    pub ca_file: Option<Vec<u8>>,
    /// The `EHLO` name; `None` leaves it to the client.
    pub hello_name: Option<MailDomain>,
    /// The timeout of the response to a complete message.
    #[serde(serialize_with = "wait")]
    pub dot_timeout: Duration,
}

/// How to log in to an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpLogin {
    /// The user name.
    pub username: String,
    /// The method.
    pub auth: SmtpAuth,
    /// The password or token.
    pub credential: SmtpCredential,
}

/// An authentication method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpAuth {
    /// With a password.
    Password,
    /// With a token.
    Xoauth2,
}

/// A password or token, or the program that prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmtpCredential {
    /// A fixed one.
    Given(Secret),
    /// The output of this program.
    Command(Program),
}

/// How a connection to an SMTP server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTlsSetting {
    /// STARTTLS; the connection fails without it (RFC 3207).
    Starttls,
    /// Encrypted from the first byte (RFC 8314).
    Implicit,
    /// No encryption; only to this machine.
    None,
}

impl SmtpTlsSetting {
    /// The port that goes with it.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}
