//! A channel: a named place to tell, as the dispatcher sees it, whatever it speaks.
//!
//! What is to be sent is rendered once, by [`Channel::freeze`], and stored; every try sends those
//! bytes. A channel keeps nothing between two tries.

use std::time::Duration;

use crate::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use crate::domain::event::Event;
use crate::domain::roll::Roll;
use crate::domain::timestamp::Timestamp;
use crate::notify::email::mailer::Email;
use crate::notify::fault;
use crate::notify::format::choice::Rendered;
use crate::notify::http::Webhook;
use crate::notify::message::{Draft, Parcel};

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
    pub fn freeze(&self, event: &Event, now: Timestamp, roll: Roll) -> Vec<Draft> {
        match self {
            Self::Webhook(webhook) => {
                let Rendered { content_type, body, fallback } = webhook.format().render(event);
                let id = DeliveryId::mint(now, roll.derive(0));
                let fallback = fallback.map(|fault| fault.sentence());
                vec![Draft { id, recipient: String::new(), content_type, body, fallback }]
            }
            Self::Email(email) => email.freeze(event, now, roll),
        }
    }

    /// Makes exactly one try. An empty message is none, whatever made it empty: a yes to it would
    /// be no news delivered.
    pub async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Outcome {
        if parcel.body.trim_ascii().is_empty() {
            return fault::stopped(OutcomeClass::Rejected, RENDER, EMPTY.to_owned());
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
    pub fn hindrance(&self) -> Option<String> {
        match self {
            Self::Webhook(webhook) => webhook.hindrance(),
            Self::Email(_) => None,
        }
    }

    /// Tries under way at once, at most: a chat gets one at a time, and a mail server no more
    /// connections than it takes from anyone.
    pub const fn at_once(&self) -> usize {
        match self {
            Self::Webhook(webhook) if webhook.format().spacing().is_some() => 1,
            Self::Webhook(_) => WEBHOOKS_AT_ONCE,
            Self::Email(_) => MAILS_AT_ONCE,
        }
    }

    /// The least time between two tries; `None` where the other side sets no pace.
    pub const fn spacing(&self) -> Option<Duration> {
        match self {
            Self::Webhook(webhook) => webhook.format().spacing(),
            Self::Email(_) => None,
        }
    }

    /// The longest that one try takes.
    pub fn attempt_max(&self) -> Duration {
        match self {
            Self::Webhook(webhook) => webhook.attempt_max(),
            Self::Email(email) => email.attempt_max(),
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
const WEBHOOKS_AT_ONCE: usize = 32;
const MAILS_AT_ONCE: usize = 8;
