//! Interfaces between the loops and the world, and their implementations by the real clients.
//!
//! None of them fails: a failed request is an observation, or an outcome of an attempt.

use std::future::Future;

use crate::argil::client::Client;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::Outcome;
use crate::domain::event::Event;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::Observation;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::channel::Channel;
use crate::notify::message::{OutboundMessage, RenderedMessage};

/// The time.
pub trait Clock: Clone + Send + Sync + 'static {
    /// The wall clock, for people and records.
    fn now(&self) -> Timestamp;
    /// The monotonic clock, for delays.
    fn monotonic(&self) -> Monotonic;
    /// Sleeps until the monotonic clock reaches `until`.
    fn sleep_until(&self, until: Monotonic) -> impl Future<Output = ()> + Send;
}

/// Sleeps until the monotonic clock reaches `until`; forever for `None`.
pub async fn sleep_until<C: Clock>(clock: &C, until: Option<Monotonic>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A source of avatars: an account of the API.
pub trait AvatarSource: Send + Sync + 'static {
    /// Polls one avatar.
    fn poll(&self, id: &AvatarId, now: Timestamp) -> impl Future<Output = Observation> + Send;
    /// Polls the list of all avatars of the account.
    fn list(&self, now: Timestamp) -> impl Future<Output = ListObservation> + Send;
    /// Number of polls so far that needed a second request.
    fn reconnects(&self) -> u64 {
        0
    }
}

/// A channel that sends messages.
pub trait Notifier: Send + Sync + 'static {
    /// Renders an event once, for each recipient.
    fn render(&self, event: &Event, now: Timestamp, random: RandomBits) -> Vec<RenderedMessage>;
    /// Makes one attempt.
    fn deliver(
        &self,
        message: &OutboundMessage,
        now: Timestamp,
    ) -> impl Future<Output = Outcome> + Send;
}

impl AvatarSource for Client {
    async fn poll(&self, id: &AvatarId, now: Timestamp) -> Observation {
        Self::get_avatar(self, id, now).await
    }

    async fn list(&self, now: Timestamp) -> ListObservation {
        Self::list_avatars(self, now).await
    }

    fn reconnects(&self) -> u64 {
        Self::reconnects(self)
    }
}

impl Notifier for Channel {
    fn render(&self, event: &Event, now: Timestamp, random: RandomBits) -> Vec<RenderedMessage> {
        Self::render(self, event, now, random)
    }

    async fn deliver(&self, message: &OutboundMessage, now: Timestamp) -> Outcome {
        Self::deliver(self, message, now).await
    }
}
