//! From settings to a plan: builds the clients and channels that the settings describe.
//!
//! Adapters get plain values and never see the config. Nothing is opened or sent here.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::argil::client::{Client, ClientSpec};
use crate::config::settings::{
    ArgilSettings, ChannelKind, ChannelSettings, EmailSettings, Settings, SmtpTls as ConfigTls,
    WebhookSettings,
};
use crate::daemon::error::DaemonError;
use crate::daemon::plan::{Account, Outlet, Plan, Registration, Strategy};
use crate::domain::account::AccountName;
use crate::domain::backoff::Backoff;
use crate::domain::channel::ChannelName;
use crate::domain::key_gate::GateWaits;
use crate::notify::channels::Channel;
use crate::notify::email::mailer::{Email, EmailSpec, PhaseTimeouts, SmtpSpec, SmtpTls};
use crate::notify::error::NotifyError;
use crate::notify::http::{Webhook, WebhookSpec};

/// The plan of the real daemon.
pub type WiredPlan = Plan<Client, Channel>;

/// Builds everything that the settings describe.
///
/// # Errors
/// When a client or a channel cannot be built.
pub fn plan(settings: &Settings) -> Result<WiredPlan, DaemonError> {
    let argil = &settings.argil;
    let per_second = NonZeroU32::new(argil.max_requests_per_second).unwrap_or(NonZeroU32::MIN);
    let avatars = settings.avatars.iter().map(|avatar| {
        let registration = Registration {
            label: avatar.name.clone(),
            channels: avatar.channels.clone(),
            assume: avatar.assume.clone(),
            ..Registration::default()
        };
        (avatar.id.clone(), Arc::new(registration))
    });
    let account = Account {
        source: Arc::new(client(argil)?),
        max_concurrency: argil.max_concurrency,
        max_per_second: per_second,
        blind_after: Duration::from_secs(900),
    };
    Ok(Plan {
        accounts: BTreeMap::from([(AccountName::default(), account)]),
        strategy: Strategy::default(),
        discovery: None,
        cadence: settings.cadence.clone(),
        gate_waits: gate_waits(&settings.cadence.backoff),
        infer_unseen_training: settings.infer_unseen_training,
        avatars: avatars.collect(),
        outlets: outlets(&settings.channels)?,
    })
}

/// Builds the client of the API.
///
/// # Errors
/// When it cannot be built.
pub fn client(argil: &ArgilSettings) -> Result<Client, DaemonError> {
    Client::new(ClientSpec {
        base_url: argil.base_url.clone(),
        api_key: argil.api_key.clone(),
        timeout: argil.timeout,
    })
    .map_err(DaemonError::Argil)
}

/// Builds one channel.
///
/// # Errors
/// When it cannot be built.
pub fn channel(settings: &ChannelSettings) -> Result<Channel, DaemonError> {
    let built = match &settings.kind {
        ChannelKind::Webhook(webhook) => webhook_channel(webhook),
        ChannelKind::Email(email) => email_channel(&settings.name, email),
    };
    built.map_err(|source| DaemonError::Channel { name: settings.name.clone(), source })
}

fn outlets(
    channels: &BTreeMap<ChannelName, ChannelSettings>,
) -> Result<BTreeMap<ChannelName, Outlet<Channel>>, DaemonError> {
    channels
        .iter()
        .map(|(name, settings)| {
            let outlet = Outlet {
                notifier: Arc::new(channel(settings)?),
                events: settings.events.clone(),
                operator: false,
                schedule: settings.retry_schedule.clone(),
            };
            Ok((name.clone(), outlet))
        })
        .collect()
}

fn webhook_channel(settings: &WebhookSettings) -> Result<Channel, NotifyError> {
    Webhook::new(WebhookSpec {
        url: settings.url.clone(),
        secrets: settings.secrets.clone(),
        timeout: settings.timeout,
    })
    .map(Channel::Webhook)
}

fn email_channel(name: &ChannelName, settings: &EmailSettings) -> Result<Channel, NotifyError> {
    let smtp = &settings.smtp;
    Email::new(EmailSpec {
        channel: name.clone(),
        from: settings.from.clone(),
        to: settings.to.clone(),
        message_id_domain: settings.message_id_domain.clone(),
        smtp: SmtpSpec {
            host: smtp.host.clone(),
            port: smtp.port,
            tls: match smtp.tls {
                ConfigTls::Starttls => SmtpTls::Starttls,
                ConfigTls::Implicit => SmtpTls::Implicit,
                ConfigTls::None => SmtpTls::None,
            },
            login: smtp.login.clone(),
            ca_pem: smtp.ca_file.clone(),
            hello_name: smtp.hello_name.clone(),
        },
        timeouts: PhaseTimeouts::default(),
    })
    .map(Channel::Email)
}

/// A key that is refused will not mend itself in seconds; one that is throttled waits as any
/// failure does.
fn gate_waits(backoff: &Backoff) -> GateWaits {
    let denied = Backoff::new(DENIED_FIRST, DENIED_MAX, DENIED_FACTOR, DENIED_JITTER)
        .unwrap_or_else(|_| backoff.clone());
    GateWaits { denied, throttled: backoff.clone() }
}

const DENIED_FIRST: Duration = Duration::from_secs(60);
const DENIED_MAX: Duration = Duration::from_hours(1);
const DENIED_FACTOR: f64 = 2.0;
const DENIED_JITTER: f64 = 0.1;
