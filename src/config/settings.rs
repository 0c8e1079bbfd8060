//! The settings: plain values that have been checked.
//!
//! A wrong value cannot exist here. Secrets hide themselves from `Debug`; everything can be
//! compared, so that a reload can tell what changed.

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

/// Everything that the config says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file it was read from, as its path was given.
    pub path: PathBuf,
    /// The accounts at Argil by name; at least one.
    pub accounts: BTreeMap<AccountName, AccountSettings>,
    /// How avatars are looked at.
    pub strategy: StrategySetting,
    /// The waits between looks.
    pub intervals: PollIntervals,
    /// Whether a training that began and ended between two looks is news.
    pub infer_unseen_training: bool,
    /// Where the database is.
    pub store_path: PathBuf,
    /// How long the past is kept in it.
    pub retention: Retention,
    /// The avatars in the order of the file, then of the drop-ins; no id twice.
    pub avatars: Vec<AvatarSettings>,
    /// Which avatars are found without being registered; `None` when none are.
    pub discover: Option<DiscoverSettings>,
    /// The channels by name.
    pub channels: BTreeMap<ChannelName, ChannelSettings>,
    /// What is shown over HTTP.
    pub web: WebSettings,
    /// Who hears, again and again, that all is well; `None` is nobody.
    pub heartbeat: Option<HeartbeatSettings>,
    /// What is allowed, and most likely not meant.
    pub warnings: Vec<Problem>,
}

/// An account at Argil: its key, and how hard the API may be asked with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountSettings {
    /// The API key: visible ASCII, fit for a header.
    #[serde(serialize_with = "hidden")]
    pub api_key: Secret,
    /// Where the API is; `https`, or `http` to this very machine.
    #[serde(serialize_with = "text")]
    pub base_url: Url,
    /// How long one request may take.
    #[serde(serialize_with = "wait")]
    pub timeout: Duration,
    /// Requests at one time.
    pub max_concurrency: usize,
    /// Requests in one second.
    pub max_requests_per_second: u32,
    /// How long nothing may be seen with the key before it is said.
    #[serde(serialize_with = "wait")]
    pub unavailable_after: Duration,
}

/// How avatars are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StrategySetting {
    /// Each with a request of its own.
    Single,
    /// All of an account with one request, where that is cheaper.
    List,
}

/// One avatar to watch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AvatarSettings {
    /// Its id at Argil.
    #[serde(skip)]
    pub id: AvatarId,
    /// What to call it, instead of the name that Argil knows.
    pub name: Option<String>,
    /// Whom to tell; `None` is every channel. Each of them exists.
    pub channels: Option<Vec<ChannelName>>,
    /// What it was when it was registered.
    pub assume: Option<Status>,
    /// The account that it is watched with; it exists.
    pub account: AccountName,
    /// How long it may train before that is said; `None` is for ever.
    #[serde(serialize_with = "never")]
    pub overdue_after: Option<Duration>,
    /// Where it is registered.
    #[serde(skip)]
    pub location: ConfigOrigin,
}

/// Where something stands in the config or in a drop-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigOrigin {
    /// The file, as its path was given.
    pub file: PathBuf,
    /// The line where it begins, counted from one.
    pub line: usize,
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", sanitize(&self.file.to_string_lossy()), self.line)
    }
}

/// How avatars are found that nobody registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiscoverSettings {
    /// The wait between two searches.
    #[serde(serialize_with = "wait")]
    pub every: Duration,
    /// Where to search: at least one account, none twice. Each of them exists.
    pub accounts: Vec<AccountName>,
    /// Whom to tell of what is found; `None` is every channel. Each of them exists.
    pub channels: Option<Vec<ChannelName>>,
    /// How long one may train before that is said; `None` is for ever.
    #[serde(serialize_with = "never")]
    pub overdue_after: Option<Duration>,
}

/// What is shown over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebSettings {
    /// Where to listen; `None` is nowhere. Port 0 lets the system choose one.
    #[serde(serialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// Whether the config names that place; then it has to be had.
    #[serde(skip)]
    pub is_chosen: bool,
    /// What opens the door for hints; `None` keeps it shut.
    #[serde(serialize_with = "hidden")]
    pub hint_token: Option<Secret>,
    /// What a change has to show, and reading where `read` says so; `None` lets nobody do either.
    #[serde(serialize_with = "hidden")]
    pub token: Option<Secret>,
    /// What reading takes.
    pub read: ReadAccess,
    /// Names besides `localhost` under which it is reached, in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Whether the page shows the pictures of avatars, which a browser then loads from elsewhere.
    pub thumbnails: bool,
}

/// Who hears that all is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeartbeatSettings {
    /// A good `http` or `https` URL; the whole of it is a credential.
    #[serde(serialize_with = "hidden")]
    pub url: Secret,
    /// The least time between two beats.
    #[serde(serialize_with = "wait")]
    pub every: Duration,
}

