//! Formats log records: as a line for people, as a line of JSON, or as an entry of the journal.
//!
//! `tracing-subscriber` writes each event as one JSON object. [`Record::parse`] reads it; it adds
//! the fields of the enclosing spans, and cuts long texts. Other texts are what a command prints as
//! it fails: each of their lines becomes a record.

use serde::Serialize;
use serde_json::{Map, Value};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::text::characters::is_unsafe;
use crate::text::escape::{escape_json, push_escaped};

/// One event, with its fields and those of its spans.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    timestamp: String,
    level: String,
    message: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// How a line begins, and whether it has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineStyle {
    /// Timestamp and level, in colours.
    Ansi,
    /// Timestamp and level.
    Plain,
    /// The priority as `sd-daemon` defines it: `<4>`. The journal adds the timestamp.
    SyslogPrefix,
}

impl Record {
    /// The records of an event, or of the lines of an error that is printed.
    pub(super) fn all(text: &str) -> Vec<Self> {
        match Self::parse(text) {
            Some(record) => vec![record],
            None => {
                let timestamp = now();
                text.lines().map(|line| Self::of_error(&timestamp, line)).collect()
            }
        }
    }

    /// The record of a line of an error.
    fn of_error(timestamp: &str, line: &str) -> Self {
        let mut message = line.into();
        cut(&mut message);
        Self {
            timestamp: timestamp.to_owned(),
            level: "ERROR".to_owned(),
            message: text(&message),
            fields: Map::new(),
        }
    }

