//! Masks secrets in untrusted text before it is stored or shown.
//!
//! A service may repeat the secrets that it was sent. They are recognized in other case or width;
//! with blanks, line breaks and invisible characters between; encoded for URLs, HTML, mail, JSON
//! and other languages, also nested; in hexadecimal digits or base64, also within other data; and
//! by their beginning, where the text was cut. Other text is not changed. The mask does not protect
//! against a service that encodes a secret deliberately.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::text::sanitize::is_blank_char;

/// A mask for a set of secrets.
#[derive(Clone, Default)]
pub struct Mask {
    /// The secrets in the forms that are searched, normalized.
    forms: Vec<Vec<char>>,
    /// The letters and digits of long secrets, which are matched in sequence, whatever is between.
    bare: Vec<Vec<char>>,
    /// Short secrets, which are matched literally only.
    short: Vec<String>,
}

/// A decoded character of a text, with its location in the text.
#[derive(Clone)]
struct TextUnit {
    char: char,
    place: Range<usize>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}

impl Mask {
    /// A mask for these secrets; empty ones are ignored.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut mask = Self::default();
        for secret in secrets {
            let secret = secret.as_ref();
            if secret.is_empty() {
                continue;
            }
            mask.short.extend((!is_long(&units(secret))).then(|| secret.to_owned()));
            // If a part of it resembles an encoding, that is decoded in texts too.
            let mut rest = Some(units(secret));
            for _ in 0..=CODINGS_MAX {
                let Some(units) = rest.filter(|units| is_long(units)) else { break };
                let form = compared(&units);
                let bare: Vec<char> = bare(&form).iter().map(|unit| unit.char).collect();
                mask.bare.extend((bare.len() >= BARE_CHARS_MIN).then_some(bare));
                mask.forms.push(form.iter().map(|unit| unit.char).collect());
                rest = decoded(&units);
            }
            if mask.short.last().is_none_or(|last| last != secret) {
                mask.forms.extend(encoded(secret.as_bytes()));
            }
        }
        mask.forms.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        mask.forms.dedup();
        mask
    }

    /// The text with `***` for each secret.
    pub fn whole<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.masked(text, None)
    }

    /// A text that its sender may have cut, with `***` for each secret, and for as much of a secret
    /// at its end as no word is by coincidence.
    pub fn received<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.masked(text, Some(COINCIDENCE_CHARS_MIN))
    }

    /// The beginning of a text that goes on, with `***` for each secret, and for the beginning of a
    /// secret at its end.
    pub fn beginning<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.masked(text, Some(BEGINNING_CHARS_MIN))
    }

    fn masked<'t>(&self, text: &'t str, cut_min: Option<usize>) -> Cow<'t, str> {
        // No form has fewer bytes than characters.
        let shortest = self.forms.iter().chain(&self.bare).map(Vec::len).min();
        let shortest = shortest.unwrap_or(usize::MAX);
        if self.short.is_empty() && text.len() < shortest && cut_min.is_none() {
            return text.into();
        }
        let mut places = Vec::new();
        let mut rest = Some(units(text));
        // Each decoded layer may contain another.
        for _ in 0..=CODINGS_MAX {
            let Some(units) = rest else { break };
            let seen = compared(&units);
            self.find(&seen, cut_min, &mut places);
            let bare = bare(&seen);
            self.bare.iter().for_each(|form| places.extend(whole_in(&bare, form)));
            rest = decoded(&units);
        }
        for secret in &self.short {
            places.extend(text.match_indices(secret).map(|(at, it)| at..at + it.len()));
        }
        replaced(text, places)
    }

    /// Adds the locations of secrets, and of a beginning of at least `cut_min` characters at the
    /// end.
    fn find(&self, units: &[TextUnit], cut_min: Option<usize>, places: &mut Vec<Range<usize>>) {
        for form in &self.forms {
            places.extend(whole_in(units, form));
            let same = |units: &[TextUnit]| is_same(units, form);
            let lengths = cut_min.into_iter().flat_map(|min| (min..form.len()).rev());
            let begun = lengths
                .filter_map(|length| units.get(units.len().checked_sub(length)?..))
                .find(|units| same(units));
            places.extend(begun.and_then(around));
        }
    }
}

/// The locations of a form.
fn whole_in(units: &[TextUnit], form: &[char]) -> impl Iterator<Item = Range<usize>> {
    units.windows(form.len()).filter(|units| is_same(units, form)).filter_map(around)
}

fn is_same(units: &[TextUnit], form: &[char]) -> bool {
    units.iter().zip(form).all(|(unit, char)| unit.char == *char)
}

