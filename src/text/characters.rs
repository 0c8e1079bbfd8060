//! The characters that text from outside is not shown with. The only table of them.

/// Whether a terminal obeys the character, or it reorders, hides or forges other text: control
/// characters (C0, C1 and DEL), the separators of lines and paragraphs, what turns the direction of
/// writing, annotations, tags, the blank of braille, and everything else that shows nothing, as
/// [Unicode](https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt) has it in
/// `Default_Ignorable_Code_Point`, but for [joiners and selectors](is_filler).
pub fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e00ff}'
                | '\u{e01f0}'..='\u{e0fff}'
        )
}

/// Whether the character shows nothing by itself and belongs to the text around it: what joins
/// letters and emoji, or chooses their form.
pub fn is_filler(char: char) -> bool {
    matches!(
        char,
        '\u{34f}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200c}'
            | '\u{200d}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Any text, mostly of invisible characters.
#[cfg(test)]
pub(crate) fn hostile_texts() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;

    let is_hidden = |char: &char| is_unsafe(*char) || is_filler(*char);
    let hidden: Vec<char> = ('\0'..=char::MAX).filter(is_hidden).collect();
    let any = prop_oneof![prop::sample::select(hidden), any::<char>()];
    prop::collection::vec(any, 0..40).prop_map(|chars| chars.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_hides_or_reorders_text_is_unsafe_and_letters_are_not() {
        let unsafe_ranges = [
            ('\0', '\u{1f}'),
            ('\u{7f}', '\u{9f}'),
            ('\u{200e}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{e0000}', '\u{e007f}'),
        ];
        for (first, last) in unsafe_ranges {
            assert!((first..=last).all(is_unsafe), "{first:?} to {last:?}");
        }
        assert!("\u{61c}\u{200b}\u{feff}\u{fff9}".chars().all(is_unsafe));
        // They take the place of a letter and show none.
        assert!("\u{ad}\u{115f}\u{1160}\u{17b4}\u{2800}\u{3164}\u{ffa0}".chars().all(is_unsafe));
        let shown = "Jané Ωмега 你好 مرحبا שלום 한국 👩\u{200d}🚀 ❤\u{fe0f} \u{a0}\u{3000}";
        assert!(!shown.chars().any(is_unsafe));
        // None is both.
        assert!(!('\0'..=char::MAX).any(|char| is_unsafe(char) && is_filler(char)));
    }
}
