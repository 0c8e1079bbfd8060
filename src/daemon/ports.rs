//! What the loops need from outside: a clock, a source of avatars, a way to notify; and how our
//! own clients fill these roles.
//!
//! None of them fails: a failed request is one of the things that can be observed, and an
//! outcome of a try.

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

/// The time, for people and for waits.
pub trait Clock: Clone + Send + Sync + 'static {
    /// The wall clock, for people and records.
    fn now(&self) -> Timestamp;
    /// The steady clock, for waits.
    fn monotonic(&self) -> Monotonic;
    /// Waits until the steady clock has reached `until`.
    fn sleep_until(&self, until: Monotonic) -> impl Future<Output = ()> + Send;
}

/// Waits until the steady clock has reached `until`; for ever when there is no such moment.
pub async fn sleep_until<C: Clock>(clock: &C, until: Option<Monotonic>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Where avatars are looked at.
pub trait AvatarSource: Send + Sync + 'static {
    /// Looks at one avatar.
    fn poll(&self, id: &AvatarId, now: Timestamp) -> impl Future<Output = Observation> + Send;
    /// Looks at all avatars of the account at once.
    fn list(&self, now: Timestamp) -> impl Future<Output = ListObservation> + Send;
    /// How many looks and lists so far took a second request.
    fn reconnects(&self) -> u64 {
        0
    }
}

/// A way to tell.
pub trait Notifier: Send + Sync + 'static {
    /// Renders the message about an event, once: one draft for each recipient.
    fn render(&self, event: &Event, now: Timestamp, random: RandomBits) -> Vec<RenderedMessage>;
    /// Makes exactly one try.
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
        Self::repeats(self)
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