/// Letters and digits alone.
fn bare(units: &[TextUnit]) -> Vec<TextUnit> {
    units.iter().filter(|unit| unit.char.is_alphanumeric()).cloned().collect()
}

fn units(text: &str) -> Vec<TextUnit> {
    let unit = |(at, char): (usize, char)| TextUnit { char, place: at..at + char.len_utf8() };
    text.char_indices().map(unit).collect()
}

/// The characters that are compared: no case, no invisible characters, and no surrogates.
fn compared(units: &[TextUnit]) -> Vec<TextUnit> {
    let is_mark = |char| matches!(char, '\u{300}'..='\u{36f}' | char::REPLACEMENT_CHARACTER);
    let seen = units.iter().filter(|unit| !is_blank_char(unit.char) && !is_mark(unit.char));
    seen.map(|unit| TextUnit { char: fold(unit.char), place: unit.place.clone() }).collect()
}

/// Whether it is long enough to be searched in other forms.
fn is_long(units: &[TextUnit]) -> bool {
    compared(units).len() >= FORM_CHARS_MIN
}

/// Letters without their case and width, hyphens of any kind, and the two letters of base64 in
/// which its alphabets differ.
fn fold(char: char) -> char {
    match char {
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => '+',
        '_' => '/',
        '\u{ff01}'..='\u{ff5e}' => {
            let narrow = char::from_u32(u32::from(char) - WIDE).unwrap_or(char);
            if narrow == '_' { '/' } else { narrow.to_ascii_lowercase() }
        }
        _ => char.to_lowercase().next().unwrap_or(char),
    }
}

/// From the start of the first to the end of the last.
fn around(units: &[TextUnit]) -> Option<Range<usize>> {
    Some(units.first()?.place.start..units.last()?.place.end)
}

/// A secret in hexadecimal digits and in base64, normalized; of base64 the part that does not
/// depend on adjacent bytes.
fn encoded(secret: &[u8]) -> Vec<Vec<char>> {
    let compared = |text: &str| text.chars().map(fold).collect::<Vec<char>>();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![compared(&hex), compared(&STANDARD.encode(secret))];
    for before in 0..3 {
        let bytes = [&[0; 3][..before], secret].concat();
        let text = STANDARD.encode(&bytes);
        let sure = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        let sure = text.get(sure).unwrap_or_default();
        if sure.len() >= BASE64_CHARS_MIN {
            forms.push(compared(sure));
        }
    }
    forms
}

/// The text with one layer of `%41`, `&#65;`, `\u0041` and similar decoded; `None` if there is
/// none.
fn decoded(units: &[TextUnit]) -> Option<Vec<TextUnit>> {
    let mut out = Vec::with_capacity(units.len());
    let mut rest = units;
    let mut is_coded = false;
    while let Some(first) = rest.first() {
        let read = match first.char {
            '%' => of_url(rest),
            '=' => of_mail(rest),
            '&' => of_html(rest),
            '\\' => of_json(rest),
            _ => None,
        };
        let (text, used) = read.unwrap_or_else(|| (first.char.to_string(), 1));
        is_coded |= used > 1;
        let (read, more) = rest.split_at(used);
        if let Some(place) = around(read) {
            out.extend(text.chars().map(|char| TextUnit { char, place: place.clone() }));
        }
        rest = more;
    }
    is_coded.then_some(out)
}

/// The bytes of `%xx` in a row (RFC 3986, section 2.1), as text, and how many characters they took;
/// or one `%uxxxx`, as old scripts write it.
fn of_url(units: &[TextUnit]) -> Option<(String, usize)> {
    if units.get(1).is_some_and(|unit| unit.char == 'u') {
        return Some((char::from_u32(number(units.get(2..6)?, 16)?)?.to_string(), 6));
    }
    bytes_after('%', units)
}

/// The bytes of `=xx` in a row, and lines that go on (RFC 2045, section 6.7).
fn of_mail(units: &[TextUnit]) -> Option<(String, usize)> {
    match units.get(1).map(|unit| unit.char) {
        Some('\n') => Some((String::new(), 2)),
        Some('\r') => Some((String::new(), 3.min(units.len()))),
        _ => bytes_after('=', units),
    }
}

fn bytes_after(mark: char, units: &[TextUnit]) -> Option<(String, usize)> {
    let byte = |triple: &[TextUnit]| match triple {
        [first, digits @ ..] if first.char == mark => number(digits, 16),
        _ => None,
    };
    let bytes: Vec<u8> =
        units.chunks_exact(3).map_while(|triple| u8::try_from(byte(triple)?).ok()).collect();
    (!bytes.is_empty()).then(|| (String::from_utf8_lossy(&bytes).into_owned(), bytes.len() * 3))
}