    /// Reads the JSON of an event; `None` of another text. A field of the event hides the same
    /// field of a span, and an inner span hides an outer one.
    pub(super) fn parse(json: &str) -> Option<Self> {
        let mut fields = serde_json::from_str::<Map<String, Value>>(json).ok()?;
        if let Some(Value::Array(spans)) = fields.remove("spans") {
            let named = |span| match span {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
            for (name, value) in spans.into_iter().rev().flat_map(named) {
                // The formatter adds the span's own name.
                if name != "name" {
                    fields.entry(name).or_insert(value);
                }
            }
        }
        fields.values_mut().for_each(cut);
        let mut take = |name| fields.remove(name).map_or_else(String::new, |value| text(&value));
        let [timestamp, level, message] = ["timestamp", "level", "message"].map(&mut take);
        Some(Self { timestamp, level, message, fields })
    }

    /// The line for people.
    pub(super) fn human(&self, style: LineStyle) -> String {
        let (dim, reset) = if style == LineStyle::Ansi { (DIM, RESET) } else { ("", "") };
        let mut line = match style {
            LineStyle::SyslogPrefix => format!("<{}>", self.priority()),
            LineStyle::Plain => format!("{} {:>5} ", self.timestamp, self.level),
            LineStyle::Ansi => {
                let colour = self.colour();
                format!("{DIM}{}{RESET} {colour}{:>5}{RESET} ", self.timestamp, self.level)
            }
        };
        push_escaped(&mut line, &self.message);
        for (name, value) in &self.fields {
            line.push_str(&format!(" {dim}{name}={reset}"));
            push_value(&mut line, &text(value));
        }
        line.push('\n');
        line
    }

    /// The line with one JSON object.
    pub(super) fn json(&self, style: LineStyle) -> String {
        // Strings, numbers and booleans always have a JSON form.
        let object = escape_json(&serde_json::to_string(self).unwrap_or_default());
        match style {
            LineStyle::SyslogPrefix => format!("<{}>{object}\n", self.priority()),
            LineStyle::Plain | LineStyle::Ansi => format!("{object}\n"),
        }
    }

    /// The entry for the journal: one `NAME=value` per line. No escaped value has a line break,
    /// so the simple form of the protocol is enough.
    pub(super) fn entry(&self) -> String {
        let mut entry = "MESSAGE=".to_owned();
        push_escaped(&mut entry, &self.message);
        entry.push_str(&format!("\nPRIORITY={}\n", self.priority()));
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

    /// The priority that syslog defines for the level.
    fn priority(&self) -> u8 {
        match self.level.as_str() {
            "ERROR" => 3,
            "WARN" => 4,
            "INFO" => 6,
            _ => 7,
        }
    }

    fn colour(&self) -> &'static str {
        match self.level.as_str() {
            "ERROR" => "\u{1b}[31m",
            "WARN" => "\u{1b}[33m",
            "INFO" => "\u{1b}[32m",
            _ => "\u{1b}[34m",
        }
    }
}

/// The time of now, as the events have it; empty if the clock cannot be printed.
pub(super) fn now() -> String {
    let mut timestamp = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    timestamp
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Cuts a long text, so that no line is without bounds.
fn cut(value: &mut Value) {
    if let Value::String(text) = value
        && text.len() > TEXT_BYTES_MAX
    {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
}

/// Appends a value: bare if it is one word, else in quotes.
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

/// A message or a value is cut here; escaped, a record still fits into a datagram.
const TEXT_BYTES_MAX: usize = 4096;
/// The identifier in the journal, whatever the name of the program's file.
const IDENTIFIER: &str = "avatar-watch";
const DIM: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record(level: &str, message: &str, name: &str) -> Record {
        let event = json!({
            "timestamp": "2026-11-23T11:15:22Z", "level": level, "message": message,
            "spans": [{"attempt": 3, "avatar.id": "a1", "name": "poll"}], "failure": name,
        });
        Record::parse(&event.to_string()).unwrap()
    }

    #[test]
    fn every_format_says_the_same() {
        let record = record("WARN", "lost\nsight", "two \"words\"");
        let rest = "lost\\nsight attempt=3 avatar.id=a1 failure=\"two \\\"words\\\"\"\n";
        let plain = format!("2026-11-23T11:15:22Z  WARN {rest}");
        assert_eq!(record.human(LineStyle::Plain), plain);
        assert_eq!(record.human(LineStyle::SyslogPrefix), format!("<4>{rest}"));
        let json = r#"{"timestamp":"2026-11-23T11:15:22Z","level":"WARN","message":"lost\nsight",
"attempt":3,"avatar.id":"a1","failure":"two \"words\""}"#;
        let json = format!("{}\n", json.replace('\n', ""));
        assert_eq!(record.json(LineStyle::Plain), json);
        assert_eq!(record.json(LineStyle::SyslogPrefix), format!("<4>{json}"));
        assert_eq!(
            record.entry(),
            "MESSAGE=lost\\nsight\nPRIORITY=4\nSYSLOG_IDENTIFIER=avatar-watch\nATTEMPT=3\n\
             AVATAR_ID=a1\nFAILURE=two \"words\"\n"
        );
    }

    #[test]
    fn only_the_prefix_has_colours_and_each_level_has_its_priority() {
        let hostile = record("WARN", "\u{1b}[2J", "");
        let shown = hostile.human(LineStyle::Ansi);
        assert!(shown.contains("\u{1b}[33m WARN\u{1b}[0m \\u{1b}[2J"), "{shown:?}");
        assert!(!hostile.human(LineStyle::Plain).contains('\u{1b}'));
        let levels = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
        assert_eq!(levels.map(|level| record(level, "", "").priority()), [3, 4, 6, 7, 7]);
    }

    #[test]
    fn an_error_that_is_printed_is_one_error_per_line() {
        let printed = Record::all("no config\n  because: \u{1b}[2J\n  help: write one\n");
        let lines: Vec<String> =
            printed.iter().map(|it| it.human(LineStyle::SyslogPrefix)).collect();
        let expected = ["no config", "  because: \\u{1b}[2J", "  help: write one"];
        assert_eq!(lines, expected.map(|line| format!("<3>{line}\n")));
        let plain = printed[0].human(LineStyle::Plain);
        assert!(plain.starts_with("20") && plain.ends_with("Z ERROR no config\n"), "{plain}");
    }

    /// Any text, and what would forge entries or fields in the journal's protocol.
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
        fn a_journal_entry_has_one_line_per_field_and_no_other(
            message in hostile(),
            value in hostile(),
        ) {
            let entry = record("WARN", &message, &value).entry();
            let lines: Vec<&str> = entry.strip_suffix('\n').unwrap().split('\n').collect();
            let begins = [
                "MESSAGE=",
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=avatar-watch",
                "ATTEMPT=3",
                "AVATAR_ID=a1",
                "FAILURE=",
            ];
            prop_assert_eq!(lines.len(), begins.len(), "{:?}", entry);
            for (line, begin) in lines.into_iter().zip(begins) {
                prop_assert!(line.starts_with(begin) && !line.contains(is_unsafe), "{line:?}");
            }
        }
    }
}
