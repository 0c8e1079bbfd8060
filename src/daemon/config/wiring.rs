//! Builds clients and channels from the settings.
//!
//! Adapters get plain values and never see the config. Nothing is opened or sent here.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::argil::client::{ApiClientSpec, Client};
use crate::config::settings::{
    AccountSettings, ChannelKind, ChannelSettings, EmailSettings, HeartbeatSettings, MailTransport,
    Settings, SmtpLogin, SmtpSettings, WebhookSettings,
};
use crate::daemon::background::config::{BackgroundConfig, HeartbeatConfig};
use crate::daemon::config::load_config;
use crate::daemon::config::runtime_config::{
    AccountRuntime, ChannelRuntime, Discovery, RuntimeConfig, WatchedAvatar,
};
use crate::daemon::error::DaemonError;
use crate::daemon::logging::template_fallback_log::TemplateFallbackLog;
use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::polling::backoff::Backoff;
use crate::domain::polling::circuit_breaker::BreakerBackoff;
use crate::domain::routing::unreached::{Routed, unreached, without_operator};
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::notify::build_error::BuildError;
use crate::notify::channel::Channel;
use crate::notify::email::channel::Email;
use crate::notify::email::config::{
    EmailSpec, LoginSpec, MailStyle, PhaseTimeouts, SendmailSpec, SmtpSpec, TransportConfig,
};
use crate::notify::heartbeat::Heartbeat;
use crate::notify::message_context::MessageContext;
use crate::notify::webhook::sender::{Webhook, WebhookSpec};
use crate::text::sanitize::sanitize_line;

/// The runtime config of the real daemon.
pub type WiredConfig = RuntimeConfig<Client, Channel>;

/// Builds the runtime config. Clients with unchanged settings are taken from `before`.
pub fn build(
    settings: &Settings,
    before: Option<(&Settings, &WiredConfig)>,
) -> Result<WiredConfig, DaemonError> {
    let avatars = settings.avatars.iter().map(|avatar| {
        let watched_avatar = WatchedAvatar {
            label: avatar.name.clone(),
            channels: avatar.channels.clone(),
            tags: settings.routing(avatar).tags,
            assume: avatar.assume.clone(),
            account: avatar.account.clone(),
            overdue_after: avatar.overdue_after,
            location: Some(avatar.location.clone()),
        };
        (avatar.id.clone(), Arc::new(watched_avatar))
    });
    let accounts = settings.accounts.iter().map(|(name, account)| {
        Ok((name.clone(), self::account(account, source(name, account, before)?)))
    });
    Ok(RuntimeConfig {
        accounts: accounts.collect::<Result<_, DaemonError>>()?,
        strategy: settings.strategy,
        discovery: settings.discover.as_ref().map(|discover| Discovery {
            every: discover.every,
            routing: settings.discovered_routing(),
            overdue_after: discover.overdue_after,
        }),
        intervals: settings.intervals.clone(),
        breaker_backoff: breaker_backoff(&settings.intervals.backoff),
        infer_unseen_training: settings.infer_unseen_training,
        alert_timing: settings.alert_timing,
        avatars: avatars.collect(),
        channels: channel_runtimes(&settings.channels, &message_context(settings))?,
    })
}

pub(crate) fn build_background(settings: &Settings) -> Result<BackgroundConfig, DaemonError> {
    let heartbeat = match &settings.heartbeat {
        Some(HeartbeatSettings { url, every }) => {
            let heartbeat = Heartbeat::new(url).map_err(DaemonError::Heartbeat)?;
            Some(HeartbeatConfig { heartbeat: Arc::new(heartbeat), every: *every })
        }
        None => None,
    };
    Ok(BackgroundConfig { retention: settings.retention, heartbeat })
}

