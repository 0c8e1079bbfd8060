//! Names of characters that an editor does not show, or that resemble others.

use std::fmt;

use crate::text::sanitize::is_blank;

/// An invisible character, or one that resembles another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OddCharacter(char);

impl OddCharacter {
    /// The character, if it is one of these; spaces, tabs and line ends are included.
    pub(crate) fn of(char: char) -> Option<Self> {
        let hides = is_blank(char.encode_utf8(&mut [0; 4]));
        (hides || is_lookalike(char) || is_nothing(char)).then_some(Self(char))
    }

    /// Whether it is visible, and only resembles another.
    pub(crate) const fn is_visible(self) -> bool {
        is_lookalike(self.0)
    }

    const fn name(self) -> &'static str {
        match self.0 {
            '\0' => "NUL",
            '\t' => "a tab",
            '\n' => "a line break",
            '\u{b}' => "a vertical tab",
            '\u{c}' => "a form feed",
            '\r' => "a carriage return",
            '\u{1b}' => "an escape",
            ' ' => "a blank",
            '\u{85}' => "a next-line character",
            '\u{a0}' => "a no-break space",
            '\u{ad}' => "a soft hyphen",
            '\u{200b}' => "a zero-width space",
            '\u{200c}' | '\u{200d}' => "a zero-width joiner",
            '\u{2028}' => "a line separator",
            '\u{2029}' => "a paragraph separator",
            '\u{202f}' => "a narrow no-break space",
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => "an invisible mark of direction",
            '\u{2060}' => "an invisible word joiner",
            '\u{3000}' => "a wide space",
            '\u{feff}' => "a byte order mark",
            '\u{fffd}' => "a replacement character",
            '‘' | '’' | '‚' | '‛' | '“' | '”' | '„' | '‟' | '«' | '»' => {
                "a curly quote"
            }
            '\u{2010}'..='\u{2015}' | '\u{2212}' => "a dash that is no hyphen",
            '\u{ff01}'..='\u{ff5e}' => "a wide letter or sign",
            '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => "an unusual space",
            '\u{1}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => "a control character",
            _ => "an invisible character",
        }
    }
}

impl fmt::Display for OddCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ' ' | '\t' => f.write_str(self.name()),
            char => write!(f, "{} (U+{:04X})", self.name(), u32::from(char)),
        }
    }
}

/// Quotes and dashes of word processors, and full-width forms of ASCII from input methods.
const fn is_lookalike(char: char) -> bool {
    matches!(
        char,
        '‘' | '’'
            | '‚'
            | '‛'
            | '“'
            | '”'
            | '„'
            | '‟'
            | '«'
            | '»'
            | '\u{2010}'..='\u{2015}'
            | '\u{2212}'
            | '\u{ff01}'..='\u{ff5e}'
    )
}

/// The replacement character, and code points that are not characters.
const fn is_nothing(char: char) -> bool {
    char == '\u{fffd}' || matches!(char, '\u{fdd0}'..='\u{fdef}') || char as u32 & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invisible_character_has_a_name() {
        let check = |char: char, expected: &str| {
            let named = OddCharacter::of(char).map(|it| it.to_string());
            assert_eq!(named.unwrap_or_default(), expected, "{char:?}");
        };
        check('\u{a0}', "a no-break space (U+00A0)");
        check('\u{feff}', "a byte order mark (U+FEFF)");
        check('\0', "NUL (U+0000)");
        check('\u{2028}', "a line separator (U+2028)");
        check('\u{202e}', "an invisible mark of direction (U+202E)");
        check('“', "a curly quote (U+201C)");
        check('–', "a dash that is no hyphen (U+2013)");
        check('＝', "a wide letter or sign (U+FF1D)");
        check('\u{fffd}', "a replacement character (U+FFFD)");
        check('\u{1ffff}', "an invisible character (U+1FFFF)");
        check('\u{3164}', "an invisible character (U+3164)");
        check(' ', "a blank");
        for plain in ['a', '~', 'é', '한', '"', '\'', '👩'] {
            check(plain, "");
        }
    }
}
