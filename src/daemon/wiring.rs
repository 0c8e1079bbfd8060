//! From settings to a plan: builds the clients and channels that the settings describe.
//!
//! Adapters get plain values and never see the config. Nothing is opened or sent here.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::argil::client::{Client, ClientSpec};
use crate::config::settings::{
    AccountSettings, BounceTo, ChannelKind, ChannelSettings, EmailSettings, FormatSettings,
    HeartbeatSettings, MailWay, Settings, SmtpAuth, SmtpLogin, SmtpProof, SmtpSettings,
    SmtpTls as ConfigTls, Strategy as ConfigStrategy, Threading as ConfigThreading,
    WebhookSettings,
};
use crate::daemon::checked;
use crate::daemon::chores::{Chores, Heart};
use crate::daemon::error::DaemonError;
use crate::daemon::log_throttle::TemplateFallbackLog;
use crate::daemon::plan::{Account, Discovery, Outlet, Plan, Registration, Strategy};
use crate::domain::account::AccountName;
use crate::domain::backoff::Backoff;
use crate::domain::channel::ChannelName;
use crate::domain::key_gate::GateWaits;
use crate::notify::channels::Channel;
use crate::notify::email::mailer::Email;
use crate::notify::email::spec::{
    Bounces, EmailSpec, FileSpec, LoginMethod, LoginSpec, MailStyle, PhaseTimeouts, PostSpec,
    Proof, SendmailSpec, SmtpSpec, SmtpTls, Threading,
};
use crate::notify::error::NotifyError;
use crate::notify::format::choice::Format;
use crate::notify::heartbeat::Heartbeat;
use crate::notify::http::{Webhook, WebhookSpec};

/// The plan of the real daemon.
pub type WiredPlan = Plan<Client, Channel>;

/// Builds everything that the settings describe. What is as it was `before` is kept.
///
/// # Errors
/// When a client or a channel cannot be built.
pub fn plan(
    settings: &Settings,
    before: Option<(&Settings, &WiredPlan)>,
) -> Result<WiredPlan, DaemonError> {
    let avatars = settings.avatars.iter().map(|avatar| {
        let registration = Registration {
            label: avatar.name.clone(),
            channels: avatar.channels.clone(),
            assume: avatar.assume.clone(),
            account: avatar.account.clone(),
            overdue_after: avatar.overdue_after,
            place: Some(format!("`{}`", avatar.place)),
        };
        (avatar.id.clone(), Arc::new(registration))
    });
    let accounts = settings.accounts.iter().map(|(name, account)| {
        Ok((name.clone(), self::account(account, source(name, account, before)?)))
    });
    Ok(Plan {
        accounts: accounts.collect::<Result<_, DaemonError>>()?,
        strategy: match settings.strategy {
            ConfigStrategy::Single => Strategy::Single,
            ConfigStrategy::List => Strategy::List,
        },
        discovery: settings.discover.as_ref().map(|discover| Discovery {
            every: discover.every,
            accounts: discover.accounts.iter().cloned().collect(),
            channels: discover.channels.clone(),
            overdue_after: discover.overdue_after,
        }),
        cadence: settings.cadence.clone(),
        gate_waits: gate_waits(&settings.cadence.backoff),
        infer_unseen_training: settings.infer_unseen_training,
        avatars: avatars.collect(),
        outlets: outlets(&settings.channels)?,
    })
}

/// The work beside the loops, as the settings describe it.
///
/// # Errors
/// When the client of the heartbeat cannot be built.
pub fn chores(settings: &Settings) -> Result<Chores, DaemonError> {
    let heart = match &settings.heartbeat {
        Some(HeartbeatSettings { url, every }) => {
            let heartbeat = Heartbeat::new(url).map_err(DaemonError::Heartbeat)?;
            Some(Heart { heartbeat: Arc::new(heartbeat), every: *every })
        }
        None => None,
    };
    Ok(Chores { retention: settings.retention, heart })
}

/// What this machine lacks, so that a part of the config is of no use just now, in words.
pub fn hindrances(plan: &WiredPlan, chores: &Chores) -> Vec<String> {
    let accounts = plan.accounts.iter().filter_map(|(name, account)| {
        let lacks = account.source.hindrance()?;
        Some(format!("account `{name}` cannot be polled yet: {lacks}"))
    });
    let channels = plan.outlets.iter().filter_map(|(name, outlet)| {
        let lacks = outlet.notifier.hindrance()?;
        Some(format!("channel `{name}` cannot be notified yet: {lacks}"))
    });
    let heart = chores.heart.iter().filter_map(|heart| {
        let lacks = heart.heartbeat.hindrance()?;
        Some(format!("the heartbeat cannot be sent yet: {lacks}"))
    });
    accounts.chain(channels).chain(heart).collect()
}

/// An account with its client.
pub fn account(settings: &AccountSettings, source: Arc<Client>) -> Account<Client> {
    let per_second = NonZeroU32::new(settings.max_requests_per_second);
    Account {
        source,
        max_concurrency: settings.max_concurrency,
        max_per_second: per_second.unwrap_or(NonZeroU32::MIN),
        blind_after: settings.blind_after,
    }
}

