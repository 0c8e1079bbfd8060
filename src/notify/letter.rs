//! The letter: what is said to a person, in a mail or a chat, in plain words, before it has a
//! form.
//!
//! The outcome comes first, then whose it is, what it means and what to do, and what we really
//! know about when it happened. Every foreign text in it is one harmless line.

use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::event::EventId;
use crate::domain::foreign_text::one_line;
use crate::domain::timestamp::Timestamp;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) headline: String,
    pub(super) about: String,
    pub(super) facts: Vec<Fact>,
    pub(super) meaning: String,
    pub(super) window: Vec<String>,
    pub(super) status: String,
    pub(super) color: &'static str,
    pub(super) event: EventId,
}

/// A line of the small table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Letter {
    /// All of it, line by line, without a form.
    pub(super) fn bare(&self) -> String {
        let facts = self.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value));
        let head = [self.headline.clone(), self.about.clone()];
        let lines = head.into_iter().chain(facts).chain([self.meaning.clone()]);
        lines.chain(self.window.iter().cloned()).collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// What an avatar is called: by its name or, when it has none to show, by its id.
pub(super) fn called(id: &AvatarId, name: Option<&str>) -> String {
    let name = name.map(|name| one_line(name, NAME_CHARS_MAX));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_string())
}

/// A moment as people read it, to the second.
pub(super) fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    let shown = text.split_once('T').map(|(day, time)| {
        let seconds = time.split('.').next().unwrap_or(time);
        format!("{day} {seconds} UTC")
    });
    shown.unwrap_or(text)
}

/// A length of time as people say it: two units at most, rounded down.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (unit, size) in units.iter().skip(first).take(UNITS_SHOWN) {
        let count = rest / size;
        rest %= size;
        if count > 0 || words.is_empty() {
            words.push(format!("{count} {unit}"));
        }
    }
    words.join(" ")
}

/// Characters of a name, or of any other short foreign text.
pub(super) const NAME_CHARS_MAX: usize = 80;
/// The colour of what is good.
pub(super) const GOOD: &str = "#2e9e5b";
/// The colour of what is bad.
pub(super) const BAD: &str = "#d9483b";
/// The colour of everything else.
pub(super) const NEUTRAL: &str = "#7a869a";
const UNITS_SHOWN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_said_in_two_units() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(span(Duration::from_secs(seconds)), expected, "for {seconds}");
        };
        check(0, "0 s");
        check(42, "42 s");
        check(60, "1 min");
        check(125, "2 min 5 s");
        check(3_600, "1 h");
        check(10_787, "2 h 59 min");
        check(86_400 + 3_599, "1 d");
        check(90_000, "1 d 1 h");
    }
}
