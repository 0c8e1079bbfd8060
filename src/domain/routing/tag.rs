//! A tag: a word that the config gives to avatars, so that channels can ask for it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::text::fold::{composed, folded, is_mark};

/// A tag in lower case: 1 to 64 letters with their accents and vowel signs, digits, spaces and
/// `_ - . : /`. Neither the case of letters nor the encoding of accents matters.
#[derive(Clone, Debug)]
pub struct Tag {
    text: String,
    /// As it is compared.
    folded: String,
}

/// The text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tag is 1 to {TAG_CHARS_MAX} letters, digits, `_`, `-`, `.`, `:` or `/`, with spaces only \
     inside"
)]
pub struct TagError;

impl Tag {
    /// Parses a tag.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let composed = composed(text);
        let is_allowed = |it: char| it.is_alphanumeric() || is_mark(it) || " _-.:/".contains(it);
        let is_short = (1..=TAG_CHARS_MAX).contains(&composed.chars().count());
        let is_whole = composed.trim() == composed && !composed.starts_with(is_mark);
        if is_short && is_whole && composed.chars().all(is_allowed) {
            Ok(Self { folded: folded(&composed), text: composed.to_lowercase() })
        } else {
            Err(TagError)
        }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Tag {}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The maximum length of a tag in characters.
const TAG_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_short_text_in_lower_case() {
        for (text, expected) in [
            ("spanish", "spanish"),
            ("Español", "español"),
            ("Espan\u{303}ol", "español"),
            ("team:ES 2", "team:es 2"),
            ("हिन्दी", "हिन्दी"),
            ("Straße", "straße"),
            (&"e\u{301}".repeat(64), &"é".repeat(64)),
        ] {
            assert_eq!(Tag::parse(text).unwrap().as_str(), expected);
        }
        for bad in ["", " a", "a ", "a,b", "a*", "a\n", "\"", "\u{301}a", &"x".repeat(65)] {
            assert_eq!(Tag::parse(bad), Err(TagError), "for `{bad}`");
        }
    }
    #[test]
    fn tags_that_people_read_as_the_same_are_equal() {
        let check = |one: &str, other: &str| {
            assert_eq!(Tag::parse(one), Tag::parse(other), "`{one}` and `{other}`");
        };
        check("español", "ESPAN\u{303}OL");
        check("straße", "STRASSE");
        check("γιώργος", "ΓΙΏΡΓΟΣ");
    }
}
