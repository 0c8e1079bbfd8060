//! One watch after another, from the poll that first shows a training to the one that shows its
//! end: `Watch::observe` gives the delay, `ForecastCache` the forecast.
//!
//! The trainings follow each other, so that each is polled with the forecasts from all before.

use std::time::Duration;

use avatar_watch::daemon::poller::forecast_cache::ForecastCache;
use avatar_watch::daemon::rng::Rng;
use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::polling::interval::PollIntervals;
use avatar_watch::domain::polling::observation::Observation;
use avatar_watch::domain::polling::policy::Policy;
use avatar_watch::domain::polling::watch::Watch;
use avatar_watch::domain::time::timestamp::Timestamp;

use super::random_trainings::Training;
use super::rule::{Intervals, PollingRule};

/// How one training was observed.
#[derive(Clone, Copy)]
pub(crate) struct SimulatedTraining {
    /// From its end to the poll that showed the end.
    pub(crate) delay: Duration,
    /// The polls after the one that first showed it, to the one that showed its end.
    pub(crate) requests: u32,
    /// Whether a forecast decided the interval, and not the age.
    pub(crate) by_forecast: bool,
}

/// Polls all trainings by that rule, one after another.
pub(crate) fn simulate(trainings: &[Training], rule: &PollingRule) -> Vec<SimulatedTraining> {
    match &rule.intervals {
        Intervals::Fixed(interval) => trainings.iter().map(|it| repeat(it, *interval)).collect(),
        Intervals::Configured(intervals) => watch_all(trainings, intervals),
    }
}

/// Polls in a loop with a fixed interval.
fn repeat(training: &Training, interval: Duration) -> SimulatedTraining {
    let (mut now, mut requests) = (training.observed_after, 0);
    while now < training.duration {
        now += interval;
        requests += 1;
    }
    SimulatedTraining { delay: now.saturating_sub(training.duration), requests, by_forecast: false }
}

fn watch_all(trainings: &[Training], intervals: &PollIntervals) -> Vec<SimulatedTraining> {
    let mut forecasts = ForecastCache::default();
    let mut begins_at = Timestamp::from_millis(0);
    let mut polls = Vec::with_capacity(trainings.len());
    for (number, training) in (0..).zip(trainings) {
        // Each training has its own seed, so that the rules differ only in their decisions.
        let rng = Rng::seeded(number);
        let (poll, seen_at) = watch(training, begins_at, intervals, &mut forecasts, &rng);
        polls.push(poll);
        begins_at = seen_at.plus(PAUSE);
    }
    polls
}

/// Polls one training until its end is observed, and returns when that was.
fn watch(
    training: &Training,
    begins_at: Timestamp,
    intervals: &PollIntervals,
    forecasts: &mut ForecastCache,
    rng: &Rng,
) -> (SimulatedTraining, Timestamp) {
    let account = AccountName::default();
    let mut avatar = Avatar {
        model: Some(training.model.to_owned()),
        ..Avatar::new(AvatarId::parse("a1").unwrap(), Status::Training)
    };
    let ends_at = begins_at.plus(training.duration);
    let mut now = begins_at.plus(training.observed_after);
    let mut poll = SimulatedTraining { delay: Duration::ZERO, requests: 0, by_forecast: false };
    let mut watch = Watch::new(avatar.id.clone());
    loop {
        if now >= ends_at {
            avatar.status = training.outcome.clone();
        }
        let forecast = forecasts.forecast(watch.model.as_ref(), intervals.training);
        let policy =
            Policy { forecast: forecast.as_deref(), ..Policy::new(intervals, &account, now) };
        let seen = Observation::Seen(Box::new(avatar.clone()));
        let decision = watch.observe(seen, now, &policy, rng.next_bits());
        if let Some(transition) = &decision.transition {
            forecasts.add(transition);
        }
        if avatar.status.is_settled() {
            poll.delay = now.since(ends_at);
            return (poll, now);
        }
        watch = decision.watch;
        poll.requests += 1;
        poll.by_forecast |= forecast.is_some();
        now = now.plus(decision.next_poll_in.unwrap());
    }
}

/// Between the poll that shows an end and the next training.
const PAUSE: Duration = Duration::from_secs(60);