/// The client that the plan before had, when nothing about it changed, with its connections;
/// else a new one.
fn source(
    name: &AccountName,
    account: &AccountSettings,
    before: Option<(&Settings, &WiredPlan)>,
) -> Result<Arc<Client>, DaemonError> {
    let kept = before.and_then(|(settings, plan)| {
        let same = settings.accounts.get(name)? == account;
        same.then_some(Arc::clone(&plan.accounts.get(name)?.source))
    });
    kept.map_or_else(|| client(account).map(Arc::new), Ok)
}

/// Builds the client of the API.
///
/// # Errors
/// When it cannot be built.
pub fn client(account: &AccountSettings) -> Result<Client, DaemonError> {
    Client::new(ClientSpec {
        base_url: account.base_url.clone(),
        api_key: account.api_key.clone(),
        timeout: account.timeout,
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
            let notifier = channel(settings)?;
            let outlet = Outlet {
                at_once: notifier.at_once(),
                spacing: notifier.spacing(),
                target: notifier.fingerprint(),
                attempt_max: notifier.attempt_max(),
                notifier: Arc::new(notifier),
                events: settings.events.clone(),
                operator: settings.operator,
                terms: settings.terms.clone(),
                fallbacks: TemplateFallbackLog::default(),
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
        format: format(&settings.format),
        headers: settings.headers.iter().map(|(name, it)| (name.clone(), it.clone())).collect(),
        proxy: settings.proxy.clone(),
        reach: settings.reach,
        ca_pem: settings.ca_file.clone(),
        accepts: settings.accepts,
    })
    .map(Channel::Webhook)
}

fn format(settings: &FormatSettings) -> Format {
    match settings {
        FormatSettings::Standard => Format::Standard,
        FormatSettings::CloudEvents { source } => Format::CloudEvents { source: source.clone() },
        FormatSettings::Slack => Format::Slack,
        FormatSettings::Discord => Format::Discord,
        FormatSettings::Teams => Format::Teams,
        FormatSettings::Ntfy => Format::Ntfy,
        FormatSettings::Template(settings) => Format::Template(checked::template(settings)),
    }
}

fn email_channel(name: &ChannelName, settings: &EmailSettings) -> Result<Channel, NotifyError> {
    Email::new(EmailSpec {
        channel: name.clone(),
        from: settings.from.clone(),
        to: settings.to.clone(),
        bounces: match &settings.bounce_to {
            BounceTo::From => Bounces::Sender,
            BounceTo::Address(address) => Bounces::To(address.clone()),
            BounceTo::None => Bounces::Nowhere,
        },
        style: MailStyle {
            message_id_domain: settings.message_id_domain.clone(),
            subject_prefix: settings.subject_prefix.clone(),
            reply_to: settings.reply_to.clone(),
            threading: match settings.threading {
                ConfigThreading::Avatar => Threading::Avatar,
                ConfigThreading::None => Threading::None,
            },
            list_unsubscribe: settings.list_unsubscribe.clone(),
        },
        post: match &settings.way {
            MailWay::Smtp(smtp) => PostSpec::Smtp(smtp_spec(smtp)),
            MailWay::Sendmail { program, timeout } => {
                PostSpec::Sendmail(SendmailSpec { program: program.clone(), timeout: *timeout })
            }
            MailWay::File { folder } => PostSpec::File(FileSpec { folder: folder.clone() }),
        },
    })
    .map(Channel::Email)
}

fn smtp_spec(smtp: &SmtpSettings) -> SmtpSpec {
    let login = |login: &SmtpLogin| LoginSpec {
        user: login.username.clone(),
        method: match login.auth {
            SmtpAuth::Password => LoginMethod::Password,
            SmtpAuth::Xoauth2 => LoginMethod::Xoauth2,
        },
        proof: match &login.proof {
            SmtpProof::Given(secret) => Proof::Given(secret.clone()),
            SmtpProof::Command(program) => Proof::Command(program.clone()),
        },
    };
    SmtpSpec {
        host: smtp.host.clone(),
        port: smtp.port,
        tls: match smtp.tls {
            ConfigTls::Starttls => SmtpTls::Starttls,
            ConfigTls::Implicit => SmtpTls::Implicit,
            ConfigTls::None => SmtpTls::None,
        },
        login: smtp.login.as_ref().map(login),
        ca_pem: smtp.ca_file.clone(),
        hello_name: smtp.hello_name.clone(),
        timeouts: PhaseTimeouts::with_dot(smtp.dot_timeout),
    }
}

/// A key that is refused will not mend itself in seconds; one that is throttled waits as any
/// failure does.
pub fn gate_waits(backoff: &Backoff) -> GateWaits {
    let denied = Backoff::new(DENIED_FIRST, DENIED_MAX, DENIED_FACTOR, DENIED_JITTER)
        .unwrap_or_else(|_| backoff.clone());
    GateWaits { denied, throttled: backoff.clone() }
}

const DENIED_FIRST: Duration = Duration::from_secs(60);
const DENIED_MAX: Duration = Duration::from_hours(1);
const DENIED_FACTOR: f64 = 2.0;
const DENIED_JITTER: f64 = 0.1;
