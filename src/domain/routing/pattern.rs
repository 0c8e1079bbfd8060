//! A pattern for names: `*` stands for any text, also for none. Neither the case of letters nor the
//! encoding of accents matters. It takes time in proportion to the product of both lengths.

use std::fmt;

use crate::text::fold::folded;

/// A pattern: 1 to 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// As it was written.
    text: String,
    /// As it is compared.
    folded: Vec<char>,
}

/// The text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern has 1 to {PATTERN_CHARS_MAX} characters, without control characters")]
pub struct PatternError;

impl Pattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let is_short = (1..=PATTERN_CHARS_MAX).contains(&text.chars().count());
        if !is_short || text.chars().any(char::is_control) {
            return Err(PatternError);
        }
        Ok(Self { text: text.to_owned(), folded: folded(text).chars().collect() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole text; spaces around the text do not count.
    pub fn matches(&self, text: &str) -> bool {
        Self::any_matches(std::slice::from_ref(self), text)
    }

    /// Whether one of them does.
    pub fn any_matches(patterns: &[Self], text: &str) -> bool {
        let text: Vec<char> = folded(text.trim()).chars().collect();
        patterns.iter().any(|pattern| pattern.matches_folded(&text))
    }

    fn matches_folded(&self, text: &[char]) -> bool {
        let (mut at, mut in_pattern) = (0, 0);
        // Where the last `*` is, and how much of the text it stands for.
        let mut star: Option<(usize, usize)> = None;
        while let Some(character) = text.get(at) {
            match (self.folded.get(in_pattern), star) {
                (Some('*'), _) => {
                    star = Some((in_pattern, at));
                    in_pattern += 1;
                }
                (Some(expected), _) if expected == character => {
                    at += 1;
                    in_pattern += 1;
                }
                (_, Some((star_at, taken_to))) => {
                    star = Some((star_at, taken_to + 1));
                    at = taken_to + 1;
                    in_pattern = star_at + 1;
                }
                (_, None) => return false,
            }
        }
        self.folded.iter().skip(in_pattern).all(|rest| *rest == '*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The maximum length of a pattern in characters.
const PATTERN_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_case_does_not_matter() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let found = Pattern::parse(pattern).unwrap().matches(text);
            assert_eq!(found, expected, "`{pattern}` and `{text}`");
        };
        check("Jane", "jane", true);
        check("Jane", "Jane 2", false);
        check("jane*", "Jane, English", true);
        check("jane*", "Jane", true);
        check("*es", "Jane ES", true);
        check("*-es-*", "team-es-1", true);
        check("*-es-*", "team-en-1", false);
        check("a*b*c", "aXbXbYc", true);
        check("a*b*c", "aXbXbY", false);
        check("*", "", true);
        check("**", "x", true);
        check("É*", "élodie", true);
        check("jose\u{301}*", "José 2", true);
        check("jose*", "José", false);
        check("*γιώργος", "Ο ΓΙΏΡΓΟΣ", true);
        check("γιώργος*", "ΓΙΏΡΓΟΣ Β", true);
        check("STRASS*", "straße", true);
        check("[a]?", "[a]?", true);
        check("[a]?", "ab", false);
        check("jane", "  Jane ", true);
    }

    #[test]
    fn a_pattern_is_short() {
        for bad in ["", "a\nb", &"x".repeat(129)] {
            assert_eq!(Pattern::parse(bad), Err(PatternError), "for `{bad}`");
        }
        assert_eq!(Pattern::parse("Jane*").unwrap().to_string(), "Jane*");
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = Pattern::parse(&"*a".repeat(64)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(10_000))));
    }
}
