//! Tables and fields of the file, and how to read them. A read returns a checked value, or `None`
//! after it has reported a problem.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::config::parse::document::{Document, Location, Outside};
use crate::config::schema::keys::{KeyTable, join, listed, nearest};
use crate::files::trust::{Distrust, Facts, Ownership};

/// A value with its location. It has no `Debug`, since it may be a secret.
#[derive(Clone)]
pub(in crate::config) struct Field<'r> {
    pub(in crate::config) reader: &'r Document<'r>,
    pub(in crate::config) place: Location,
    pub(in crate::config) value: &'r DeValue<'r>,
}

/// A table of the file, or an empty one where the file has none.
#[derive(Clone)]
pub(in crate::config) struct Table<'r> {
    pub(in crate::config) reader: &'r Document<'r>,
    pub(in crate::config) place: Location,
    entries: &'r DeTable<'r>,
}

impl<'r> Field<'r> {
    /// Reports a problem with a help; returns `None`, as a failed read does.
    pub(in crate::config) fn invalid<T>(
        &self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.reader.problem(&self.place, message, Some(help.into()));
        None
    }

    /// Reports what is allowed, and most likely not meant.
    pub(in crate::config) fn warning(&self, message: impl Into<String>, help: &str) {
        self.reader.warning(&self.place, message, help);
    }

    /// Reports that this process cannot read what the value names; returns `None`.
    pub(in crate::config) fn unreadable<T>(
        &self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.reader.unreadable(&self.place, message.into(), help.into());
        None
    }

    /// Reports a file with an untrusted owner or mode as a problem or a warning; `source` names the
    /// file and precedes "belongs to …".
    pub(in crate::config) fn trusted(&self, source: &str, verdict: Ownership) -> Option<()> {
        match verdict {
            Ownership::Trusted => Some(()),
            Ownership::Doubtful(Distrust { what, help }) => {
                self.warning(format!("{source}{what}"), &help);
                Some(())
            }
            Ownership::Distrusted(Distrust { what, help }) => {
                self.invalid(format!("{source}{what}"), help)
            }
        }
    }

    /// The content and the metadata of a trusted file; `source` names it, see `trusted`.
    pub(in crate::config) fn file(&self, path: &Path, source: &str) -> Option<(Vec<u8>, Facts)> {
        let Outside { files, trust, .. } = self.reader.outside;
        let (bytes, facts) = match files.read(path) {
            Ok(read) => read,
            Err(error) => {
                let place = shown(&path.display().to_string());
                let help = "check the path and the permissions of the file";
                return self.unreadable(format!("cannot be read from `{place}`: {error}"), help);
            }
        };
        self.trusted(source, trust.check(path, &facts))?;
        Some((bytes, facts))
    }

    /// The value, or a report of `message` with the error as the help.
    pub(in crate::config) fn valid<T, E: Display>(
        &self,
        read: Result<T, E>,
        message: &str,
    ) -> Option<T> {
        read.map_or_else(|error| self.invalid(message, error.to_string()), Some)
    }

    /// Reports a wrong type. The value is not repeated: it may be a misplaced secret.
    pub(in crate::config) fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let found = match self.value {
            DeValue::Boolean(true) => "`true`",
            DeValue::Boolean(false) => "`false`",
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        // The message itself says how to fix it.
        self.reader.problem(&self.place, format!("is {found}, but must be {wanted}"), None);
        None
    }

    pub(in crate::config) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(in crate::config) fn text(&self) -> Option<&'r str> {
        match self.value {
            DeValue::String(text) if text.is_empty() => {
                self.invalid("is empty", "set a value, or remove the key")
            }
            DeValue::String(text) => Some(text),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                self.wrong_type("a string in quotes")
            }
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_type("a string")
            }
        }
    }

    pub(in crate::config) fn flag(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type("`true` or `false`, without quotes"),
        }
    }

    pub(in crate::config) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let DeValue::Integer(number) = self.value else {
            return self.wrong_type("an integer");
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        value.filter(|value| range.contains(value)).or_else(|| self.beyond(number, &range))
    }

    pub(in crate::config) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let (text, value) = match self.value {
            DeValue::Float(number) => (number.as_str(), number.as_str().parse::<f64>().ok()),
            DeValue::Integer(number) => {
                let whole = i32::from_str_radix(number.as_str(), number.radix());
                (number.as_str(), whole.ok().map(f64::from))
            }
            _ => return self.wrong_type("a number"),
        };
        value.filter(|value| range.contains(value)).or_else(|| self.beyond(text, &range))
    }

    pub(in crate::config) fn one_of<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| meaning.clone()).or_else(|| self.unknown_word(text, &known))
    }

    pub(in crate::config) fn unknown_word<T>(&self, word: &str, known: &[&str]) -> Option<T> {
        let help = match nearest(word, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it can be {}", listed(known).replace(" and ", " or ")),
        };
        self.invalid(format!("has the unknown value `{}`", shown(word)), help)
    }

    pub(in crate::config) fn table(&self) -> Option<Table<'r>> {
        match self.value {
            DeValue::Table(entries) => {
                Some(Table { reader: self.reader, place: self.place.clone(), entries })
            }
            _ => self.wrong_type("a table"),
        }
    }

    /// The elements of a list, each with its own place.
    pub(in crate::config) fn elements(&self) -> Option<Vec<Self>> {
        let DeValue::Array(list) = self.value else {
            return self.wrong_type("a list");
        };
        let element = |(index, value): (usize, &'r toml::Spanned<DeValue<'r>>)| {
            let key = format!("{}[{index}]", self.place.key);
            let place = Location { key, span: Some(value.span()) };
            Self { reader: self.reader, place, value: value.get_ref() }
        };
        Some(list.iter().enumerate().map(element).collect())
    }

    /// A list; all elements are read and reported, even after an invalid one.
    pub(in crate::config) fn list<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        let read: Vec<Option<T>> = self.elements()?.iter().map(read).collect();
        read.into_iter().collect()
    }

    pub(in crate::config) fn distinct<T: PartialEq>(
        &self,
        read: impl Fn(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let elements = self.elements()?;
        let mut seen = Vec::with_capacity(elements.len());
        for element in &elements {
            match read(element) {
                Some(value) if seen.contains(&value) => {
                    element.invalid::<()>("is already in the list", "remove one of them");
                }
                Some(value) => seen.push(value),
                None => (),
            }
        }
        (seen.len() == elements.len()).then_some(seen)
    }

    /// The list, unless it is empty.
    pub(in crate::config) fn not_empty<T>(&self, list: Vec<T>, help: &str) -> Option<Vec<T>> {
        if list.is_empty() { self.invalid("is an empty list", help) } else { Some(list) }
    }

    fn beyond<T, N: Display>(&self, found: impl Display, range: &RangeInclusive<N>) -> Option<T> {
        let (min, max) = (range.start(), range.end());
        self.invalid(format!("is `{found}`"), format!("write a number from `{min}` to `{max}`"))
    }
}

