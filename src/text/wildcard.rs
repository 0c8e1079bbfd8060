//! Patterns for names: `*` stands for any text, `?` for one character; neither case nor the
//! encoding of accents matters. A pattern without either matches any name that contains it.

use crate::text::fold::folded;

/// Whether the name is like the pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (folded(pattern), folded(name));
    if !pattern.contains(ANY) {
        return name.contains(&pattern);
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // Where the last `*` stands, and how much of the name it takes so far.
    let (mut at, mut seen, mut last_star) = (0, 0, None);
    while seen < name.len() {
        match (pattern.get(at), last_star) {
            (Some('*'), _) => {
                last_star = Some((at, seen));
                at += 1;
            }
            (Some(char), _) if *char == '?' || Some(char) == name.get(seen) => {
                at += 1;
                seen += 1;
            }
            (_, Some((star, taken))) => {
                last_star = Some((star, taken + 1));
                (at, seen) = (star + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|char| *char == '*')
}

/// The characters that stand for others.
pub(crate) const ANY: [char; 2] = ['*', '?'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_and_a_word_matches_inside() {
        let check = |pattern, name, expected| {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} for {name:?}");
        };
        check("jane*", "Jane, English", true);
        check("jane*", "Mary Jane", false);
        check("*jane", "Mary Jane", true);
        check("*a*n*", "Mary Jane", true);
        check("j?ne", "June", true);
        check("j?ne", "Jne", false);
        check("*", "", true);
        check("?", "e\u{301}", true);
        check("ΓΙΏΡΓΟΣ", "ο γιώργος", true);
        check("strasse*", "Straße 1", true);
        check("jane", "Mary Jane, English", true);
        check("jane", "June", false);
        check("a*b", "aXbXc", false);
        check("a*b", "aXbXb", true);
    }
}
