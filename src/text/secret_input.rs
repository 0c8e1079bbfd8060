//! Cleans and validates the text of a secret, for all sources.
//!
//! Trailing line breaks and a byte order mark are removed, and nothing else is changed. Lines are
//! never joined. Invalid characters are reported by name and position; the secret is never shown.

use crate::text::encoding::{EncodingError, decode};
use crate::text::odd_character::OddCharacter;

/// The kind of a secret, which decides the allowed characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
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
pub(crate) enum SecretError {
    #[error("is empty")]
    Empty,
    #[error("{0}")]
    Encoding(EncodingError),
    #[error("has more than {BYTES_MAX} bytes")]
    Long,
    #[error("has more than one line")]
    Lines,
    #[error("{} with {character}", if *.behind { "ends" } else { "begins" })]
    Around {
        character: OddCharacter,
        /// Whether it follows the text.
        behind: bool,
    },
    #[error("has {character} in it, as character {place}")]
    Inside {
        character: OddCharacter,
        /// The position, counted from one.
        place: usize,
    },
    #[error("has a character beyond ASCII in it, as character {place}")]
    BeyondAscii {
        /// The position, counted from one.
        place: usize,
    },
    #[error("stands in quotes, which are taken for a part of it")]
    Quoted,
    #[error("ends with a `\\n` that is written out, as a backslash and a letter")]
    WrittenOut,
}

impl SecretError {
    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::Empty => "put the secret there",
            Self::Encoding(fault) => fault.help(),
            Self::Long => "check the source; a secret is one short line",
            Self::Lines => "a secret is one line; remove the other lines",
            Self::Around { .. } => "remove it; only line breaks at the end are ignored",
            Self::Inside { .. } => "copy the secret again, or retype that character",
            Self::BeyondAscii { .. } => "copy the secret again; only ASCII can be sent",
            Self::Quoted => {
                "remove the quotes; `docker run --env-file` and files of secrets keep them"
            }
            Self::WrittenOut => "remove it; `printf %s` writes a secret without it",
        }
    }
}

/// The secret in the bytes.
pub(crate) fn clean(bytes: &[u8], kind: SecretKind) -> Result<&str, SecretError> {
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

/// Whether a text is in quotes, as if the syntax of another file removed them.
pub(crate) fn is_quoted(text: &str) -> bool {
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

/// The character if it is invalid: at an end of the text, or anywhere.
fn refused(char: char, kind: SecretKind, at_end: bool) -> Option<OddCharacter> {
    let odd = OddCharacter::of(char)?;
    let seen = odd.is_visible();
    let fits = match kind {
        // Quotes and full-width letters are reported by their names.
        SecretKind::Key | SecretKind::Url => seen,
        SecretKind::Header | SecretKind::Password => seen || (char == ' ' && !at_end),
    };
    (!fits).then_some(odd)
}

/// Line breaks (Unicode, section 5.8), except the form feed, which has a name of its own.
const LINE_BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
const BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
#[path = "secret_input_tests.rs"]
mod tests;