impl<'r> Table<'r> {
    /// The whole file as a table.
    pub(in crate::config) fn root(reader: &'r Document<'r>, entries: &'r DeTable<'r>) -> Self {
        Self { reader, place: Location { key: String::new(), span: None }, entries }
    }

    pub(in crate::config) fn field(&self, name: &str) -> Option<Field<'r>> {
        let value = self.entries.get(name)?;
        let place = Location { key: join(&self.place.key, &shown(name)), span: Some(value.span()) };
        Some(Field { reader: self.reader, place, value: value.get_ref() })
    }

    /// All fields with their names, in the order of the file.
    pub(in crate::config) fn fields(&self) -> Vec<(&'r str, Field<'r>)> {
        let mut names: Vec<_> = self.entries.keys().collect();
        names.sort_by_key(|name| name.span().start);
        let pair = |name: &'r str| Some((name, self.field(name)?));
        names.into_iter().filter_map(|name| pair(name.get_ref())).collect()
    }

    /// The names in a nested table, valid or not; `None` when it is not a table.
    pub(in crate::config) fn names(&self, table: &str) -> Option<Vec<&'r str>> {
        let Some(field) = self.field(table) else { return Some(Vec::new()) };
        let is_table = matches!(field.value, DeValue::Table(_));
        let fields = is_table.then(|| field.table()).flatten()?.fields();
        Some(fields.into_iter().map(|(name, _)| name).collect())
    }

    /// A required field; `help` says what to write when it is missing.
    pub(in crate::config) fn required<T>(
        &self,
        name: &str,
        help: &str,
        read: impl FnOnce(&Field<'r>) -> Option<T>,
    ) -> Option<T> {
        if let Some(field) = self.field(name) {
            return read(&field);
        }
        // A misspelt key is reported as unknown, and not as missing too.
        if !self.entries.keys().any(|key| nearest(key.get_ref(), &[name]).is_some()) {
            let place = self.place.below(name);
            self.reader.missing(&place, "is missing", Some(help.to_owned()));
        }
        None
    }

    pub(in crate::config) fn or<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&Field<'r>) -> Option<T>,
    ) -> Option<T> {
        self.field(name).map_or(Some(default), |field| read(&field))
    }

    pub(in crate::config) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Field<'r>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.field(name).map_or(Some(None), |field| read(&field).map(Some))
    }

    /// A nested table with the keys of the schema; empty if it is missing.
    pub(in crate::config) fn section(&self, name: &str, schema: &KeyTable) -> Option<Self> {
        let Some(field) = self.field(name) else {
            let place = self.place.below(name);
            return Some(Self { reader: self.reader, place, entries: &self.reader.empty });
        };
        let table = field.table()?;
        table.check_keys(schema);
        Some(table)
    }

    pub(in crate::config) fn check_keys(&self, schema: &KeyTable) {
        self.check_names(schema.keys, |word| schema.suggest(word));
    }

    /// Reports every key that is not known, with the help from `help`.
    pub(in crate::config) fn check_names(&self, known: &[&str], help: impl Fn(&str) -> String) {
        for (name, value) in self.entries {
            if !known.contains(&name.get_ref().as_ref()) {
                let word = shown(name.get_ref());
                let place = Location { key: join(&self.place.key, &word), span: Some(name.span()) };
                let what = match value.get_ref() {
                    DeValue::Table(_) => "is an unknown table",
                    _ => "is an unknown key",
                };
                self.reader.problem(&place, what, Some(help(&word)));
            }
        }
    }
}

/// Untrusted text, made safe for a terminal and a log: truncated, and without control characters
/// and changes of the writing direction.
pub(in crate::config) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(SHOWN_MAX) {
        let graphic = character.is_alphanumeric() || character.is_ascii_graphic();
        if graphic || character == ' ' {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The maximum number of characters of untrusted text in a message.
const SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_cannot_steer_the_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected);
        check("Jané 1", "Jané 1");
        check("a\u{1b}[2J\nb\u{202e}", "a\\u{1b}[2J\\u{a}b\\u{202e}");
        check(&"x".repeat(81), &format!("{}…", "x".repeat(80)));
    }
}
