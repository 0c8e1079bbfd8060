//! The letter: what is said to a person, in a mail or a chat, in plain words, before it has a
//! form.
//!
//! The outcome comes first, then whose it is, what it means and what to do, and what we really
//! know about when it happened. Every foreign text in it is one harmless line.

pub mod transition;
pub mod condition;
pub mod render;

use crate::domain::avatar::AvatarId;
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::text::sanitize::sanitize_line;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify) struct Content {
    pub(in crate::notify) subject: String,
    pub(in crate::notify) headline: String,
    pub(in crate::notify) subject_name: String,
    pub(in crate::notify) fields: Vec<ContentField>,
    pub(in crate::notify) meaning: String,
    pub(in crate::notify) window: Vec<String>,
    pub(in crate::notify) status: String,
    pub(in crate::notify) color: &'static str,
    pub(in crate::notify) event: EventId,
}

/// A line of the small table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify) struct ContentField {
    pub(in crate::notify) name: &'static str,
    pub(in crate::notify) value: String,
}

impl Content {
    /// All of it, line by line, without a form.
    pub(in crate::notify) fn bare(&self) -> String {
        let facts = self.fields.iter().map(|fact| format!("{}: {}", fact.name, fact.value));
        let head = [self.headline.clone(), self.subject_name.clone()];
        let lines = head.into_iter().chain(facts).chain([self.meaning.clone()]);
        lines.chain(self.window.iter().cloned()).collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// What an avatar is called: by its name or, when it has none to show, by its id.
pub(in crate::notify) fn display_name(id: &AvatarId, name: Option<&str>) -> String {
    let name = name.map(|name| sanitize_line(name, NAME_CHARS_MAX));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_string())
}

/// A moment as people read it, to the second.
pub(in crate::notify) fn format_time(at: Timestamp) -> String {
    let text = at.to_string();
    let shown = text.split_once('T').map(|(day, time)| {
        let seconds = time.split('.').next().unwrap_or(time);
        format!("{day} {seconds} UTC")
    });
    shown.unwrap_or(text)
}

/// Characters of a name, or of any other short foreign text.
pub(in crate::notify) const NAME_CHARS_MAX: usize = 80;
/// The colour of what is good.
pub(in crate::notify) const GOOD: &str = "#2e9e5b";
/// The colour of what is bad.
pub(in crate::notify) const BAD: &str = "#d9483b";
/// The colour of everything else.
pub(in crate::notify) const NEUTRAL: &str = "#7a869a";
