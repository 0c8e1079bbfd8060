//! Damage: text that is no TOML, told in words, and how far it reaches.
//!
//! The parser goes on after an error as well as it can; what it makes of the lines that the
//! damage swallowed is not to be trusted.

use toml::de::Error;

use crate::config::duration;
use crate::config::field::shown;
use crate::config::reader::{Place, Reader};

/// Reports one of the parser's errors. Errors come in the order of the text.
pub(super) fn report(reader: &Reader<'_>, error: &Error) {
    let span = error.span().unwrap_or_default();
    let place = Place { key: String::new(), span: Some(span.clone()) };
    let before = reader.text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mut lines = reader.text.get(line_start..).unwrap_or_default().lines();
    let line = lines.next().unwrap_or_default();
    let message = format!("this is no TOML: {}", error.message());
    if error.message() == "duplicate key" {
        let key = shown(reader.text.get(span).unwrap_or_default());
        let message = format!("`{key}` stands twice in its table");
        reader.damage(&place, &message, Some("take one of them out".to_owned()), 0);
    } else if error.message().contains("unclosed") {
        let swallowed = lines.take_while(|line| !is_header(line)).count();
        reader.damage(&place, &message, None, swallowed);
    } else if error.message().contains("missing comma") && (is_header(line) || is_pair(line)) {
        let help = "is the list or table above it closed? what follows is read after that";
        reader.damage(&place, &message, Some(help.to_owned()), lines.count());
    } else {
        reader.damage(&place, &message, bare_duration(line), 0);
    }
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// Whether a line looks like `key = …`.
fn is_pair(line: &str) -> bool {
    let part_of_key = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    line.split_once('=').is_some_and(|(key, _)| key.trim_start().chars().all(part_of_key))
}

fn bare_duration(line: &str) -> Option<String> {
    let (_, value) = line.split_once('=')?;
    let value = value.split('#').next()?.trim();
    duration::is_bare(value).then(|| format!("a duration stands in quotes: `\"{value}\"`"))
}
