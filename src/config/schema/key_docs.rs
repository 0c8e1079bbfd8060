//! Reads the documentation of each key from the comments in `config.example.toml`: the text and the
//! default value. The file is the only place that describes keys; a test verifies that it contains
//! all of them.

use std::collections::BTreeMap;

use crate::config::schema::keys::join;

/// The docs of tables and keys, by their dotted names in the example.
#[derive(Debug, Default)]
pub(in crate::config) struct KeyDocs {
    docs: BTreeMap<String, KeyDoc>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct KeyDoc {
    pub(in crate::config) text: String,
    /// The default value as written in the example, if it is a simple one.
    pub(in crate::config) default: Option<String>,
}

impl KeyDocs {
    pub(in crate::config) fn read() -> Self {
        let mut docs = Self::default();
        let (mut table, mut prose, mut is_spent) = (String::new(), Vec::new(), false);
        for line in EXAMPLE.lines() {
            if let Some(doc) = line.strip_prefix("# ") {
                if is_spent {
                    prose.clear();
                }
                is_spent = false;
                prose.push(doc.trim());
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
                docs.note(table.clone(), KeyDoc { text, default: None });
                prose.clear();
            } else if let Some((key, value)) = bare.split_once(" = ") {
                let is_set = bare.len() == line.len();
                let has_own_default = text.contains("Default") || text.contains("Required");
                let default =
                    (!is_set && !has_own_default && !text.is_empty()).then(|| value.into());
                docs.note(join(&table, key), KeyDoc { text, default });
                is_spent = true;
            }
        }
        docs
    }

    /// The first docs with a text among `names`.
    pub(in crate::config) fn of(&self, names: &[impl AsRef<str>]) -> Option<&KeyDoc> {
        let with_text = |name: &str| self.docs.get(name).filter(|it| !it.text.is_empty());
        names.iter().find_map(|name| with_text(name.as_ref()))
    }

    fn note(&mut self, name: String, doc: KeyDoc) {
        self.docs.entry(name).or_insert(doc);
    }
}

const EXAMPLE: &str = include_str!("../../../config.example.toml");
/// A hint for people who edit the example itself.
const ABOUT_HEADERS: &str = "Take the `#` of the header away too.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_are_the_comment_above_the_key() {
        let docs = KeyDocs::read();
        let check = |name: &str, begins: &str, default: Option<&str>| {
            let doc = docs.of(&[name]).unwrap_or_else(|| panic!("`{name}`"));
            assert!(doc.text.starts_with(begins), "`{name}`: {}", doc.text);
            assert_eq!(doc.default.as_deref(), default, "`{name}`");
        };
        check("argil", "The default account at Argil", None);
        check("argil.api_key", "The API key, from app.argil.ai.", None);
        check("argil.max_concurrency", "The maximum number of requests in flight", Some("16"));
        check("poll.training.min", "The minimum interval", Some("\"2s\""));
        check("discover", "Discovery: also watch avatars", None);
        check("channels.studio-mail.smtp.password", "For servers that require a login", None);
        assert!(!docs.of(&["discover"]).unwrap().text.contains("header"));
        assert_eq!(docs.of(&["no-such-key"]), None);
    }
}
