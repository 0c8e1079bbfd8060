//! One line of the log: what happened, its fields, and how that looks.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use tracing::Level;

use crate::text::characters::is_unsafe;
use crate::text::escape::{escape_json, push_escaped};

/// An event with every field that holds for it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// How bad it is.
    pub(super) level: Level,
    /// When it happened, as it is printed.
    pub(super) at: String,
    /// What happened, in words.
    pub(super) message: String,
    /// The event's own fields, then those of what it is part of; no name twice.
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// Whether a line for people is coloured, and whether it begins with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dress {
    /// With its time, in colours.
    Coloured,
    /// With its time.
    Plain,
    /// Behind its priority as `sd-daemon` wants it; whoever reads it notes the time.
    Numbered,
}

impl Line {
    /// The line for people.
    pub(super) fn human(&self, dress: Dress) -> String {
        let (dim, colour, end) = match dress {
            Dress::Coloured => (DIM, colour(self.level), RESET),
            Dress::Plain | Dress::Numbered => ("", "", ""),
        };
        let mut line = match dress {
            Dress::Numbered => self.number(),
            Dress::Plain | Dress::Coloured => {
                format!("{dim}{}{end} {colour}{:>5}{end} ", self.at, self.level.as_str())
            }
        };
        push_escaped(&mut line, &self.message);
        for (name, value) in &self.fields {
            line.push_str(&format!(" {dim}{name}={end}"));
            push_value(&mut line, &text(value));
        }
        line.push('\n');
        line
    }

    /// The line as one JSON object.
    pub(super) fn json(&self, dress: Dress) -> String {
        let mut line = match dress {
            Dress::Numbered => self.number(),
            Dress::Plain | Dress::Coloured => String::new(),
        };
        // A map of texts, numbers and truths always has a JSON form.
        line.push_str(&escape_json(&serde_json::to_string(self).unwrap_or_default()));
        line.push('\n');
        line
    }

    /// The line as an entry of systemd's journal: one `NAME=value` a line.
    pub(super) fn entry(&self) -> String {
        let mut entry = "MESSAGE=".to_owned();
        push_escaped(&mut entry, &self.message);
        entry.push_str(&format!("\nPRIORITY={}\n", priority(self.level)));
        entry.push_str(&format!("SYSLOG_IDENTIFIER={IDENTIFIER}\n"));
        for (name, value) in &self.fields {
            entry.extend(name.chars().map(|char| match char {
                'a'..='z' | '0'..='9' => char.to_ascii_uppercase(),
                _ => '_',
            }));
            entry.push('=');
            push_escaped(&mut entry, &text(value));
            entry.push('\n');
        }
        entry
    }

    fn number(&self) -> String {
        format!("<{}>", priority(self.level))
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.at)?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("message", &self.message)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The priorities of syslog.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG | Level::TRACE => "\u{1b}[34m",
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value as it is when it is one word, else in quotes.
fn push_value(line: &mut String, value: &str) {
    let quotes = |char: char| char.is_whitespace() || char == '"' || is_unsafe(char);
    if !value.is_empty() && !value.contains(quotes) {
        line.push_str(value);
        return;
    }
    line.push('"');
    push_escaped(line, &value.replace('\\', "\\\\").replace('"', "\\\""));
    line.push('"');
}

/// What the journal calls us, whatever the program's file is called.
const IDENTIFIER: &str = "avatar-watch";
const DIM: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(message: &str) -> Line {
        Line {
            level: Level::WARN,
            at: "2026-11-23T11:15:22Z".to_owned(),
            message: message.to_owned(),
            fields: vec![
                ("avatar.id", "a1".into()),
                ("attempt", 3.into()),
                ("trouble", "two \"words\"".into()),
            ],
        }
    }

    #[test]
    fn a_line_says_the_same_in_each_of_its_looks() {
        let line = line("lost\nsight");
        assert_eq!(
            line.human(Dress::Plain),
            "2026-11-23T11:15:22Z  WARN lost\\nsight avatar.id=a1 attempt=3 \
             trouble=\"two \\\"words\\\"\"\n"
        );
        assert_eq!(
            line.human(Dress::Numbered),
            "<4>lost\\nsight avatar.id=a1 attempt=3 trouble=\"two \\\"words\\\"\"\n"
        );
        let json = r#"{"timestamp":"2026-11-23T11:15:22Z","level":"WARN","message":"lost\nsight",
"avatar.id":"a1","attempt":3,"trouble":"two \"words\""}"#;
        assert_eq!(line.json(Dress::Plain), format!("{}\n", json.replace('\n', "")));
        assert_eq!(line.json(Dress::Numbered), format!("<4>{}\n", json.replace('\n', "")));
        assert_eq!(
            line.entry(),
            "MESSAGE=lost\\nsight\nPRIORITY=4\nSYSLOG_IDENTIFIER=avatar-watch\nAVATAR_ID=a1\n\
             ATTEMPT=3\nTROUBLE=two \"words\"\n"
        );
    }

    /// Any text, and what would make entries or fields of the journal's own protocol of it.
    fn hostile() -> impl Strategy<Value = String> {
        let forged = prop::sample::select(vec![
            "\nPRIORITY=0\n",
            "\n\nMESSAGE=x\n",
            "\nMESSAGE\n\u{1}\0\0\0\0\0\0\0x\n",
            "=",
            "\u{2028}X=y\u{85}",
        ]);
        let any = prop_oneof![forged.prop_map(str::to_owned), any::<String>()];
        prop::collection::vec(any, 0..4).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn an_entry_of_the_journal_has_a_line_for_each_field_and_no_other(
            message in hostile(),
            value in hostile(),
        ) {
            let fields = vec![("avatar.id", value.into()), ("attempt", 3.into())];
            let line = Line { message, fields, ..line("") };
            let entry = line.entry();
            let lines: Vec<&str> = entry.strip_suffix('\n').unwrap().split('\n').collect();
            let begins = [
                "MESSAGE=",
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=avatar-watch",
                "AVATAR_ID=",
                "ATTEMPT=3",
            ];
            prop_assert_eq!(lines.len(), begins.len(), "{:?}", entry);
            for (line, begin) in lines.into_iter().zip(begins) {
                prop_assert!(line.starts_with(begin) && !line.contains(is_unsafe), "{line:?}");
            }
        }
    }

    #[test]
    fn colours_are_on_a_terminal_only_and_never_in_the_words() {
        let shown = line("\u{1b}[2J").human(Dress::Coloured);
        assert!(shown.contains("\u{1b}[33m WARN\u{1b}[0m \\u{1b}[2J"), "{shown:?}");
        assert!(!line("\u{1b}[2J").human(Dress::Plain).contains('\u{1b}'));
    }

    #[test]
    fn each_level_has_the_priority_that_syslog_knows() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        assert_eq!(levels.map(priority), [3, 4, 6, 7, 7]);
    }
}