/// One place to tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelSettings {
    /// Its name.
    #[serde(skip)]
    pub name: ChannelName,
    /// What it is told; none twice, and empty only for an operator's channel.
    pub events: Vec<EventKind>,
    /// Whether it is also told about ourselves: the conditions.
    pub operator: bool,
    /// What holds for its deliveries.
    #[serde(flatten)]
    pub policy: DeliveryPolicy,
    /// What kind of place it is.
    #[serde(flatten)]
    pub kind: ChannelKind,
}

/// The kinds of places to tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ChannelKind {
    /// An HTTP endpoint that takes Standard Webhooks.
    Webhook(Box<WebhookSettings>),
    /// One or more mailboxes.
    Email(Box<EmailSettings>),
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WebhookSettings {
    /// A good `http` or `https` URL; the whole of it is a credential.
    #[serde(serialize_with = "hidden")]
    pub url: Secret,
    /// What signs: at least one where the format wants it, more while rotating; none twice.
    #[serde(rename = "secret", serialize_with = "hidden")]
    pub secrets: Vec<SigningSecret>,
    /// How long one try may take.
    #[serde(serialize_with = "wait")]
    pub timeout: Duration,
    /// What it speaks.
    #[serde(flatten)]
    pub format: FormatSettings,
    /// More headers of every request; their values are secrets.
    #[serde(serialize_with = "hidden")]
    pub headers: BTreeMap<CustomHeaderName, Secret>,
    /// The proxy to go through: a good `http` URL; the whole of it is a credential.
    #[serde(serialize_with = "hidden")]
    pub proxy: Option<Secret>,
    /// How far it may reach.
    #[serde(rename = "deny_private", serialize_with = "debug")]
    pub egress: EgressPolicy,
    /// More certificates to trust, as PEM.
    #[serde(serialize_with = "hidden")]
    pub ca_file: Option<Vec<u8>>,
    /// Which answers of a chat say that it took a message.
    #[serde(serialize_with = "debug")]
    pub accepts: Accepts,
}

/// What a webhook speaks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum FormatSettings {
    /// The body of Standard Webhooks.
    Standard,
    /// `CloudEvents` 1.0.
    CloudEvents {
        /// Who tells: a URI-reference.
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

/// A body of one's own. Its texts have not been looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TemplateSettings {
    /// The body; its texts are templates.
    #[serde(rename = "template", serialize_with = "tree")]
    pub tree: TemplateTree,
    /// What the body is called.
    pub content_type: String,
    /// Where it stands.
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

    /// Whether people read it as it comes, so that old news is worth little.
    pub const fn is_chat(&self) -> bool {
        match self {
            Self::Slack | Self::Discord | Self::Teams | Self::Ntfy => true,
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => false,
        }
    }
}

/// Mail through one server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmailSettings {
    /// Who sends.
    pub from: MailAddress,
    /// Who gets it: at least one; none twice.
    pub to: Vec<MailAddress>,
    /// Where bounces go.
    pub bounce_to: BounceTo,
    /// Who is answered; `None` is who sends.
    pub reply_to: Option<MailAddress>,
    /// What stands behind the `@` of a message's id.
    pub message_id_domain: MailDomain,
    /// What subjects begin with; may be empty.
    pub subject_prefix: String,
    /// Whether mails about one thing are shown together.
    pub threading: ThreadingSetting,
    /// A good `https` or `mailto` URL that ends the subscription.
    #[serde(serialize_with = "hidden")]
    pub list_unsubscribe: Option<String>,
    /// The way that mails go.
    #[serde(flatten)]
    pub transport: MailTransport,
}

/// Where bounces of a mail channel go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BounceTo {
    /// To who sends.
    From,
    /// Nowhere.
    None,
    /// To this address.
    #[serde(untagged)]
    Address(MailAddress),
}

/// Which mails a mail program shows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreadingSetting {
    /// Those about one avatar.
    Avatar,
    /// None.
    None,
}

/// The way that mails go.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    /// Through a mail server.
    Smtp(SmtpSettings),
    /// Through a program of this machine.
    Sendmail {
        /// The program, by an absolute path, with its first arguments.
        #[serde(rename = "command", serialize_with = "command")]
        program: Program,
        /// How long one run may take.
        #[serde(serialize_with = "wait")]
        timeout: Duration,
    },
    /// Into a folder.
    File {
        /// The folder, an absolute path or one from where we run.
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
    /// More certificates to trust, as PEM.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hidden")]
    pub ca_file: Option<Vec<u8>>,
    /// How we introduce ourselves; `None` leaves it to the client.
    pub hello_name: Option<MailDomain>,
    /// How long the server may think about a mail that it has whole.
    #[serde(serialize_with = "wait")]
    pub dot_timeout: Duration,
}

/// How to log in to an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpLogin {
    /// The user name.
    pub username: String,
    /// In which way.
    pub auth: SmtpAuth,
    /// The password or token.
    pub credential: SmtpCredential,
}

/// A way of logging in.
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
    /// This one.
    Given(Secret),
    /// What the program prints.
    Command(Program),
}

/// How a connection to an SMTP server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTlsSetting {
    /// Begun in the clear, then encrypted or given up (RFC 3207).
    Starttls,
    /// Encrypted from the first byte (RFC 8314).
    Implicit,
    /// Not at all; only to this very machine.
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
