//! The plan: what the config asks for, made ready to use. A reload swaps it whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::background::log_throttle::TemplateFallbackLog;
use crate::daemon::ports::Notifier;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::Delivery;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::polling::circuit_breaker::BreakerBackoff;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::format::standard;
use crate::store::handle::NewEvent;
use crate::store::tables::outbox::NewDelivery;

/// What both loops work by.
#[derive(Debug)]
pub struct RuntimeConfig<S, N> {
    /// The accounts.
    pub accounts: BTreeMap<AccountName, AccountRuntime<S>>,
    /// How avatars are looked at.
    pub strategy: Strategy,
    /// What is done with avatars that only a list shows; `None` is nothing.
    pub discovery: Option<Discovery>,
    /// The waits between looks.
    pub intervals: PollIntervals,
    /// The waits of a key that is not welcome.
    pub breaker_backoff: BreakerBackoff,
    /// Whether an avatar that settled without having been seen in training is news.
    pub infer_unseen_training: bool,
    /// The registered avatars; the account of each is among the accounts.
    pub avatars: HashMap<AvatarId, Arc<WatchedAvatar>>,
    /// The channels.
    pub channels: BTreeMap<ChannelName, ChannelRuntime<N>>,
}

/// One account, ready to use.
#[derive(Debug)]
pub struct AccountRuntime<S> {
    /// Where its avatars are looked at.
    pub source: Arc<S>,
    /// Looks under way at once, at most.
    pub max_concurrency: usize,
    /// Requests in one second, at most.
    pub max_per_second: NonZeroU32,
    /// How long nothing may be seen with its key before that is told.
    pub unavailable_after: Duration,
}

/// How avatars are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One request for each look.
    #[default]
    Single,
    /// One request for all avatars of an account; whoever is not in it is looked at singly.
    List,
}

/// What is done with avatars that only a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// How often each account is listed.
    pub every: Duration,
    /// The accounts that are.
    pub accounts: BTreeSet<AccountName>,
    /// The channels that hear of the avatars; `None` is all.
    pub channels: Option<Vec<ChannelName>>,
    /// For how long one may be in training before that is told; `None` is for ever.
    pub overdue_after: Option<Duration>,
}

/// What is known of one avatar's registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedAvatar {
    /// The name the user gave it.
    pub label: Option<String>,
    /// The channels that hear of it; `None` is all.
    pub channels: Option<Vec<ChannelName>>,
    /// Its status when it was registered.
    pub assume: Option<Status>,
    /// The account that it is watched with.
    pub account: AccountName,
    /// For how long it may be in training before that is told; `None` is for ever.
    pub overdue_after: Option<Duration>,
    /// Where it is registered, for people; `None` when a list showed it.
    pub location: Option<String>,
}

/// One channel, ready to use.
#[derive(Debug)]
pub struct ChannelRuntime<N> {
    /// Renders and sends.
    pub notifier: Arc<N>,
    /// A name of whom it tells that does not show it; another target is another channel.
    pub target: String,
    /// The longest that one try may take.
    pub attempt_timeout: Duration,
    /// The kinds of events that it gets.
    pub events: Vec<EventKind>,
    /// Whether it is told of conditions, too.
    pub operator: bool,
    /// What holds for its deliveries.
    pub policy: DeliveryPolicy,
    /// Tries under way at once, at most; they are of different avatars or recipients.
    pub max_concurrency: usize,
    /// The least time between two tries, for a place that takes only so many.
    pub min_interval: Option<Duration>,
    /// What is known of messages that its template did not fit.
    pub fallbacks: TemplateFallbackLog,
}

impl<S, N> RuntimeConfig<S, N> {
    /// What holds for deliveries, by channel.
    pub fn delivery_policies(&self) -> BTreeMap<ChannelName, DeliveryPolicy> {
        self.channels
            .iter()
            .map(|(name, channel_runtime)| (name.clone(), channel_runtime.policy.clone()))
            .collect()
    }

    /// The registration of an avatar that only the account's list shows; `None` when such avatars
    /// are left alone.
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
    /// An event with its frozen body and its deliveries: rendered once, for every channel and
    /// recipient that gets it. News goes to the channels of the avatar, a condition to operators.
    pub fn new_event(
        &self,
        event: Event,
        watched_avatar: Option<&WatchedAvatar>,
        now: Timestamp,
        random: RandomBits,
    ) -> NewEvent {
        let chosen = watched_avatar.and_then(|watched_avatar| watched_avatar.channels.as_ref());
        let gets = |name: &ChannelName, channel_runtime: &ChannelRuntime<N>| match &event.subject {
            // A channel that does not work is told of through the others.
            Subject::Condition(condition) => {
                channel_runtime.operator && condition.subject.channel() != Some(name)
            }
            Subject::DeadLetter(dead_letter) => {
                channel_runtime.operator && dead_letter.channel != *name
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
                    delivery: Delivery::new(now, &channel_runtime.policy),
                })
            })
            .collect();
        let body = standard::render(&event);
        NewEvent { event, body, deliveries }
    }
}
