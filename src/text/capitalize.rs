//! The first letter of a sentence.

/// `text` with its first character in upper case.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_letter_changes() {
        let check = |text, expected| assert_eq!(capitalized(text), expected);
        check("", "");
        check("the API answered 500", "The API answered 500");
        check("`df` shows it", "`df` shows it");
        check("élan", "Élan");
    }
}
