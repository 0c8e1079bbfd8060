//! What a query asks for: checked values, or a problem that says how to mend it.

use axum::http::{StatusCode, Uri};

use crate::domain::foreign_text::one_line;
use crate::web::answer::Problem;

/// The parameters of a query; of one that is repeated the last one counts.
#[derive(Debug)]
pub struct Asked(Vec<(String, String)>);

impl Asked {
    /// The parameters of a request.
    pub fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A text, if it is given.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.iter().rev().find(|(it, _)| it == name).map(|(_, value)| value.clone())
    }

    /// How many rows at most.
    ///
    /// # Errors
    /// When it is no number, or out of range.
    pub fn limit(&self) -> Result<u32, Problem> {
        let Some(text) = self.text("limit") else { return Ok(LIMIT) };
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => {
                Err(wrong("limit", &text, &format!("a number from 1 to {LIMIT_MAX}")))
            }
        }
    }

    /// The place of a transition, if it is given.
    ///
    /// # Errors
    /// When it is none.
    pub fn place(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(place) if place >= 0 => Ok(Some(place)),
            Ok(_) | Err(_) => Err(wrong(name, &text, "a whole number that is not negative")),
        }
    }

    /// A text that has a form, if it is given.
    ///
    /// # Errors
    /// When it has not.
    pub fn parsed(
        &self,
        name: &str,
        is_good: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Problem> {
        match self.text(name) {
            Some(text) if !is_good(&text) => Err(wrong(name, &text, "one that exists")),
            text => Ok(text),
        }
    }

    /// One of some words, if it is given.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<String>, Problem> {
        match self.text(name) {
            Some(text) if !words.contains(&text.as_str()) => {
                Err(wrong(name, &text, &format!("one of `{}`", words.join("`, `"))))
            }
            text => Ok(text),
        }
    }
}

fn wrong(name: &str, text: &str, help: &str) -> Problem {
    let text = one_line(text, SHOWN_CHARS_MAX);
    Problem::new(StatusCode::BAD_REQUEST, format!("`{name}` is `{text}`; write {help}"))
}

/// Rows of a page, unless it says otherwise.
pub const LIMIT: u32 = 100;
/// Rows of a page at most.
pub const LIMIT_MAX: u32 = 500;
const SHOWN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let asked = |query: &str| Asked::of(&format!("/x?{query}").parse().unwrap());
        assert_eq!(asked("").limit(), Ok(LIMIT));
        assert_eq!(asked("limit=1&limit=500").limit(), Ok(500));
        for bad in ["0", "501", "-1", "ten", "", "1.0"] {
            assert!(asked(&format!("limit={bad}")).limit().is_err(), "{bad}");
        }
        assert_eq!(asked("before=7").place("before"), Ok(Some(7)));
        assert!(asked("before=-7").place("before").is_err());
        assert_eq!(asked("state=a%20b").text("state").as_deref(), Some("a b"));
        let problem = asked("state=x").one_of("state", &["a", "b"]).unwrap_err();
        assert_eq!(problem.detail, "`state` is `x`; write one of `a`, `b`");
    }
}
