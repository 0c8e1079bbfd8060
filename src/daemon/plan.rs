//! The plan: what the config asks for, made ready to use. A reload swaps it whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::daemon::budget::Budget;
use crate::daemon::ports::{Clock, Notifier};
use crate::domain::avatar::AvatarId;
use crate::domain::cadence::Cadence;
use crate::domain::channel::ChannelName;
use crate::domain::delivery::{Delivery, EXPIRES_AFTER};
use crate::domain::event::{Event, EventKind};
use crate::domain::key_gate::GateWaits;
use crate::domain::retry::RetrySchedule;
use crate::domain::roll::Roll;
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::watch::Policy;
use crate::store::outbox::NewDelivery;

/// What both loops work by.
#[derive(Debug)]
pub struct Plan<S, N, C: Clock> {
    /// Where avatars are looked at.
    pub source: Arc<S>,
    /// Looks under way at once, at most.
    pub max_concurrency: usize,
    /// Requests per second.
    pub budget: Budget<C>,
    /// The waits between looks.
    pub cadence: Cadence,
    /// The waits of a key that is not welcome.
    pub gate_waits: GateWaits,
    /// Whether an avatar that settled without having been seen in training is news.
    pub infer_unseen_training: bool,
    /// The registered avatars.
    pub avatars: HashMap<AvatarId, Registration>,
    /// The channels.
    pub outlets: BTreeMap<ChannelName, Outlet<N>>,
}

/// What the config says of one avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The name the user gave it.
    pub label: Option<String>,
    /// The channels that hear of it; `None` is all.
    pub channels: Option<Vec<ChannelName>>,
    /// Its status when it was registered.
    pub assume: Option<Status>,
}

/// One channel, ready to use.
#[derive(Debug)]
pub struct Outlet<N> {
    /// Renders and sends.
    pub notifier: Arc<N>,
    /// The kinds of events that it gets.
    pub events: Vec<EventKind>,
    /// When tries are repeated.
    pub schedule: RetrySchedule,
}

impl<S, N, C: Clock> Plan<S, N, C> {
    /// When tries are repeated, by channel.
    pub fn schedules(&self) -> BTreeMap<ChannelName, RetrySchedule> {
        self.outlets.iter().map(|(name, outlet)| (name.clone(), outlet.schedule.clone())).collect()
    }

    /// How observations of an avatar with that registration are judged.
    pub fn policy<'a>(&'a self, registration: &'a Registration) -> Policy<'a> {
        Policy {
            cadence: &self.cadence,
            infer_unseen_training: self.infer_unseen_training,
            assume: registration.assume.as_ref(),
            label: registration.label.as_deref(),
        }
    }
}

impl<S, N: Notifier, C: Clock> Plan<S, N, C> {
    /// The deliveries of an event about an avatar with that registration: rendered once, for
    /// every channel and recipient that gets it.
    pub fn deliveries(
        &self,
        registration: &Registration,
        event: &Event,
        now: Timestamp,
        roll: Roll,
    ) -> Vec<NewDelivery> {
        let chosen = |name: &ChannelName| {
            registration.channels.as_ref().is_none_or(|channels| channels.contains(name))
        };
        (1u64..)
            .zip(&self.outlets)
            .filter(|(_, (name, outlet))| chosen(name) && outlet.events.contains(&event.kind))
            .flat_map(|(number, (name, outlet))| {
                let drafts = outlet.notifier.freeze(event, now, roll.derive(number));
                drafts.into_iter().map(|draft| NewDelivery {
                    id: draft.id,
                    channel: name.clone(),
                    recipient: draft.recipient,
                    content_type: draft.content_type,
                    body: draft.body,
                    delivery: Delivery::new(now, &outlet.schedule, EXPIRES_AFTER),
                })
            })
            .collect()
    }
}
