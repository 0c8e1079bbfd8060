//! The formats of webhooks: how each renders an event, which URL it posts to, and how it classifies
//! a response.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::domain::delivery::channel_name::Accepts;
use crate::domain::delivery::message_format::MessageFormat;
use crate::domain::delivery::ntfy_topic::NtfyTopic;
use crate::domain::event::Event;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::build_error::BuildError;
use crate::notify::format::chat::chat_message::ChatMessage;
use crate::notify::format::chat::chat_response::{self, ChatRules};
use crate::notify::format::chat::{discord, ntfy, slack, teams};
use crate::notify::format::template::{Template, TemplateError};
use crate::notify::format::{cloudevents, standard};
use crate::notify::message_context::MessageContext;
use crate::notify::webhook::response::{Classification, HttpResponse};

/// The format of a webhook, with its compiled template.
pub type Format = MessageFormat<Template>;

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The media type of the body.
    pub content_type: String,
    /// The bytes to store.
    pub body: Vec<u8>,
    /// Why the standard body is used instead of the template's.
    pub fallback: Option<TemplateError>,
}

/// Where a message is posted; as secret as the configured URL.
#[derive(Clone)]
pub(in crate::notify) struct MessageTarget {
    pub(in crate::notify) url: Url,
    /// The topic, which ntfy expects in the body and not in the path.
    pub(in crate::notify) topic: Option<NtfyTopic>,
}

impl Format {
    /// Renders the event; the same arguments give the same bytes. When a template fails, the
    /// standard body is used, so that no event is lost.
    pub fn render(&self, event: &Event, context: &MessageContext) -> Rendered {
        let message =
            |value: Value| Rendered::new(standard::CONTENT_TYPE, value.to_string().into_bytes());
        let chat = || ChatMessage::of(event, context);
        let plain = || Rendered::new(standard::CONTENT_TYPE, standard::render(event));
        match self {
            Self::Standard => plain(),
            Self::CloudEvents { source } => {
                Rendered::new(cloudevents::CONTENT_TYPE, cloudevents::render(event, source))
            }
            Self::Slack => message(slack::render(&chat())),
            Self::Discord => message(discord::render(&chat(), event.occurred_at.to_string())),
            Self::Teams => message(teams::render(&chat())),
            Self::Ntfy => message(ntfy::render(&chat())),
            Self::Template(template) => match template.render(event, context) {
                Ok(body) => Rendered::new(&template.content_type, body),
                Err(error) => Rendered { fallback: Some(error), ..plain() },
            },
        }
    }

    /// Classifies a response.
    pub fn classify(
        &self,
        response: &HttpResponse,
        accepts: Accepts,
        now: Timestamp,
    ) -> Classification {
        match self.chat() {
            Some(rules) => chat_response::classify(rules, response, accepts, now),
            None => response.classify(now),
        }
    }

    /// The rules of a chat service.
    const fn chat(&self) -> Option<&'static ChatRules> {
        match self {
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => None,
            Self::Slack => Some(&slack::RULES),
            Self::Discord => Some(&discord::RULES),
            Self::Teams => Some(&teams::RULES),
            Self::Ntfy => Some(&ntfy::RULES),
        }
    }

    /// The least time between two attempts at one URL, for services that limit the rate.
    pub fn min_interval(&self) -> Option<Duration> {
        self.chat().map(|rules| rules.min_interval)
    }

    /// Where a webhook with this URL posts to.
    ///
    /// # Errors
    /// When the URL does not fit the format.
    pub(in crate::notify) fn target(&self, url: &Url) -> Result<MessageTarget, BuildError> {
        let mut url = url.clone();
        match self {
            Self::Standard
            | Self::CloudEvents { .. }
            | Self::Slack
            | Self::Teams
            | Self::Template(_) => Ok(MessageTarget { url, topic: None }),
            Self::Discord => {
                let is_set = url.query_pairs().any(|(name, _)| name == DISCORD_WAIT);
                if !is_set {
                    url.query_pairs_mut().append_pair(DISCORD_WAIT, "true");
                }
                Ok(MessageTarget { url, topic: None })
            }
            Self::Ntfy => {
                let (root, topic) = NtfyTopic::of_path(url.path()).map_err(BuildError::Topic)?;
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
    /// The body as it is sent to this target.
    pub(in crate::notify) fn body<'b>(&self, stored: &'b [u8]) -> Cow<'b, [u8]> {
        match &self.topic {
            Some(topic) => ntfy::with_topic(stored, topic.expose()).into(),
            None => stored.into(),
        }
    }
}

const DISCORD_WAIT: &str = "wait";

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
