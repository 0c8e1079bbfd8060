//! What `config.example.toml` says of each key: its comment, as plain text, and its default.
//!
//! The file is the one place where keys are described; a test holds that it shows all of them.

use std::collections::BTreeMap;

use crate::config::schema::keys::join;

/// The words about tables and keys, by their dotted names in the example.
#[derive(Debug, Default)]
pub(in crate::config) struct KeyDocs {
    words: BTreeMap<String, KeyDoc>,
}

/// What is said of one key or table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct KeyDoc {
    /// The comment above it.
    pub(in crate::config) text: String,
    /// The value that it has when it is left out, as it is written, where that is simple.
    pub(in crate::config) default: Option<String>,
}

impl KeyDocs {
    /// Reads the example.
    pub(in crate::config) fn read() -> Self {
        let mut described = Self::default();
        let (mut table, mut prose, mut is_spent) = (String::new(), Vec::new(), false);
        for line in EXAMPLE.lines() {
            if let Some(words) = line.strip_prefix("# ") {
                if is_spent {
                    prose.clear();
                }
                is_spent = false;
                prose.push(words.trim());
                continue;
            }
            if line.is_empty() || line == "#" {
                prose.clear();
                continue;
            }
            let bare = line.strip_prefix('#').unwrap_or(line);
            let text = prose.join(" ").replace(ABOUT_HEADERS, "");
            let text = text.trim().to_owned();
            if bare.starts_with('[') {
                bare.trim_matches(['[', ']']).clone_into(&mut table);
                described.note(table.clone(), KeyDoc { text, default: None });
                prose.clear();
            } else if let Some((key, value)) = bare.split_once(" = ") {
                let stands_there = bare.len() == line.len();
                let said = text.contains("Default") || text.contains("Required");
                let default = (!stands_there && !said && !text.is_empty()).then(|| value.into());
                described.note(join(&table, key), KeyDoc { text, default });
                is_spent = true;
            }
        }
        described
    }

    /// What is said of the first of these names that anything is said of.
    pub(in crate::config) fn of(&self, names: &[&str]) -> Option<&KeyDoc> {
        names.iter().find_map(|name| self.words.get(*name).filter(|it| !it.text.is_empty()))
    }

    fn note(&mut self, name: String, words: KeyDoc) {
        self.words.entry(name).or_insert(words);
    }
}

const EXAMPLE: &str = include_str!("../../../config.example.toml");
/// A hint for whoever edits the example itself.
const ABOUT_HEADERS: &str = "Take the `#` of the header away too.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_above_the_key() {
        let described = KeyDocs::read();
        let check = |name: &str, begins: &str, default: Option<&str>| {
            let words = described.of(&[name]).unwrap_or_else(|| panic!("`{name}`"));
            assert!(words.text.starts_with(begins), "`{name}`: {}", words.text);
            assert_eq!(words.default.as_deref(), default, "`{name}`");
        };
        check("argil", "The default account at Argil", None);
        check("argil.api_key", "The API key, from app.argil.ai.", None);
        check("argil.max_concurrency", "How many requests may be under way", Some("16"));
        check("poll.training.min", "The shortest wait", Some("\"2s\""));
        check("discover", "Avatars that are watched without being registered", None);
        check("channels.studio-mail.smtp.password", "For servers that ask for a login", None);
        assert!(!described.of(&["discover"]).unwrap().text.contains("header"));
        assert_eq!(described.of(&["nobody"]), None);
    }
}
