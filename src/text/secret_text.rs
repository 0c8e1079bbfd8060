//! The text of a secret, made fit for use: one rule, wherever it comes from.
//!
//! What always holds: line ends behind it and a byte order mark before it are taken off, and
//! nothing else is changed; several lines are never joined; what cannot be in such a secret is
//! refused by its name and its place, and never shown.

use crate::text::encoding::{EncodingError, decode};
use crate::text::odd_character::OddCharacter;

/// What kind of secret it is, and so what can be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A key or token: visible ASCII (RFC 6750, section 2.1).
    Key,
    /// The value of a header: ASCII, with blanks inside (RFC 9110, section 5.5).
    Header,
    /// A password: any characters that a prepared one can have (RFC 4013, section 2).
    Password,
    /// A URL: no blanks; letters beyond ASCII become a part of it as browsers do it.
    Url,
}

/// Why a text is no secret of its kind; it never repeats a visible part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing is there, or nothing but line ends.
    #[error("is empty")]
    Empty,
    /// It cannot be read as text.
    #[error("{0}")]
    Encoding(EncodingError),
    /// More than anybody's secret has.
    #[error("has more than {BYTES_MAX} bytes")]
    Long,
    /// A line end before it or in it.
    #[error("has more than one line")]
    Lines,
    /// A character around it that is blank or cannot be seen.
    #[error("{} with {character}", if *.behind { "ends" } else { "begins" })]
    Around {
        /// Which.
        character: OddCharacter,
        /// Whether it stands behind the text, and not before it.
        behind: bool,
    },
    /// A character in it that cannot be there.
    #[error("has {character} in it, as character {place}")]
    Inside {
        /// Which.
        character: OddCharacter,
        /// Where, counted from one.
        place: usize,
    },
    /// A visible character beyond ASCII.
    #[error("has a character beyond ASCII in it, as character {place}")]
    BeyondAscii {
        /// Where, counted from one.
        place: usize,
    },
    /// The quotes of another file's grammar.
    #[error("stands in quotes, which are taken for a part of it")]
    Quoted,
    /// A line end that was written out.
    #[error("ends with a `\\n` that is written out, as a backslash and a letter")]
    WrittenOut,
}

impl SecretError {
    /// How to mend it.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Empty => "put the secret there",
            Self::Encoding(fault) => fault.help(),
            Self::Long => "is this the right place? a secret is one short line",
            Self::Lines => "a secret is one line: take the others away; lines are never joined",
            Self::Around { .. } => "take it away; only line ends are cut off by themselves",
            Self::Inside { .. } => "copy the secret again, or type that place anew",
            Self::BeyondAscii { .. } => {
                "copy the secret again; what it is sent in cannot carry such a character"
            }
            Self::Quoted => {
                "take the quotes away; `docker run --env-file` and files of secrets keep them"
            }
            Self::WrittenOut => "take it away; `printf %s` writes a secret as it is",
        }
    }
}

/// The secret that the bytes hold.
///
/// # Errors
/// When they are empty, no text, or hold what cannot be in a secret of that kind.
pub fn clean(bytes: &[u8], kind: SecretKind) -> Result<&str, SecretError> {
    let text = decode(bytes).map_err(SecretError::Encoding)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(SecretError::Empty);
    }
    if text.len() > BYTES_MAX {
        return Err(SecretError::Long);
    }
    if text.contains(LINE_BREAKS) {
        return Err(SecretError::Lines);
    }
    let ends = [(text.chars().next(), false), (text.chars().next_back(), true)];
    for (end, behind) in ends {
        if let Some(character) = end.and_then(|char| refused(char, kind, true)) {
            return Err(SecretError::Around { character, behind });
        }
    }
    let strict = matches!(kind, SecretKind::Key | SecretKind::Url);
    if strict && is_quoted(text) {
        return Err(SecretError::Quoted);
    }
    if strict && text.ends_with("\\n") {
        return Err(SecretError::WrittenOut);
    }
    let ascii = matches!(kind, SecretKind::Key | SecretKind::Header);
    for (place, char) in (1..).zip(text.chars()) {
        if let Some(character) = refused(char, kind, false) {
            return Err(SecretError::Inside { character, place });
        }
        if ascii && !char.is_ascii() {
            return Err(SecretError::BeyondAscii { place });
        }
    }
    Ok(text)
}

/// Whether quotes stand around a text, as if another file's grammar took them off.
pub fn is_quoted(text: &str) -> bool {
    let mut chars = text.chars();
    matches!(
        (chars.next(), chars.next_back()),
        (Some('"'), Some('"'))
            | (Some('\''), Some('\''))
            | (Some('`'), Some('`'))
            | (Some('“' | '”' | '„' | '‟'), Some('“' | '”' | '‟'))
            | (Some('‘' | '’' | '‚' | '‛'), Some('‘' | '’' | '‛'))
            | (Some('«'), Some('»'))
            | (Some('»'), Some('«'))
    )
}

/// The character, if it cannot be there: at an end of the text, or anywhere.
fn refused(char: char, kind: SecretKind, at_end: bool) -> Option<OddCharacter> {
    let odd = OddCharacter::of(char)?;
    let seen = odd.is_visible();
    let fits = match kind {
        // Quotes and wide letters are told as what they are.
        SecretKind::Key | SecretKind::Url => seen,
        SecretKind::Header | SecretKind::Password => seen || (char == ' ' && !at_end),
    };
    (!fits).then_some(odd)
}

/// What ends a line, here or there (Unicode, section 5.8), but for the form feed, which has a name
/// of its own.
const LINE_BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
const BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
#[path = "secret_text_tests.rs"]
mod tests;
