//! A channel: a named place to tell, as the dispatcher sees it, whatever it speaks.
//!
//! What is to be sent is rendered once, by [`Channel::freeze`], and stored; every try sends those
//! bytes. A channel keeps nothing between two tries.

use std::time::Duration;

use crate::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use crate::domain::event::Event;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::email::channel::Email;
use crate::notify::format::kind::Rendered;
use crate::notify::message::{OutboundMessage, RenderedMessage};
use crate::notify::transport_error;
use crate::notify::webhook::sender::Webhook;

/// Something that can be told about an event.
#[derive(Debug)]
pub enum Channel {
    /// One URL.
    Webhook(Webhook),
    /// One account and its recipients.
    Email(Email),
}

impl Channel {
    /// Renders the event, once for each recipient. The `roll` makes the ids: give each channel
    /// one of its own.
    pub fn render(&self, event: &Event, now: Timestamp, roll: RandomBits) -> Vec<RenderedMessage> {
        match self {
            Self::Webhook(webhook) => {
                let Rendered { content_type, body, fallback } = webhook.format().render(event);
                let id = DeliveryId::mint(now, roll.derive(0));
                let fallback = fallback.map(|fault| fault.sentence());
                vec![RenderedMessage { id, recipient: String::new(), content_type, body, fallback }]
            }
            Self::Email(email) => email.render(event, now, roll),
        }
    }

    /// Makes exactly one try. An empty message is none, whatever made it empty: a yes to it would
    /// be no news delivered.
    pub async fn deliver(&self, parcel: &OutboundMessage, now: Timestamp) -> Outcome {
        if parcel.body.trim_ascii().is_empty() {
            return transport_error::failed_outcome(
                OutcomeClass::Rejected,
                RENDER,
                EMPTY.to_owned(),
            );
        }
        match self {
            Self::Webhook(webhook) => webhook.deliver(parcel, now).await,
            Self::Email(email) => email.deliver(parcel).await,
        }
    }

    /// Goes as far as it can without sending anything: to the connection of a webhook, to the
    /// login of a mail account, its program or its folder. The phase of the outcome is the last
    /// step that was tried; its text may name recipients, since it is for whoever asked.
    pub async fn probe(&self) -> Outcome {
        match self {
            Self::Webhook(webhook) => webhook.probe().await,
            Self::Email(email) => email.probe().await,
        }
    }

    /// What this machine lacks, so that nothing can be sent just now.
    pub fn obstacle(&self) -> Option<String> {
        match self {
            Self::Webhook(webhook) => webhook.obstacle(),
            Self::Email(_) => None,
        }
    }

    /// Tries under way at once, at most: a chat gets one at a time, and a mail server no more
    /// connections than it takes from anyone.
    pub const fn max_concurrency(&self) -> usize {
        match self {
            Self::Webhook(webhook) if webhook.format().min_interval().is_some() => 1,
            Self::Webhook(_) => WEBHOOK_CONCURRENCY,
            Self::Email(_) => MAIL_CONCURRENCY,
        }
    }

    /// The least time between two tries; `None` where the other side sets no pace.
    pub const fn min_interval(&self) -> Option<Duration> {
        match self {
            Self::Webhook(webhook) => webhook.format().min_interval(),
            Self::Email(_) => None,
        }
    }

    /// The longest that one try takes.
    pub fn attempt_timeout(&self) -> Duration {
        match self {
            Self::Webhook(webhook) => webhook.attempt_timeout(),
            Self::Email(email) => email.attempt_timeout(),
        }
    }

    /// A short name of the target that changes with it and does not show it.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.fingerprint(),
            Self::Email(email) => email.fingerprint(),
        }
    }
}

/// The phase of a try that has nothing to send.
const RENDER: &str = "render";
const EMPTY: &str = "the stored message is empty, and an empty message is not sent";
const WEBHOOK_CONCURRENCY: usize = 32;
const MAIL_CONCURRENCY: usize = 8;
