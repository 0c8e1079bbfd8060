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
use crate::domain::condition::ConditionSubject;
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::delivery::RetryState;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::polling::circuit_breaker::BreakerBackoff;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::polling::strategy::Strategy;
use crate::domain::random::RandomBits;
use crate::domain::routing::facts::{AvatarFacts, AvatarRouting};
use crate::domain::routing::filter::ChannelFilter;
use crate::domain::routing::subscription::Subscription;
use crate::domain::routing::tag::Tag;
use crate::domain::routing::unreached::unreached_event;
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
    /// What routing knows of the discovered avatars of each account that is listed.
    pub routing: BTreeMap<AccountName, AvatarRouting>,
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
    /// Its tags, with those of its account.
    pub tags: BTreeSet<Tag>,
    /// Its status before the first poll.
    pub assume: Option<Status>,
    /// Its account.
    pub account: AccountName,
    /// When a training is overdue.
    pub overdue_after: OverdueAfter,
    /// Its location in the config, for messages; `None` for a discovered avatar.
    pub location: Option<ConfigOrigin>,
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
    /// The avatars that it is for.
    pub only: ChannelFilter,
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

impl WatchedAvatar {
    /// What is known of it for routing, with what the last poll showed.
    pub fn facts<'a>(&'a self, name: Option<&'a str>, model: Option<&'a str>) -> AvatarFacts<'a> {
        AvatarFacts {
            account: &self.account,
            tags: &self.tags,
            channels: self.channels.as_deref(),
            name: self.label.as_deref().or(name),
            model,
            is_polled: false,
        }
    }
}

impl<N> ChannelRuntime<N> {
    /// What it asks for.
    pub fn subscription<'a>(&'a self, channel: &'a ChannelName) -> Subscription<'a> {
        let Self { events, operator, only, .. } = self;
        Subscription { channel, events, operator: *operator, only }
    }
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
        self.discovery.as_ref().is_some_and(|discovery| discovery.routing.contains_key(account))
    }

    /// The config of an avatar that only the account's list shows; `None` when discovery is off for
    /// the account.
    pub fn discovered(&self, account: &AccountName) -> Option<WatchedAvatar> {
        let discovery = self.discovery.as_ref()?;
        let AvatarRouting { account, tags, channels } = discovery.routing.get(account)?.clone();
        let overdue_after = discovery.overdue_after;
        Some(WatchedAvatar { account, tags, channels, overdue_after, ..WatchedAvatar::default() })
    }
}

impl<S, N> RuntimeConfig<S, N> {
    /// The avatars that a condition is about, each with the name in the event. `None` if they are
    /// not all known: then their routes are not either.
    pub(in crate::daemon) fn avatars_of<'e>(
        &self,
        event: &'e Event,
    ) -> Option<Vec<(WatchedAvatar, Option<&'e str>)>> {
        let Subject::Condition(condition) = &event.subject else { return None };
        let ConditionSubject::Avatar { account, group, .. } = &condition.subject else {
            return None;
        };
        let watched = |id| self.avatars.get(id).map(|it| (**it).clone());
        let all = condition
            .listed()
            .map(|(id, name, ..)| Some((watched(id).or_else(|| self.discovered(account))?, name)));
        all.collect::<Option<Vec<_>>>().filter(|listed| listed.len() == group.other_count + 1)
    }
}

impl<S, N> RuntimeConfig<S, N> {
    /// Why an event of this kind about an avatar reaches no channel, if an operator should know:
    /// there are channels, and the avatar is not one that is meant to reach none.
    pub(in crate::daemon) fn unreached_reason(
        &self,
        kind: EventKind,
        avatar: &AvatarFacts<'_>,
    ) -> Option<String> {
        let is_intended = avatar.channels.is_some_and(<[_]>::is_empty);
        if is_intended || self.channels.is_empty() || !EventKind::DEFAULT.contains(&kind) {
            return None;
        }
        let channels: Vec<_> =
            self.channels.iter().map(|(name, it)| it.subscription(name)).collect();
        Some(unreached_event(kind, avatar, &channels))
    }
}

impl<S, N: Notifier> RuntimeConfig<S, N> {
    /// Creates an event with its body and deliveries, rendered once for every channel and
    /// recipient. `avatars` is what is known of those that it is about.
    pub fn new_event(
        &self,
        event: Event,
        avatars: &[AvatarFacts<'_>],
        now: Timestamp,
        random: RandomBits,
    ) -> NewEvent {
        let deliveries = (1u64..)
            .zip(&self.channels)
            .filter(|(_, (name, it))| it.subscription(name).receives(&event, avatars))
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
