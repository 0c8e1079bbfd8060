//! The letter: what is said to a person, in a mail or a chat, in plain words, before it has a
//! form.
//!
//! The outcome comes first, then whose it is, what it means and what to do, and what we really
//! know about when it happened. Every foreign text in it is one harmless line.

use crate::domain::avatar::AvatarId;
use crate::domain::foreign_text::sanitize_line;
use crate::domain::id::EventId;
use crate::domain::timestamp::Timestamp;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) subject: String,
    pub(super) headline: String,
    pub(super) subject_name: String,
    pub(super) fields: Vec<Field>,
    pub(super) meaning: String,
    pub(super) window: Vec<String>,
    pub(super) status: String,
    pub(super) color: &'static str,
    pub(super) event: EventId,
}

/// A line of the small table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Content {
    /// All of it, line by line, without a form.
    pub(super) fn bare(&self) -> String {
        let facts = self.fields.iter().map(|fact| format!("{}: {}", fact.name, fact.value));
        let head = [self.headline.clone(), self.subject_name.clone()];
        let lines = head.into_iter().chain(facts).chain([self.meaning.clone()]);
        lines.chain(self.window.iter().cloned()).collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// What an avatar is called: by its name or, when it has none to show, by its id.
pub(super) fn display_name(id: &AvatarId, name: Option<&str>) -> String {
    let name = name.map(|name| sanitize_line(name, NAME_CHARS_MAX));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_string())
}

/// A moment as people read it, to the second.
pub(super) fn format_time(at: Timestamp) -> String {
    let text = at.to_string();
    let shown = text.split_once('T').map(|(day, time)| {
        let seconds = time.split('.').next().unwrap_or(time);
        format!("{day} {seconds} UTC")
    });
    shown.unwrap_or(text)
}

/// Characters of a name, or of any other short foreign text.
pub(super) const NAME_CHARS_MAX: usize = 80;
/// The colour of what is good.
pub(super) const GOOD: &str = "#2e9e5b";
/// The colour of what is bad.
pub(super) const BAD: &str = "#d9483b";
/// The colour of everything else.
pub(super) const NEUTRAL: &str = "#7a869a";
