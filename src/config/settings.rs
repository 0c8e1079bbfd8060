//! The settings: plain values, which only the readers of sections make, from valid ones. Secrets
//! are hidden from `Debug`; all values can be compared, so that a reload can list its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use crate::config::change::serialize::{command, debug, hidden, listen, path, shown, text, wait};
use crate::config::error::Problem;
use crate::domain::account::AccountName;
use crate::domain::alerts::AlertTiming;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::delivery::channel_name::{Accepts, ChannelName};
use crate::domain::delivery::custom_header::CustomHeaderName;
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::message_format::MessageFormat;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::delivery::template_tree::TemplateTree;
use crate::domain::event::EventKind;
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::domain::mail::options::{LoginMethod, SmtpTls, Threading};
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::polling::strategy::Strategy;
use crate::domain::public_url::PublicUrl;
use crate::domain::read_access::ReadAccess;
use crate::domain::retention::Retention;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::filter::ChannelFilter;
use crate::domain::routing::subscription::ChannelRouting;
use crate::domain::routing::tag::Tag;
use crate::domain::time::time_zone::TimeZone;
use crate::files::program::Program;
use crate::secret::{CredentialSource, Secret};
use crate::signing_secret::SigningSecret;

/// All settings of the config.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file it was read from, as its path was given.
    pub(crate) path: PathBuf,
    /// The accounts at Argil by name; at least one.
    pub(crate) accounts: BTreeMap<AccountName, AccountSettings>,
    pub(crate) strategy: Strategy,
    /// The polling intervals.
    pub intervals: PollIntervals,
    /// Whether a training that began and ended between two polls is an event.
    pub(crate) infer_unseen_training: bool,
    /// The zone in which messages for people show times.
    pub(crate) time_zone: TimeZone,
    pub(crate) alert_timing: AlertTiming,
    pub(crate) store_path: PathBuf,
    pub(crate) retention: Retention,
    /// The avatars in the order of the file, then of the drop-ins; no id twice.
    pub(crate) avatars: Vec<AvatarSettings>,
    /// Discovery; `None` when it is disabled.
    pub(crate) discover: Option<DiscoverSettings>,
    /// The channels by name.
    pub channels: BTreeMap<ChannelName, ChannelSettings>,
    pub(crate) web: WebSettings,
    /// The heartbeat; `None` when there is none.
    pub(crate) heartbeat: Option<HeartbeatSettings>,
    /// Warnings: valid, but probably not intended.
    pub(crate) warnings: Vec<Problem>,
}

impl Settings {
    /// What routing knows of a configured avatar.
    pub(crate) fn routing(&self, avatar: &AvatarSettings) -> AvatarRouting {
        self.routing_in(&avatar.account, &avatar.tags, avatar.channels.as_ref())
    }

    /// What routing knows of the avatars that are discovered in each account.
    pub(crate) fn discovered_routing(&self) -> BTreeMap<AccountName, AvatarRouting> {
        let routing = |discover: &DiscoverSettings, account: &AccountName| {
            self.routing_in(account, &discover.tags, discover.channels.as_ref())
        };
        let discover = self.discover.iter();
        let accounts = discover.flat_map(|it| it.accounts.iter().map(move |name| (it, name)));
        accounts.map(|(discover, name)| (name.clone(), routing(discover, name))).collect()
    }

    fn routing_in(
        &self,
        account: &AccountName,
        tags: &BTreeSet<Tag>,
        channels: Option<&Vec<ChannelName>>,
    ) -> AvatarRouting {
        let of_account = self.accounts.get(account).into_iter().flat_map(|it| &it.tags);
        let tags = tags.iter().chain(of_account).cloned().collect();
        AvatarRouting { account: account.clone(), tags, channels: channels.cloned() }
    }
}

/// An account at Argil: its key and its request limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountSettings {
    /// The API key: visible ASCII, valid in a header.
    #[serde(serialize_with = "hidden")]
    pub(crate) api_key: Secret,
    /// The URL of the API; `https`, or `http` to this machine.
    #[serde(serialize_with = "text")]
    pub(crate) base_url: Url,
    #[serde(serialize_with = "wait")]
    pub(crate) timeout: Duration,
    pub(crate) max_concurrency: usize,
    pub(crate) max_requests_per_second: u32,
    /// The time without a successful poll after which `account.unavailable` is raised.
    #[serde(serialize_with = "wait")]
    pub(crate) unavailable_after: Duration,
    /// The tags of all its avatars.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tags: BTreeSet<Tag>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AvatarSettings {
    #[serde(skip)]
    pub(crate) id: AvatarId,
    /// The name in messages, instead of the name at Argil.
    pub(crate) name: Option<String>,
    /// Its own tags; it has those of its account as well.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tags: BTreeSet<Tag>,
    /// The channels to notify, which exist; `None` is every channel.
    pub(crate) channels: Option<Vec<ChannelName>>,
    /// The assumed status before the first poll.
    pub(crate) assume: Option<Status>,
    /// The account, which exists.
    pub(crate) account: AccountName,
    /// When a training is overdue.
    pub(crate) overdue_after: OverdueAfter,
    #[serde(skip)]
    pub(crate) location: ConfigOrigin,
}

