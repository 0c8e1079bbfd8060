//! A tag: a word that the config gives to avatars, so that channels can ask for it.

use std::fmt;

/// A tag in lower case: 1 to 64 letters, digits, spaces and `_ - . : /`. The case of letters does
/// not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

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
        let is_allowed = |it: char| it.is_alphanumeric() || " _-.:/".contains(it);
        let is_short = (1..=TAG_CHARS_MAX).contains(&text.chars().count());
        if is_short && text.trim() == text && text.chars().all(is_allowed) {
            Ok(Self(text.to_lowercase()))
        } else {
            Err(TagError)
        }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The maximum length of a tag in characters.
const TAG_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_short_text_in_lower_case() {
        for (text, expected) in
            [("spanish", "spanish"), ("Español", "español"), ("team:ES 2", "team:es 2")]
        {
            assert_eq!(Tag::parse(text).unwrap().as_str(), expected);
        }
        for bad in ["", " a", "a ", "a,b", "a*", "a\n", "\"", &"x".repeat(65)] {
            assert_eq!(Tag::parse(bad), Err(TagError), "for `{bad}`");
        }
    }
}
