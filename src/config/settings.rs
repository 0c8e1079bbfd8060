//! The settings: plain values that have been checked.
//!
//! A wrong value cannot exist here. Secrets hide themselves from `Debug`; everything can be
//! compared, so that a reload can tell what changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::config::error::Problem;
use crate::domain::avatar::AvatarId;
use crate::domain::cadence::Cadence;
use crate::domain::channel::ChannelName;
use crate::domain::event::EventKind;
use crate::domain::mail_address::MailAddress;
use crate::domain::retry::RetrySchedule;
use crate::domain::status::Status;
use crate::secret::Secret;
use crate::signing_secret::SigningSecret;

/// Everything that the config says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file it was read from, as its path was given.
    pub path: PathBuf,
    /// The account at Argil.
    pub argil: ArgilSettings,
    /// The waits between looks.
    pub cadence: Cadence,
    /// Whether a training that began and ended between two looks is news.
    pub infer_unseen_training: bool,
    /// Where the database is.
    pub store_path: PathBuf,
    /// The avatars in the order of the file; no id twice.
    pub avatars: Vec<AvatarSettings>,
    /// The channels by name.
    pub channels: BTreeMap<ChannelName, ChannelSettings>,
    /// What is allowed, and most likely not meant.
    pub warnings: Vec<Problem>,
}

/// How to reach Argil.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgilSettings {
    /// The API key: visible ASCII, fit for a header.
    pub api_key: Secret,
    /// Where the API is; `https`, or `http` to this very machine.
    pub base_url: Url,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests at one time.
    pub max_concurrency: usize,
    /// Requests in one second.
    pub max_requests_per_second: u32,
}

/// One avatar to watch.
#[derive(Clone, Debug, PartialEq)]
pub struct AvatarSettings {
    /// Its id at Argil.
    pub id: AvatarId,
    /// What to call it, instead of the name that Argil knows.
    pub name: Option<String>,
    /// Whom to tell; `None` is every channel. Each of them exists.
    pub channels: Option<Vec<ChannelName>>,
    /// What it was when it was registered.
    pub assume: Option<Status>,
    /// The line in the file where it begins, counted from one.
    pub line: usize,
}

/// One place to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSettings {
    /// Its name.
    pub name: ChannelName,
    /// What it is told; never empty, none twice.
    pub events: Vec<EventKind>,
    /// The waits before each try.
    pub retry_schedule: RetrySchedule,
    /// What kind of place it is.
    pub kind: ChannelKind,
}

/// The kinds of places to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelKind {
    /// An HTTP endpoint that takes Standard Webhooks.
    Webhook(WebhookSettings),
    /// One or more mailboxes.
    Email(EmailSettings),
}

/// A webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSettings {
    /// A good `http` or `https` URL; the whole of it is a credential.
    pub url: Secret,
    /// What signs: at least one, more while rotating; none twice.
    pub secrets: Vec<SigningSecret>,
    /// How long one try may take.
    pub timeout: Duration,
}

/// Mail through one server.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailSettings {
    /// Who sends.
    pub from: MailAddress,
    /// Who gets it: at least one; none twice.
    pub to: Vec<MailAddress>,
    /// The server.
    pub smtp: SmtpSettings,
    /// What stands behind the `@` of a message's id.
    pub message_id_domain: String,
}

/// An SMTP server.
#[derive(Clone, Debug, PartialEq)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// User name and password.
    pub login: Option<(String, Secret)>,
    /// More certificates to trust, as PEM.
    pub ca_file: Option<Vec<u8>>,
    /// How we introduce ourselves; `None` leaves it to the client.
    pub hello_name: Option<String>,
}

/// How a connection to an SMTP server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begun in the clear, then encrypted or given up (RFC 3207).
    Starttls,
    /// Encrypted from the first byte (RFC 8314).
    Implicit,
    /// Not at all; only to this very machine.
    None,
}

impl SmtpTls {
    /// The port that goes with it.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}
