//! A dead letter: a failed delivery, as reported to operators.
//!
//! Dead letters of events about a channel are not reported, so that two failing channels do not
//! report each other forever.

use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::id::EventId;

/// Dead letters of one channel that are reported together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// The first.
    pub first: DeadLetter,
    /// The others that are listed, at most [`LISTED_MAX`](crate::domain::condition::LISTED_MAX)
    /// with the first.
    pub others: Vec<DeadLetter>,
    /// The number of others, also of those that are not listed.
    pub other_count: usize,
}

impl DeadLetterGroup {
    /// The listed ones.
    pub fn listed(&self) -> impl Iterator<Item = &DeadLetter> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The number of all.
    pub const fn count(&self) -> usize {
        self.other_count.saturating_add(1)
    }
}

impl From<DeadLetter> for DeadLetterGroup {
    fn from(first: DeadLetter) -> Self {
        Self { first, others: Vec::new(), other_count: 0 }
    }
}

/// A failed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its channel.
    pub channel: ChannelName,
    /// Its id, for `deliveries retry`.
    pub delivery: DeliveryId,
    /// The event that was not delivered.
    pub event: EventId,
    /// The kind of that event, as consumers see it.
    pub kind: String,
    /// The avatar that it was about, if it was about one.
    pub avatar_id: Option<String>,
    /// The name of that avatar in the config, else at Argil.
    pub avatar_name: Option<String>,
    /// The number of attempts.
    pub attempts: u32,
    /// Why it failed, for people.
    pub reason: String,
}
