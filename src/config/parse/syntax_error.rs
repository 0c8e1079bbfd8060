//! Reports syntax errors: text that is not TOML, and the lines that each error affects.
//!
//! The parser continues after an error; what it reads from the affected lines is not reliable.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::Error;

use crate::config::parse::document::{Document, Location};
use crate::config::parse::duration;
use crate::config::parse::field::shown;
use crate::text::odd_character::OddCharacter;

/// Reports the errors of the parser in the order of the text. An invisible or confusable character
/// is reported by its name, and once.
pub(in crate::config) fn syntax_error(reader: &Document<'_>, errors: &[Error]) {
    let mut reported = BTreeSet::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        match culprit(reader.text, &span) {
            Some((offset, character)) => {
                if reported.insert(line_end_alone(reader.text, offset).unwrap_or(offset)) {
                    report_character(reader, offset, character);
                }
            }
            None => report_error(reader, error, span),
        }
    }
}

/// The odd character that caused the error: within its span, or beside it.
fn culprit(text: &str, span: &Range<usize>) -> Option<(usize, OddCharacter)> {
    let before = text.get(..span.start)?.char_indices().next_back();
    let within = text.get(span.clone())?.char_indices().map(|(at, char)| (span.start + at, char));
    let after = text.get(span.end..)?.chars().next().map(|char| (span.end, char));
    let (mut within, around) = (within.collect::<Vec<_>>(), before.into_iter().chain(after));
    within.extend(around);
    within.into_iter().find_map(|(at, char)| {
        let ends_line = char == '\n' || text.get(at..)?.starts_with("\r\n");
        let usual = matches!(char, ' ' | '\t') || ends_line;
        Some((at, OddCharacter::of(char).filter(|_| !usual)?))
    })
}

/// The offset of the first carriage return without line feed, if this is one of them: they occur in
/// the whole file and are reported once.
fn line_end_alone(text: &str, offset: usize) -> Option<usize> {
    let is_one = text.get(offset..)?.starts_with('\r');
    is_one.then(|| text.find('\r').unwrap_or(offset))
}

fn report_character(reader: &Document<'_>, offset: usize, character: OddCharacter) {
    let before = reader.text.get(..offset).unwrap_or_default();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    let place = Location { key: String::new(), span: Some(offset..offset) };
    if line_end_alone(reader.text, offset).is_some() {
        let message = format!("invalid TOML: {character} stands without a line feed");
        let help = "save the file with the line ends of Unix or Windows (LF or CRLF)";
        let swallowed = reader.text.lines().count();
        return reader.syntax_error(&place, &message, Some(help.to_owned()), swallowed);
    }
    let message = format!("invalid TOML: {character} stands here, at column {column}");
    let help = match character.is_visible() {
        true => "write the ASCII character instead, such as `\"`, `-` or `=`",
        false => "remove it, or type a normal space; many editors do not show it",
    };
    reader.syntax_error(&place, &message, Some(help.to_owned()), 0);
}

fn report_error(reader: &Document<'_>, error: &Error, span: Range<usize>) {
    let place = Location { key: String::new(), span: Some(span.clone()) };
    let before = reader.text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mut lines = reader.text.get(line_start..).unwrap_or_default().lines();
    let line = lines.next().unwrap_or_default();
    let message = format!("invalid TOML: {}", error.message());
    let (message, help, swallowed) = if error.message() == "duplicate key" {
        let key = shown(reader.text.get(span).unwrap_or_default());
        (format!("`{key}` is set twice in its table"), Some("remove one of them".to_owned()), 0)
    } else if error.message().contains("unclosed") {
        (message, None, lines.take_while(|line| !is_header(line)).count())
    } else if error.message().contains("missing comma") && (is_header(line) || is_pair(line)) {
        let help = "close the list or table above it; the rest is checked after that";
        (message, Some(help.to_owned()), lines.count())
    } else {
        (message, bare_duration(line), 0)
    };
    reader.syntax_error(&place, &message, help, swallowed);
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// Whether a line has the form `key = …`.
fn is_pair(line: &str) -> bool {
    let part_of_key = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    line.split_once('=').is_some_and(|(key, _)| key.trim_start().chars().all(part_of_key))
}

fn bare_duration(line: &str) -> Option<String> {
    let (_, value) = line.split_once('=')?;
    let value = value.split('#').next()?.trim();
    duration::is_bare(value).then(|| format!("write the duration in quotes: `\"{value}\"`"))
}

#[cfg(test)]
mod tests {
    use crate::config::file::tests::read_with;

    /// Compares the messages of a text, without their helps.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let problems = read_with(text, &[]).unwrap_err();
        let messages: Vec<String> = problems
            .iter()
            .filter(|problem| problem.key.is_empty())
            .map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned())
            .collect();
        let expected: Vec<String> = expected.iter().map(|it| format!("config.toml:{it}")).collect();
        assert_eq!(messages, expected, "for {text:?}");
    }

    #[test]
    fn an_invisible_character_is_reported_once_with_its_name_and_location() {
        let odd = |line: usize, name: &str, column: usize| {
            format!("{line}: invalid TOML: {name} stands here, at column {column}")
        };
        let one = |text: &str, expected: String| check(text, &[&expected]);
        one("[argil]\napi_key\u{a0}= 'x'\n", odd(2, "a no-break space (U+00A0)", 8));
        one("[argil]\napi_key =\u{a0}'x'\n", odd(2, "a no-break space (U+00A0)", 10));
        one("[argil]\napi_key = 'x'\u{a0}\n", odd(2, "a no-break space (U+00A0)", 14));
        one("[argil]\n\u{a0}\napi_key = 'x'\n", odd(2, "a no-break space (U+00A0)", 1));
        one("[argil]\napi_key = “Jane Doe”\n", odd(2, "a curly quote (U+201C)", 11));
        one("[argil]\napi_key ＝ 'x'\n", odd(2, "a wide letter or sign (U+FF1D)", 9));
        one("[argil]\n\u{feff}[poll]\n", odd(2, "a byte order mark (U+FEFF)", 1));
        one("[argil]\napi_key = 'x\0'\n", odd(2, "NUL (U+0000)", 13));
        one("[argil]\napi_key = 'x'\n# a\0\n", odd(3, "NUL (U+0000)", 4));
        one("[argil]\napi\u{200b}_key = 'x'\n", odd(2, "a zero-width space (U+200B)", 4));
        one("[argil]\u{2028}api_key = 'x'\n", odd(1, "a line separator (U+2028)", 8));
        one("[argil]\n\u{c}\napi_key = 'x'\n", odd(2, "a form feed (U+000C)", 1));
        one("[web]\nthumbnails = tr\u{ad}ue\n", odd(2, "a soft hyphen (U+00AD)", 16));
        let alone = "1: invalid TOML: a carriage return (U+000D) stands without a line feed";
        check("[argil]\rapi_key = 'x'\r[poll]\rmissing = '1m'\r", &[alone]);
        // What is odd and in no one's way is left alone.
        check(
            "[web]\nthumbnails = true1 # a\u{a0}b “c”\n",
            &["2: invalid TOML: invalid boolean, expected `true`"],
        );
    }

    #[test]
    fn a_mark_before_the_text_and_odd_characters_in_texts_are_no_damage() {
        let text = "argil.api_key = 'key'\n# a\u{a0}“b”\u{feff}\n[[avatars]]\nid = 'a1'\n\
                    name = 'Jane\u{a0}“Doe”'\n";
        assert!(read_with(text, &[]).is_ok());
    }
}
