//! The config in the form that the loops use. A reload replaces it as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::logging::template_fallback_log::TemplateFallbackLog;
use crate::daemon::ports::Notifier;
use crate::domain::account::AccountName;
use crate::domain::alerts::AlertTiming;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::RetryState;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::polling::circuit_breaker::BreakerBackoff;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::polling::strategy::Strategy;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::content::render;
use crate::notify::format::standard;
use crate::store::handle::NewEvent;
use crate::store::tables::outbox::NewDelivery;

/// The config of both loops.
#[derive(Debug)]
pub struct RuntimeConfig<S, N> {
    /// The accounts.
    pub accounts: BTreeMap<AccountName, AccountRuntime<S>>,
    /// How avatars are polled.
    pub strategy: Strategy,
    /// Handling of discovered avatars; `None` when discovery is off.
    pub discovery: Option<Discovery>,
    /// Polling intervals.
    pub intervals: PollIntervals,
    /// Backoff of a tripped circuit breaker.
    pub breaker_backoff: BreakerBackoff,
    /// Whether a finished training that was not observed is an event.
    pub infer_unseen_training: bool,
    /// When operators are notified of conditions and dead letters.
    pub alert_timing: AlertTiming,
    /// The configured avatars; each refers to one of the accounts.
    pub avatars: HashMap<AvatarId, Arc<WatchedAvatar>>,
    /// The channels.
    pub channels: BTreeMap<ChannelName, ChannelRuntime<N>>,
}

/// Runtime of an account.
#[derive(Debug)]
pub struct AccountRuntime<S> {
    /// The client.
    pub source: Arc<S>,
    /// Maximum number of requests in flight.
    pub max_concurrency: usize,
    /// Maximum number of requests per second.
    pub max_per_second: NonZeroU32,
    /// `account.unavailable` fires after this long without a successful poll.
    pub unavailable_after: Duration,
}

/// Config of discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Interval between two list polls of an account.
    pub every: Duration,
    /// The accounts that are listed.
    pub accounts: BTreeSet<AccountName>,
    /// The channels that receive events of discovered avatars; `None` for all.
    pub channels: Option<Vec<ChannelName>>,
    /// When a training is overdue.
    pub overdue_after: OverdueAfter,
}

/// Config of a watched avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedAvatar {
    /// The configured name.
    pub label: Option<String>,
    /// The channels that receive its events; `None` for all.
    pub channels: Option<Vec<ChannelName>>,
    /// Its status before the first poll.
    pub assume: Option<Status>,
    /// Its account.
    pub account: AccountName,
    /// When a training is overdue.
    pub overdue_after: OverdueAfter,
    /// Its location in the config, for messages; `None` for a discovered avatar.
    pub location: Option<String>,
}

/// Runtime of a channel.
#[derive(Debug)]
pub struct ChannelRuntime<N> {
    /// Renders and sends messages.
    pub notifier: Arc<N>,
    /// Fingerprint of the target, without its secrets; a different target counts as a new channel.
    pub target: String,
    /// Maximum duration of an attempt.
    pub attempt_timeout: Duration,
    /// The kinds of events that it receives.
    pub events: Vec<EventKind>,
    /// Whether it receives conditions as well.
    pub operator: bool,
    /// Its delivery policy.
    pub policy: DeliveryPolicy,
    /// Maximum number of attempts in flight; for different avatars or recipients.
    pub max_concurrency: usize,
    /// Minimum interval between two attempts, for targets with a rate limit.
    pub min_interval: Option<Duration>,
    /// Logged template problems.
    pub fallbacks: TemplateFallbackLog,
}

impl<S, N> RuntimeConfig<S, N> {
    /// The delivery policies, by channel.
    pub fn delivery_policies(&self) -> BTreeMap<ChannelName, DeliveryPolicy> {
        self.channels
            .iter()
            .map(|(name, channel_runtime)| (name.clone(), channel_runtime.policy.clone()))
            .collect()
    }

    /// Whether avatars of the account are discovered.
    pub fn discovers(&self, account: &AccountName) -> bool {
        self.discovery.as_ref().is_some_and(|discovery| discovery.accounts.contains(account))
    }

    /// The config of an avatar that only the account's list shows; `None` when discovery is off for
    /// the account.
    pub fn discovered(&self, account: &AccountName) -> Option<WatchedAvatar> {
        let discovery = self.discovery.as_ref()?;
        discovery.accounts.contains(account).then(|| WatchedAvatar {
            channels: discovery.channels.clone(),
            account: account.clone(),
            overdue_after: discovery.overdue_after,
            ..WatchedAvatar::default()
        })
    }
}

impl<S, N: Notifier> RuntimeConfig<S, N> {
    /// Creates an event with its body and deliveries, rendered once for every channel and
    /// recipient. Transitions go to the channels of the avatar, conditions to operator channels.
    pub fn new_event(
        &self,
        event: Event,
        watched_avatar: Option<&WatchedAvatar>,
        now: Timestamp,
        random: RandomBits,
    ) -> NewEvent {
        let chosen = watched_avatar.and_then(|watched_avatar| watched_avatar.channels.as_ref());
        let gets = |name: &ChannelName, channel_runtime: &ChannelRuntime<N>| match &event.subject {
            // The failure of a channel is reported through the others.
            Subject::Condition(condition) => {
                channel_runtime.operator && condition.subject.channel() != Some(name)
            }
            Subject::DeadLetter(dead_letter) => {
                channel_runtime.operator && dead_letter.first.channel != *name
            }
            Subject::Transition { .. } | Subject::Ping { .. } => {
                channel_runtime.events.contains(&event.kind)
                    && chosen.is_none_or(|channels| channels.contains(name))
            }
        };
        let deliveries = (1u64..)
            .zip(&self.channels)
            .filter(|(_, (name, channel_runtime))| gets(name, channel_runtime))
            .flat_map(|(number, (name, channel_runtime))| {
                let drafts = channel_runtime.notifier.render(&event, now, random.derive(number));
                channel_runtime.fallbacks.note(name, &drafts);
                drafts.into_iter().map(|draft| NewDelivery {
                    id: draft.id,
                    channel: name.clone(),
                    recipient: draft.recipient,
                    content_type: draft.content_type,
                    body: draft.body,
                    fallback: draft.fallback,
                    retry_state: RetryState::new(now, &channel_runtime.policy),
                })
            })
            .collect();
        let (title, body) = (render::title(&event), standard::render(&event));
        NewEvent { event, title, body, deliveries }
    }
}
