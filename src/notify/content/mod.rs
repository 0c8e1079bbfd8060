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
    /// The whole value.
    pub(in crate::notify) value: String,
    /// The elements of the value, if it is a list.
    listed: Vec<String>,
    /// How many there are, also of those that are not listed.
    count: usize,
}

impl ContentField {
    pub(in crate::notify) const fn new(name: &'static str, value: String) -> Self {
        Self { name, value, listed: Vec::new(), count: 0 }
    }

    /// A list with the number of those that are not in it.
    fn list(name: &'static str, listed: Vec<String>, count: usize) -> Self {
        Self { name, value: first_of(&listed, count), listed, count }
    }

    /// The value, or as much of it as fits: of a list the first elements, and how many more there
    /// are. A text is not shortened here.
    pub(in crate::notify) fn fitting(&self, fits: impl Fn(&str) -> bool) -> String {
        let shorter = (1..self.listed.len()).rev();
        let mut shorter = shorter.map(|most| first_of(&self.listed[..most], self.count));
        match fits(&self.value) {
            true => self.value.clone(),
            false => shorter.find(|value| fits(value)).unwrap_or_else(|| self.value.clone()),
        }
    }
}

fn first_of(listed: &[String], count: usize) -> String {
    let more = count.saturating_sub(listed.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", listed.join("; "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_whole_names_and_keeps_its_count() {
        let names = ["Jane; the first", "Tom", "Zoë"].map(str::to_owned).to_vec();
        let list = ContentField::list("Avatars", names, 23);
        let check = |most: usize, expected: &str| {
            assert_eq!(list.fitting(|value| value.chars().count() <= most), expected);
        };
        check(99, "Jane; the first; Tom; Zoë; and 20 more");
        check(37, "Jane; the first; Tom; and 21 more");
        check(30, "Jane; the first; and 22 more");
        let text = ContentField::new("Reason", "one; two".to_owned());
        assert_eq!(text.fitting(|_| false), "one; two");
    }
}
