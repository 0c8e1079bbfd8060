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
use crate::domain::listing::Listing;
use crate::domain::moment::Moment;
use crate::domain::observation::Observation;
use crate::domain::roll::Roll;
use crate::domain::timestamp::Timestamp;
use crate::notify::channels::Channel;
use crate::notify::message::{Draft, Parcel};

/// The time, for people and for waits.
pub trait Clock: Clone + Send + Sync + 'static {
    /// The wall clock, for people and records.
    fn now(&self) -> Timestamp;
    /// The steady clock, for waits.
    fn moment(&self) -> Moment;
    /// Waits until the steady clock has reached `until`.
    fn sleep_until(&self, until: Moment) -> impl Future<Output = ()> + Send;
}

/// Waits until the steady clock has reached `until`; for ever when there is no such moment.
pub async fn sleep_until<C: Clock>(clock: &C, until: Option<Moment>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Where avatars are looked at.
pub trait AvatarSource: Send + Sync + 'static {
    /// Looks at one avatar.
    fn look(&self, id: &AvatarId, now: Timestamp) -> impl Future<Output = Observation> + Send;
    /// Looks at all avatars of the account at once.
    fn list(&self, now: Timestamp) -> impl Future<Output = Listing> + Send;
    /// How many looks and lists so far took a second request.
    fn repeats(&self) -> u64 {
        0
    }
}

/// A way to tell.
pub trait Notifier: Send + Sync + 'static {
    /// Renders the message about an event, once: one draft for each recipient.
    fn freeze(&self, event: &Event, now: Timestamp, roll: Roll) -> Vec<Draft>;
    /// Makes exactly one try.
    fn deliver(&self, parcel: &Parcel, now: Timestamp) -> impl Future<Output = Outcome> + Send;
}

impl AvatarSource for Client {
    async fn look(&self, id: &AvatarId, now: Timestamp) -> Observation {
        Self::look(self, id, now).await
    }

    async fn list(&self, now: Timestamp) -> Listing {
        Self::list(self, now).await
    }

    fn repeats(&self) -> u64 {
        Self::repeats(self)
    }
}

impl Notifier for Channel {
    fn freeze(&self, event: &Event, now: Timestamp, roll: Roll) -> Vec<Draft> {
        Self::freeze(self, event, now, roll)
    }

    async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Outcome {
        Self::deliver(self, parcel, now).await
    }
}