/// A character reference (WHATWG HTML, section 13.5): by its number, with or without an end, or by
/// a common name.
fn of_html(units: &[TextUnit]) -> Option<(String, usize)> {
    if units.get(1)?.char == '#' {
        let is_hex = matches!(units.get(2)?.char, 'x' | 'X');
        let (begin, radix) = if is_hex { (3, 16) } else { (2, 10) };
        let digits = units.get(begin..)?.iter().take(DIGITS_MAX);
        let count = digits.take_while(|unit| unit.char.is_digit(radix)).count();
        let code = number(units.get(begin..begin + count).filter(|it| !it.is_empty())?, radix)?;
        let end = begin + count;
        let is_ended = units.get(end).is_some_and(|unit| unit.char == ';');
        return Some((char::from_u32(code)?.to_string(), end + usize::from(is_ended)));
    }
    let end = units.iter().take(NAME_CHARS_MAX).position(|unit| unit.char == ';')?;
    let name: String = units.get(1..end)?.iter().map(|unit| unit.char).collect();
    let char = match name.to_ascii_lowercase().as_str() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "sol" => '/',
        "plus" => '+',
        "equals" => '=',
        "hyphen" | "dash" => '-',
        "lowbar" => '_',
        "nbsp" | "shy" | "zwj" | "zwnj" | "tab" | "newline" => ' ',
        _ => return None,
    };
    Some((char.to_string(), end + 1))
}

/// What a backslash begins in JSON (RFC 8259, section 7) and in most languages.
fn of_json(units: &[TextUnit]) -> Option<(String, usize)> {
    let kind = units.get(1)?.char;
    if kind.is_digit(8) {
        // Three octal digits, as shells and C have it.
        let count = units[1..].iter().take(3).take_while(|unit| unit.char.is_digit(8)).count();
        let code = number(&units[1..=count], 8)?;
        return Some((char::from_u32(code)?.to_string(), count + 1));
    }
    if kind == 'u' && units.get(2)?.char == '{' {
        let end = units.iter().take(NAME_CHARS_MAX).position(|unit| unit.char == '}')?;
        return Some((char::from_u32(number(units.get(3..end)?, 16)?)?.to_string(), end + 1));
    }
    let digits = match kind {
        'u' => 4,
        'x' => 2,
        'n' | 'r' | 't' | 'b' | 'f' => return Some((" ".to_owned(), 2)),
        kind => return Some((kind.to_string(), 2)),
    };
    let code = |at: usize| number(units.get(at + 2..at + 2 + digits)?, 16);
    let first = code(0)?;
    // Two halves of a pair are one character.
    if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, code(6)) {
        let char = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
        return Some((char.to_string(), 12));
    }
    Some((char::from_u32(first)?.to_string(), 2 + digits))
}

fn number(digits: &[TextUnit], radix: u32) -> Option<u32> {
    let add =
        |sum: u32, unit: &TextUnit| sum.checked_mul(radix)?.checked_add(unit.char.to_digit(radix)?);
    digits.iter().try_fold(0, add)
}

/// The text with one `***` for the masked part and everything that it overlaps.
fn replaced(text: &str, mut places: Vec<Range<usize>>) -> Cow<'_, str> {
    if places.is_empty() {
        return text.into();
    }
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let (mut masked, mut done) = (String::new(), 0);
    let mut places = places.into_iter().peekable();
    while let Some(Range { start, mut end }) = places.next() {
        while let Some(next) = places.next_if(|next| next.start <= end) {
            end = end.max(next.end);
        }
        masked.push_str(&text[done..start]);
        masked.push_str(MASK);
        done = end;
    }
    masked.push_str(&text[done..]);
    masked.into()
}

/// The replacement of a secret.
pub const MASK: &str = "***";
/// Shorter secrets occur in too many texts to be searched in other forms.
const FORM_CHARS_MIN: usize = 4;
/// Fewer letters and digits in a row may be words of a sentence.
const BARE_CHARS_MIN: usize = 12;
/// Fewer characters of a secret give nothing away, and many texts end in them.
const BEGINNING_CHARS_MIN: usize = 3;
/// Fewer characters of a secret at the end of a text may be a word.
const COINCIDENCE_CHARS_MIN: usize = 6;
/// Shorter matches may be coincidence.
const BASE64_CHARS_MIN: usize = 8;
/// How far the wide forms of ASCII are from the usual ones (Unicode, block FF00).
const WIDE: u32 = 0xfee0;
const CODINGS_MAX: usize = 3;
const NAME_CHARS_MAX: usize = 12;
const DIGITS_MAX: usize = 16;

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
