//! Numbers with a noun.

use std::fmt::Display;

/// A number with its noun: `1 avatar`, `2 avatars`, `2 deliveries`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    match noun.strip_suffix("ry") {
        _ if number == N::from(1) => format!("{number} {noun}"),
        Some(stem) => format!("{number} {stem}ries"),
        None => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!(
            [0, 1, 2].map(|n| counted(n, "delivery")),
            ["0 deliveries", "1 delivery", "2 deliveries"]
        );
        assert_eq!([1, 2].map(|n| counted(n, "avatar")), ["1 avatar", "2 avatars"]);
    }
}
