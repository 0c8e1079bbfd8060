//! The content of a notification for people, in plain text, before a mail or a chat formats it:
//! subject, title, detail, fields, advice, the time window of the change, and a link.
//!
//! Every text that comes from outside is sanitized to one line.

pub(in crate::notify) mod transition;
pub(in crate::notify) mod condition;
pub(crate) mod render;

use crate::domain::avatar::AvatarId;
use crate::text::sanitize::sanitize_line;

/// A notification for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify) struct Content {
    /// The subject line of a mail.
    pub(in crate::notify) subject: String,
    /// Who and what, as a sentence without a full stop: `Jane, English is ready`.
    pub(in crate::notify) title: String,
    /// What the event is about: the name of an avatar, an account or a channel.
    pub(in crate::notify) subject_name: String,
    /// What it means, as a sentence.
    pub(in crate::notify) detail: String,
    pub(in crate::notify) fields: Vec<ContentField>,
    pub(in crate::notify) advice: String,
    pub(in crate::notify) window: Vec<String>,
    pub(in crate::notify) severity: ContentSeverity,
    pub(in crate::notify) link: Option<ContentLink>,
}

/// A link to the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify) struct ContentLink {
    pub(in crate::notify) label: &'static str,
    /// Only visible ASCII characters without a meaning in the markup of a chat.
    pub(in crate::notify) url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notify) enum ContentSeverity {
    /// An avatar is ready, or a condition is resolved.
    Good,
    /// An operator should act.
    Bad,
    Neutral,
}

impl ContentSeverity {
    /// An icon that differs from the others by more than its colour.
    pub(in crate::notify) const fn icon(self) -> &'static str {
        match self {
            Self::Good => "✅",
            Self::Bad => "❌",
            Self::Neutral => "ℹ️",
        }
    }

    /// Red, green and blue, a byte each.
    pub(in crate::notify) const fn color(self) -> u32 {
        match self {
            Self::Good => 0x002e_9e5b,
            Self::Bad => 0x00d9_483b,
            Self::Neutral => 0x007a_869a,
        }
    }
}

/// A row of the table of details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify) struct ContentField {
    pub(in crate::notify) name: &'static str,
    pub(in crate::notify) value: String,
}

/// The avatar's name, or its id when the name is missing or invisible.
pub(in crate::notify) fn display_name(id: &AvatarId, name: Option<&str>) -> String {
    let name = name.map(|name| sanitize_line(name, NAME_CHARS_MAX));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_string())
}

/// The avatar at the start of a sentence: its name, or its id after a word.
pub(in crate::notify) fn named_avatar(id: &AvatarId, name: Option<&str>) -> String {
    let shown = display_name(id, name);
    if shown == id.as_str() { format!("Avatar {id}") } else { shown }
}

/// Characters of a name, or of another short text from outside.
pub(in crate::notify) const NAME_CHARS_MAX: usize = 80;
