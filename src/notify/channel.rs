//! A channel as the dispatcher uses it: a destination that renders and delivers messages.
//!
//! [`Channel::render`] renders a message once; it is stored, and every attempt sends the same
//! bytes. A channel keeps no state between two attempts.

use std::time::Duration;

use crate::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use crate::domain::event::Event;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::email::channel::Email;
use crate::notify::format::kind::Rendered;
use crate::notify::message::{OutboundMessage, RenderedMessage};
use crate::notify::transport_error::failed_outcome;
use crate::notify::webhook::sender::Webhook;

/// A webhook or a mail channel.
#[derive(Debug)]
pub enum Channel {
    /// One URL.
    Webhook(Webhook),
    /// One transport and its recipients.
    Email(Email),
}

impl Channel {
    /// Renders the event, once for each recipient. The ids of the deliveries come from `random`:
    /// pass different bits to each channel.
    pub fn render(
        &self,
        event: &Event,
        now: Timestamp,
        random: RandomBits,
    ) -> Vec<RenderedMessage> {
        match self {
            Self::Webhook(webhook) => {
                let Rendered { content_type, body, fallback } = webhook.render(event);
                let id = DeliveryId::mint(now, random.derive(0));
                let fallback = fallback.map(|error| error.sentence());
                vec![RenderedMessage { id, recipient: String::new(), content_type, body, fallback }]
            }
            Self::Email(email) => email.render(event, now, random),
        }
    }

    /// Makes exactly one attempt. An empty message is rejected, since a success would mean that the
    /// event counts as delivered.
    pub async fn deliver(&self, message: &OutboundMessage, now: Timestamp) -> Outcome {
        if message.body.trim_ascii().is_empty() {
            let text = EMPTY.to_owned();
            return failed_outcome(OutcomeClass::Rejected, RENDER, text);
        }
        match self {
            Self::Webhook(webhook) => webhook.deliver(message, now).await,
            Self::Email(email) => email.deliver(message).await,
        }
    }

    /// Checks the channel without sending a message: connects to a webhook, logs in to a mail
    /// server, checks the program or the folder. The phase of the outcome is the last step that
    /// was attempted. Its text may name recipients, since only the operator reads it.
    pub async fn probe(&self) -> Outcome {
        match self {
            Self::Webhook(webhook) => webhook.probe().await,
            Self::Email(email) => email.probe().await,
        }
    }

    /// What this machine lacks for sending, if anything.
    pub fn obstacle(&self) -> Option<String> {
        match self {
            Self::Webhook(webhook) => webhook.obstacle(),
            Self::Email(_) => None,
        }
    }

    /// The most attempts in flight: one for a chat, and for mail no more connections than servers
    /// accept from one client.
    pub fn max_concurrency(&self) -> usize {
        match self {
            Self::Webhook(webhook) if webhook.format().min_interval().is_some() => 1,
            Self::Webhook(_) => WEBHOOK_CONCURRENCY,
            Self::Email(_) => MAIL_CONCURRENCY,
        }
    }

    /// The least time between two attempts; `None` where the service has no rate limit.
    pub fn min_interval(&self) -> Option<Duration> {
        match self {
            Self::Webhook(webhook) => webhook.format().min_interval(),
            Self::Email(_) => None,
        }
    }

    /// The longest duration of one attempt.
    pub fn attempt_timeout(&self) -> Duration {
        match self {
            Self::Webhook(webhook) => webhook.attempt_timeout(),
            Self::Email(email) => email.attempt_timeout(),
        }
    }

    /// A short hash of the target, which does not reveal it.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.fingerprint(),
            Self::Email(email) => email.fingerprint(),
        }
    }
}

const RENDER: &str = "render";
const EMPTY: &str = "the stored message is empty, and an empty message is not sent";
const WEBHOOK_CONCURRENCY: usize = 32;
const MAIL_CONCURRENCY: usize = 8;
