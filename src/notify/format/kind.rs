//! The formats that a webhook can speak: how an event is rendered in each, where it is posted,
//! and what an answer means there.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::domain::delivery::channel::Accepts;
use crate::domain::delivery::ntfy_topic::NtfyTopic;
use crate::domain::event::Event;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::error::NotifyError;
use crate::notify::format::chat_message::ChatMessage;
use crate::notify::format::chat_response;
use crate::notify::format::template::{Template, TemplateError};
use crate::notify::format::{cloudevents, discord, ntfy, slack, standard, teams};
use crate::notify::webhook::response::{Classification, HttpResponse};

/// What a webhook speaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// The body of Standard Webhooks.
    Standard,
    /// `CloudEvents` 1.0, structured.
    CloudEvents {
        /// Who tells: a URI-reference.
        source: String,
    },
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A topic of an ntfy server.
    Ntfy,
    /// Any JSON.
    Template(Template),
}

/// A message that was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// Why it is the standard body instead of the template's.
    pub fallback: Option<TemplateError>,
}

/// Where a message is posted; as secret as the URL it is made of.
#[derive(Clone)]
pub(in crate::notify) struct MessageTarget {
    /// The URL.
    pub(in crate::notify) url: Url,
    /// What ntfy wants in the body instead of the path.
    pub(in crate::notify) topic: Option<NtfyTopic>,
}

impl Format {
    /// The message about that event, the same bytes every time. A template that cannot be
    /// rendered after all does not swallow the news: it is told in the standard body then.
    pub fn render(&self, event: &Event) -> Rendered {
        let message =
            |value: Value| Rendered::new(standard::CONTENT_TYPE, value.to_string().into_bytes());
        let plain = || Rendered::new(standard::CONTENT_TYPE, standard::render(event));
        match self {
            Self::Standard => plain(),
            Self::CloudEvents { source } => {
                Rendered::new(cloudevents::CONTENT_TYPE, cloudevents::render(event, source))
            }
            Self::Slack => message(slack::render(&ChatMessage::of(event))),
            Self::Discord => {
                message(discord::render(&ChatMessage::of(event), event.occurred_at.to_string()))
            }
            Self::Teams => message(teams::render(&ChatMessage::of(event))),
            Self::Ntfy => message(ntfy::render(&ChatMessage::of(event))),
            Self::Template(template) => match template.render(event) {
                Ok(body) => Rendered::new(&template.content_type, body),
                Err(fault) => Rendered { fallback: Some(fault), ..plain() },
            },
        }
    }

    /// What an answer means.
    pub fn classify(
        &self,
        answer: &HttpResponse,
        accepts: Accepts,
        now: Timestamp,
    ) -> Classification {
        let manner = match self {
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => {
                return answer.classify(now);
            }
            Self::Slack => &slack::MANNER,
            Self::Discord => &discord::MANNER,
            Self::Teams => &teams::MANNER,
            Self::Ntfy => &ntfy::MANNER,
        };
        chat_response::classify(manner, answer, accepts, now)
    }

    /// The least time between two tries at one place, where more would be sent away.
    pub const fn min_interval(&self) -> Option<Duration> {
        match self {
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => None,
            Self::Slack => Some(Duration::from_secs(1)),
            Self::Discord => Some(Duration::from_millis(400)),
            Self::Teams => Some(Duration::from_millis(250)),
            // A burst of 60 is allowed; a server that has had enough says so.
            Self::Ntfy => Some(Duration::from_millis(500)),
        }
    }

    /// Whether people read it as it comes, so that old news is worth little.
    pub const fn is_chat(&self) -> bool {
        match self {
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => false,
            Self::Slack | Self::Discord | Self::Teams | Self::Ntfy => true,
        }
    }

    /// Where to post, for a webhook with that URL.
    ///
    /// # Errors
    /// When the URL is none of that format.
    pub(in crate::notify) fn target(&self, url: &Url) -> Result<MessageTarget, NotifyError> {
        let mut url = url.clone();
        match self {
            Self::Standard
            | Self::CloudEvents { .. }
            | Self::Slack
            | Self::Teams
            | Self::Template(_) => Ok(MessageTarget { url, topic: None }),
            Self::Discord => {
                let asked = url.query_pairs().any(|(name, _)| name == CHAT_MIN_INTERVAL);
                if !asked {
                    url.query_pairs_mut().append_pair(CHAT_MIN_INTERVAL, "true");
                }
                Ok(MessageTarget { url, topic: None })
            }
            Self::Ntfy => {
                let (root, topic) = NtfyTopic::of_path(url.path()).map_err(NotifyError::Topic)?;
                url.set_path(&root);
                Ok(MessageTarget { url, topic: Some(topic) })
            }
        }
    }
}

impl Rendered {
    fn new(content_type: &str, body: Vec<u8>) -> Self {
        Self { content_type: content_type.to_owned(), body, fallback: None }
    }
}

impl MessageTarget {
    /// The body as it is sent there.
    pub(in crate::notify) fn body<'b>(&self, stored: &'b [u8]) -> Cow<'b, [u8]> {
        match &self.topic {
            Some(topic) => ntfy::with_topic(stored, topic.expose()).into(),
            None => stored.into(),
        }
    }
}

const CHAT_MIN_INTERVAL: &str = "wait";

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