/// Describes what keeps parts of the config from working, or their failures from being noticed.
pub fn obstacles(
    settings: &Settings,
    config: &WiredConfig,
    background: &BackgroundConfig,
) -> Vec<String> {
    let accounts = config.accounts.iter().filter_map(|(name, account)| {
        let obstacle = account.source.obstacle()?;
        Some(format!("account `{name}` cannot be polled yet: {obstacle}"))
    });
    let channels = config.channels.iter().filter_map(|(name, runtime)| {
        let obstacle = runtime.notifier.obstacle()?;
        Some(format!("channel `{name}` cannot be notified yet: {obstacle}"))
    });
    let heartbeat = background.heartbeat.iter().filter_map(|heartbeat| {
        let obstacle = heartbeat.heartbeat.obstacle()?;
        Some(format!("the heartbeat cannot be sent yet: {obstacle}"))
    });
    let no_operator =
        !config.channels.is_empty() && !config.channels.values().any(|channel| channel.operator);
    let no_operator = no_operator.then(|| NO_OPERATOR.to_owned());
    let obstacles = accounts.chain(channels).chain(heartbeat).chain(no_operator);
    obstacles.chain(unreached_avatars(settings)).collect()
}

/// Describes the avatars that reach no channel, with their events or their conditions.
fn unreached_avatars(settings: &Settings) -> Vec<String> {
    // Without a channel there is another warning.
    if settings.channels.is_empty() {
        return Vec::new();
    }
    let routings: Vec<_> =
        settings.channels.iter().map(|(name, it)| (name, it.routing())).collect();
    let channels: Vec<_> = routings.iter().map(|(name, it)| it.of(name)).collect();
    let without_operator = without_operator(routed_avatars(settings), &channels);
    unreached(routed_avatars(settings), &channels).into_iter().chain(without_operator).collect()
}

/// The configured avatars in their order, and those that are discovered in each account.
fn routed_avatars(settings: &Settings) -> impl Iterator<Item = Routed> {
    let configured = settings.avatars.iter().map(|avatar| {
        let (id, name) = (&avatar.id, avatar.name.clone());
        let shown = name.as_ref().map(|name| sanitize_line(name, NAME_CHARS_MAX));
        let shown = shown.map_or_else(|| format!("`{id}`"), |name| format!("\"{name}\" (`{id}`)"));
        Routed { label: Some(shown), name, routing: settings.routing(avatar) }
    });
    let discovered = settings.discovered_routing().into_values();
    let discovered = discovered.map(|routing| Routed { label: None, name: None, routing });
    configured.chain(discovered)
}

/// Why failures of the daemon's own work are not noticed.
const NO_OPERATOR: &str = "no channel has `operator = true`, so no notification is sent when \
    polling or a channel fails; set it in one of the channels";

/// The runtime of an account.
pub fn account(settings: &AccountSettings, source: Arc<Client>) -> AccountRuntime<Client> {
    let per_second = NonZeroU32::new(settings.max_requests_per_second);
    AccountRuntime {
        source,
        max_concurrency: settings.max_concurrency,
        max_per_second: per_second.unwrap_or(NonZeroU32::MIN),
        unavailable_after: settings.unavailable_after,
    }
}

/// The previous client with its connections, if its settings are unchanged; otherwise a new one.
fn source(
    name: &AccountName,
    account: &AccountSettings,
    before: Option<(&Settings, &WiredConfig)>,
) -> Result<Arc<Client>, DaemonError> {
    let kept = before.and_then(|(settings, config)| {
        let same = settings.accounts.get(name)? == account;
        same.then_some(Arc::clone(&config.accounts.get(name)?.source))
    });
    kept.map_or_else(|| client(account).map(Arc::new), Ok)
}

/// Builds the API client.
pub fn client(account: &AccountSettings) -> Result<Client, DaemonError> {
    Client::new(ApiClientSpec {
        base_url: account.base_url.clone(),
        api_key: account.api_key.clone(),
        timeout: account.timeout,
    })
    .map_err(DaemonError::Argil)
}

/// The time zone and the links of all messages for people.
pub fn message_context(settings: &Settings) -> MessageContext {
    MessageContext {
        time_zone: settings.time_zone.clone(),
        public_url: settings.web.public_url.clone(),
    }
}

/// Builds one channel.
pub fn channel(
    settings: &ChannelSettings,
    context: &MessageContext,
) -> Result<Channel, DaemonError> {
    let built = match &settings.kind {
        ChannelKind::Webhook(webhook) => webhook_channel(webhook, context),
        ChannelKind::Email(email) => email_channel(&settings.name, email, context),
    };
    built.map_err(|source| DaemonError::Channel { name: settings.name.clone(), source })
}

