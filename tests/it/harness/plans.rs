//! Configs for tests: the defaults of the product, without jitter, so that times are exact.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avatar_watch::daemon::config::runtime_config::{
    AccountRuntime, ChannelRuntime, RuntimeConfig, WatchedAvatar,
};
use avatar_watch::daemon::logging::template_fallback_log::TemplateFallbackLog;
use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::alerts::AlertTiming;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::config_origin::ConfigOrigin;
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::retry_policy::DeliveryPolicy;
use avatar_watch::domain::event::EventKind;
use avatar_watch::domain::polling::backoff::Backoff;
use avatar_watch::domain::polling::circuit_breaker::BreakerBackoff;
use avatar_watch::domain::polling::interval::{PollIntervals, SettledIntervals, TrainingInterval};
use avatar_watch::domain::polling::observation::Observation;
use avatar_watch::domain::polling::overdue::OverdueAfter;
use avatar_watch::domain::polling::strategy::Strategy;
use avatar_watch::domain::routing::filter::ChannelFilter;

/// A plan without avatars and channels.
pub(crate) fn plan<S, N>(source: Arc<S>) -> RuntimeConfig<S, N> {
    RuntimeConfig {
        accounts: BTreeMap::from([(AccountName::default(), account(source))]),
        strategy: Strategy::Single,
        discovery: None,
        intervals: PollIntervals {
            training: TrainingInterval {
                min: seconds(5),
                max: seconds(60),
                age_fraction: 0.1,
                adaptive: false,
            },
            not_trained: seconds(60),
            settled: SettledIntervals::always(Some(seconds(3600))),
            missing: seconds(900),
            backoff: backoff(2, 300),
            jitter: 0.0,
        },
        breaker_backoff: BreakerBackoff { denied: backoff(60, 3600), throttled: backoff(2, 300) },
        infer_unseen_training: true,
        alert_timing: AlertTiming::default(),
        avatars: HashMap::new(),
        channels: BTreeMap::new(),
    }
}

/// An account with plenty of budget.
pub(crate) fn account<S>(source: Arc<S>) -> AccountRuntime<S> {
    AccountRuntime {
        source,
        max_concurrency: 16,
        max_per_second: NonZeroU32::new(1000).unwrap(),
        unavailable_after: seconds(900),
    }
}

/// The default account of a plan, to be changed.
pub(crate) fn the_account<S, N>(plan: &mut RuntimeConfig<S, N>) -> &mut AccountRuntime<S> {
    plan.accounts.get_mut(&AccountName::default()).unwrap()
}

/// The same plan with one more avatar.
pub(crate) fn with_avatar<S, N>(
    mut plan: RuntimeConfig<S, N>,
    avatar: &str,
    assume: Option<Status>,
) -> RuntimeConfig<S, N> {
    let location = Some(ConfigOrigin { file: Path::new("avatars").into(), line: 1 });
    let overdue_after = OverdueAfter::Never;
    let registration =
        WatchedAvatar { assume, location, overdue_after, ..WatchedAvatar::default() };
    plan.avatars.insert(id(avatar), Arc::new(registration));
    plan
}

/// The same plan with one more channel, which gets the default events.
pub(crate) fn with_channel<S, N>(
    mut plan: RuntimeConfig<S, N>,
    channel: &str,
    notifier: &Arc<N>,
) -> RuntimeConfig<S, N> {
    let runtime = ChannelRuntime {
        notifier: Arc::clone(notifier),
        target: channel.to_owned(),
        attempt_timeout: seconds(7200),
        events: EventKind::DEFAULT.to_vec(),
        only: ChannelFilter::default(),
        operator: false,
        policy: DeliveryPolicy::webhook(),
        max_concurrency: 8,
        min_interval: None,
        fallbacks: TemplateFallbackLog::default(),
    };
    plan.channels.insert(ChannelName::parse(channel).unwrap(), runtime);
    plan
}

/// The same plan, in which that channel is an operator's.
pub(crate) fn operator<S, N>(mut plan: RuntimeConfig<S, N>, channel: &str) -> RuntimeConfig<S, N> {
    plan.channels.get_mut(&ChannelName::parse(channel).unwrap()).unwrap().operator = true;
    plan
}

/// The same plan, in which that avatar is overdue after so long.
pub(crate) fn overdue<S, N>(
    mut plan: RuntimeConfig<S, N>,
    avatar: &str,
    after: Duration,
) -> RuntimeConfig<S, N> {
    let registration = plan.avatars.get_mut(&id(avatar)).unwrap();
    Arc::make_mut(registration).overdue_after = OverdueAfter::Fixed(after);
    plan
}

/// Doubling waits without jitter, in seconds.
pub(crate) fn backoff(initial_s: u64, max_s: u64) -> Backoff {
    Backoff::new(seconds(initial_s), seconds(max_s), 2.0, 0.0).unwrap()
}

/// A successful observation of an avatar.
pub(crate) fn seen(id: &AvatarId, status: &Status) -> Observation {
    Observation::Seen(Box::new(Avatar::new(id.clone(), status.clone())))
}

pub(crate) fn id(text: &str) -> AvatarId {
    AvatarId::parse(text).unwrap()
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
