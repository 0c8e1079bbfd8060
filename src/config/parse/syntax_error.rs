//! Damage: text that is no TOML, told in words, and how far it reaches.
//!
//! The parser goes on after an error as well as it can; what it makes of the lines that the
//! damage swallowed is not to be trusted.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::Error;

use crate::config::parse::document::{Document, Location};
use crate::config::parse::duration;
use crate::config::parse::field::shown;
use crate::text::odd_character::OddCharacter;

/// Reports the parser's errors, which come in the order of the text. A character that cannot be
/// seen, or looks like another one, is told as what it is, and once.
pub(in crate::config) fn syntax_error(reader: &Document<'_>, errors: &[Error]) {
    let mut told = BTreeSet::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        match culprit(reader.text, &span) {
            Some((offset, character)) => {
                if told.insert(line_end_alone(reader.text, offset).unwrap_or(offset)) {
                    report_character(reader, offset, character);
                }
            }
            None => report_error(reader, error, span),
        }
    }
}

/// The odd character that the parser stumbled over: in what it names, or right beside it.
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

/// Where the first of the carriage returns stands that end lines alone, if this is one of them:
/// they are all over the file, and told once.
fn line_end_alone(text: &str, offset: usize) -> Option<usize> {
    let is_one = text.get(offset..)?.starts_with('\r');
    is_one.then(|| text.find('\r').unwrap_or(offset))
}

fn report_character(reader: &Document<'_>, offset: usize, character: OddCharacter) {
    let before = reader.text.get(..offset).unwrap_or_default();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    let place = Location { key: String::new(), span: Some(offset..offset) };
    if line_end_alone(reader.text, offset).is_some() {
        let message = format!("this is no TOML: {character} stands without a line feed");
        let help = "save the file with the line ends of Unix or Windows (LF or CRLF)";
        let swallowed = reader.text.lines().count();
        return reader.syntax_error(&place, &message, Some(help.to_owned()), swallowed);
    }
    let message = format!("this is no TOML: {character} stands here, at column {column}");
    let help = match character.is_visible() {
        true => "write the plain sign of ASCII in its place, such as `\"`, `-` or `=`",
        false => "take it away, or type a usual blank; many editors do not show it",
    };
    reader.syntax_error(&place, &message, Some(help.to_owned()), 0);
}

fn report_error(reader: &Document<'_>, error: &Error, span: Range<usize>) {
    let place = Location { key: String::new(), span: Some(span.clone()) };
    let before = reader.text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mut lines = reader.text.get(line_start..).unwrap_or_default().lines();
    let line = lines.next().unwrap_or_default();
    let message = format!("this is no TOML: {}", error.message());
    if error.message() == "duplicate key" {
        let key = shown(reader.text.get(span).unwrap_or_default());
        let message = format!("`{key}` stands twice in its table");
        reader.syntax_error(&place, &message, Some("take one of them out".to_owned()), 0);
    } else if error.message().contains("unclosed") {
        let swallowed = lines.take_while(|line| !is_header(line)).count();
        reader.syntax_error(&place, &message, None, swallowed);
    } else if error.message().contains("missing comma") && (is_header(line) || is_pair(line)) {
        let help = "is the list or table above it closed? what follows is read after that";
        reader.syntax_error(&place, &message, Some(help.to_owned()), lines.count());
    } else {
        reader.syntax_error(&place, &message, bare_duration(line), 0);
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

#[cfg(test)]
mod tests {
    use crate::config::file::tests::read_with;

    /// Takes what is said of a text, without its helps.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let problems = read_with(text, &[]).unwrap_err();
        let said: Vec<String> = problems
            .iter()
            .filter(|problem| problem.key.is_empty())
            .map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned())
            .collect();
        let expected: Vec<String> = expected.iter().map(|it| format!("config.toml:{it}")).collect();
        assert_eq!(said, expected, "for {text:?}");
    }

    #[test]
    fn what_no_editor_shows_is_told_by_its_name_and_place_and_once() {
        let odd = |line: usize, name: &str, column: usize| {
            format!("{line}: this is no TOML: {name} stands here, at column {column}")
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
        let alone = "1: this is no TOML: a carriage return (U+000D) stands without a line feed";
        check("[argil]\rapi_key = 'x'\r[poll]\rmissing = '1m'\r", &[alone]);
        // What is odd and in no one's way is left alone.
        check(
            "[web]\nthumbnails = true1 # a\u{a0}b “c”\n",
            &["2: this is no TOML: invalid boolean, expected `true`"],
        );
    }

    #[test]
    fn a_mark_before_the_text_and_odd_characters_in_texts_are_no_damage() {
        let text = "argil.api_key = 'key'\n# a\u{a0}“b”\u{feff}\n[[avatars]]\nid = 'a1'\n\
                    name = 'Jane\u{a0}“Doe”'\n";
        assert!(read_with(text, &[]).is_ok());
    }
}