fn channel_runtimes(
    channels: &BTreeMap<ChannelName, ChannelSettings>,
    context: &MessageContext,
) -> Result<BTreeMap<ChannelName, ChannelRuntime<Channel>>, DaemonError> {
    channels
        .iter()
        .map(|(name, settings)| {
            let notifier = channel(settings, context)?;
            let runtime = ChannelRuntime {
                max_concurrency: notifier.max_concurrency(),
                min_interval: notifier.min_interval(),
                target: notifier.fingerprint(),
                attempt_timeout: notifier.attempt_timeout(),
                notifier: Arc::new(notifier),
                events: settings.events.clone(),
                only: settings.only.clone(),
                operator: settings.operator,
                policy: settings.policy.clone(),
                fallbacks: TemplateFallbackLog::default(),
            };
            Ok((name.clone(), runtime))
        })
        .collect()
}

fn webhook_channel(
    settings: &WebhookSettings,
    context: &MessageContext,
) -> Result<Channel, BuildError> {
    Webhook::new(WebhookSpec {
        url: settings.url.clone(),
        secrets: settings.secrets.clone(),
        timeout: settings.timeout,
        format: settings.format.map_template(load_config::template),
        context: context.clone(),
        headers: settings.headers.iter().map(|(name, it)| (name.clone(), it.clone())).collect(),
        proxy: settings.proxy.clone(),
        egress: settings.egress,
        ca_pem: settings.ca_file.clone(),
        accepts: settings.accepts,
    })
    .map(Channel::Webhook)
}

fn email_channel(
    name: &ChannelName,
    settings: &EmailSettings,
    context: &MessageContext,
) -> Result<Channel, BuildError> {
    Email::new(EmailSpec {
        channel: name.clone(),
        from: settings.from.clone(),
        to: settings.to.clone(),
        bounces: settings.bounce_to.clone(),
        style: MailStyle {
            message_id_domain: settings.message_id_domain.clone(),
            subject_prefix: settings.subject_prefix.clone(),
            reply_to: settings.reply_to.clone(),
            threading: settings.threading,
            list_unsubscribe: settings.list_unsubscribe.clone(),
        },
        context: context.clone(),
        post: match &settings.transport {
            MailTransport::Smtp(smtp) => TransportConfig::Smtp(smtp_spec(smtp)),
            MailTransport::Sendmail { program, timeout } => {
                TransportConfig::Sendmail(SendmailSpec {
                    program: program.clone(),
                    timeout: *timeout,
                })
            }
            MailTransport::File { folder } => TransportConfig::File(folder.clone()),
        },
    })
    .map(Channel::Email)
}

fn smtp_spec(smtp: &SmtpSettings) -> SmtpSpec {
    let login = |login: &SmtpLogin| LoginSpec {
        user: login.username.clone(),
        method: login.auth,
        credential: login.credential.clone(),
    };
    SmtpSpec {
        host: smtp.host.clone(),
        port: smtp.port,
        tls: smtp.tls,
        login: smtp.login.as_ref().map(login),
        ca_pem: smtp.ca_file.clone(),
        hello_name: smtp.hello_name.clone(),
        timeouts: PhaseTimeouts { dot: smtp.dot_timeout, ..PhaseTimeouts::default() },
    }
}

/// Backoff of the circuit breaker: a refused key does not recover within seconds; a rate-limited
/// one backs off like any failure.
pub fn breaker_backoff(backoff: &Backoff) -> BreakerBackoff {
    let denied = Backoff::new(DENIED_FIRST, DENIED_MAX, DENIED_FACTOR, DENIED_JITTER)
        .unwrap_or_else(|_| backoff.clone());
    BreakerBackoff { denied, throttled: backoff.clone() }
}

const DENIED_FIRST: Duration = Duration::from_secs(60);
const DENIED_MAX: Duration = Duration::from_hours(1);
const DENIED_FACTOR: f64 = 2.0;
const DENIED_JITTER: f64 = 0.1;
