//! The formats of webhooks. How each renders an event belongs to `notify::format`.

/// The format of a webhook; `T` is the template.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageFormat<T> {
    /// The body of Standard Webhooks.
    Standard,
    /// `CloudEvents` 1.0, structured.
    CloudEvents {
        /// The attribute `source`: a URI-reference.
        source: String,
    },
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A topic of an ntfy server; the path of the URL is the topic.
    Ntfy,
    /// JSON of the operator's own.
    Template(T),
}

impl<T> MessageFormat<T> {
    /// The word of the config.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::CloudEvents { .. } => "cloudevents",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
            Self::Ntfy => "ntfy",
            Self::Template(_) => "template",
        }
    }

    /// Whether people read the messages directly: old ones are worth little, and a repeat cannot
    /// be recognized by its id.
    pub(crate) const fn is_chat(&self) -> bool {
        match self {
            Self::Slack | Self::Discord | Self::Teams | Self::Ntfy => true,
            Self::Standard | Self::CloudEvents { .. } | Self::Template(_) => false,
        }
    }

    /// The same format with another form of its template.
    pub(crate) fn map_template<U>(&self, convert: impl FnOnce(&T) -> U) -> MessageFormat<U> {
        match self {
            Self::Standard => MessageFormat::Standard,
            Self::CloudEvents { source } => MessageFormat::CloudEvents { source: source.clone() },
            Self::Slack => MessageFormat::Slack,
            Self::Discord => MessageFormat::Discord,
            Self::Teams => MessageFormat::Teams,
            Self::Ntfy => MessageFormat::Ntfy,
            Self::Template(template) => MessageFormat::Template(convert(template)),
        }
    }
}