impl AvatarSettings {
    /// Whether it says the same; it may stand elsewhere.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self { id, name, tags, channels, assume, account, overdue_after, location: _ } = self;
        (id, name, tags, channels) == (&other.id, &other.name, &other.tags, &other.channels)
            && (assume, account) == (&other.assume, &other.account)
            && *overdue_after == other.overdue_after
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DiscoverSettings {
    /// The interval between two lists.
    #[serde(serialize_with = "wait")]
    pub(crate) every: Duration,
    /// The accounts to list, which exist: at least one, none twice.
    pub(crate) accounts: Vec<AccountName>,
    /// The tags of discovered avatars; they have those of their account as well.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tags: BTreeSet<Tag>,
    /// The channels to notify, which exist; `None` is every channel.
    pub(crate) channels: Option<Vec<ChannelName>>,
    /// When a training is overdue.
    pub(crate) overdue_after: OverdueAfter,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebSettings {
    /// The listen address; `None` is off. With port 0 the system chooses the port.
    #[serde(serialize_with = "listen")]
    pub(crate) listen: Option<SocketAddr>,
    /// Whether the config sets the listen address, so that the daemon fails if it is not available.
    #[serde(skip)]
    pub(crate) is_listen_configured: bool,
    /// The token of the hints endpoint; `None` disables it.
    #[serde(serialize_with = "hidden")]
    pub(crate) hint_token: Option<Secret>,
    /// The token for changes, and for reading where `read` requires it; `None` disables changes.
    #[serde(serialize_with = "hidden")]
    pub(crate) token: Option<Secret>,
    /// What reading requires.
    pub(crate) read: ReadAccess,
    /// Host names besides `localhost`, in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<String>,
    /// The URL of the page in messages; without it they have no links.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub(crate) public_url: Option<PublicUrl>,
    /// Whether the page shows the images of avatars, which the browser loads from Argil.
    pub(crate) thumbnails: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HeartbeatSettings {
    /// A valid `http` or `https` URL; a credential as a whole.
    #[serde(serialize_with = "hidden")]
    pub(crate) url: Secret,
    /// The minimum interval between two heartbeats.
    #[serde(serialize_with = "wait")]
    pub(crate) every: Duration,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelSettings {
    #[serde(skip)]
    pub(crate) name: ChannelName,
    /// Its events; none twice, and empty only for an operator channel.
    pub(crate) events: Vec<EventKind>,
    /// The avatars that it is for.
    pub(crate) only: ChannelFilter,
    /// Whether it also gets conditions.
    pub(crate) operator: bool,
    #[serde(flatten)]
    pub(crate) policy: DeliveryPolicy,
    /// Its type.
    #[serde(flatten)]
    pub kind: ChannelKind,
}

impl ChannelSettings {
    /// What it asks for.
    pub(crate) fn routing(&self) -> ChannelRouting {
        let Self { events, operator, only, .. } = self;
        ChannelRouting { events: events.clone(), operator: *operator, only: only.clone() }
    }
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
    pub(crate) url: Secret,
    /// The signing secrets: at least one if the format requires it, more during a rotation; none
    /// twice.
    #[serde(rename = "secret", serialize_with = "hidden")]
    pub(crate) secrets: Vec<SigningSecret>,
    #[serde(serialize_with = "wait")]
    pub(crate) timeout: Duration,
    #[serde(flatten)]
    pub(crate) format: FormatSettings,
    /// Additional request headers; the values are secrets.
    #[serde(serialize_with = "hidden")]
    pub(crate) headers: BTreeMap<CustomHeaderName, Secret>,
    /// The proxy: a valid `http` URL; a credential as a whole.
    #[serde(serialize_with = "hidden")]
    pub(crate) proxy: Option<Secret>,
    /// The addresses that it may connect to.
    #[serde(rename = "deny_private", serialize_with = "debug")]
    pub egress: EgressPolicy,
    /// Additional CA certificates, as PEM.
    #[serde(serialize_with = "hidden")]
    pub(crate) ca_file: Option<Vec<u8>>,
    /// Which responses of a chat service count as delivered.
    #[serde(serialize_with = "debug")]
    pub(crate) accepts: Accepts,
}

/// The format of a webhook. Its templates have not been checked.
pub(crate) type FormatSettings = MessageFormat<TemplateSettings>;

/// A custom body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TemplateSettings {
    /// The body; its strings are templates.
    pub(crate) tree: TemplateTree,
    pub(crate) content_type: String,
    pub(crate) location: ConfigOrigin,
    /// The line of each value by its path.
    pub(crate) lines: BTreeMap<String, usize>,
}

/// A mail channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmailSettings {
    pub(crate) from: MailAddress,
    /// The recipients: at least one; none twice.
    pub(crate) to: Vec<MailAddress>,
    /// The envelope sender; `None` is the null sender: no bounces.
    pub(crate) bounce_to: Option<MailAddress>,
    /// The `Reply-To` address; `None` is the sender.
    pub(crate) reply_to: Option<MailAddress>,
    pub(crate) message_id_domain: MailDomain,
    /// The prefix of subjects; may be empty.
    pub(crate) subject_prefix: String,
    pub(crate) threading: Threading,
    /// A valid `https` or `mailto` URL for unsubscribing.
    #[serde(serialize_with = "hidden")]
    pub(crate) list_unsubscribe: Option<String>,
    #[serde(flatten)]
    pub(crate) transport: MailTransport,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MailTransport {
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

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SmtpSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: SmtpTls,
    #[serde(flatten)]
    pub(crate) login: Option<SmtpLogin>,
    /// Additional CA certificates, as PEM.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hidden")]
    pub(crate) ca_file: Option<Vec<u8>>,
    /// The `EHLO` name; `None` leaves it to the client.
    pub(crate) hello_name: Option<MailDomain>,
    #[serde(serialize_with = "wait")]
    pub(crate) dot_timeout: Duration,
}

/// How to log in to an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmtpLogin {
    pub(crate) username: String,
    pub(crate) auth: LoginMethod,
    pub(crate) credential: CredentialSource,
}
