//! What a query asks for: checked values, or a problem that says how to mend it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};

use crate::text::sanitize::sanitize_line;
use crate::web::cursor::Cursor;
use crate::web::problem::ProblemDetails;

/// The parameters of a query; of one that is repeated the last one counts.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

/// No parameters at all, where none is known.
#[derive(Debug)]
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ProblemDetails> {
        Query::parse_strict(&parts.uri, &[]).map(|_| Self)
    }
}

impl Query {
    /// The parameters of a request, when all of them are known: a filter that is misspelt would
    /// else let everything through.
    ///
    /// # Errors
    /// When one is not known.
    pub fn parse_strict(uri: &Uri, known: &[&str]) -> Result<Self, ProblemDetails> {
        let asked = Self::parse_lenient(uri);
        let Some((name, _)) = asked.0.iter().find(|(name, _)| !known.contains(&name.as_str()))
        else {
            return Ok(asked);
        };
        let name = sanitize_line(name, SHOWN_CHARS_MAX);
        let help = match known {
            [] => "this place takes no parameters".to_owned(),
            known => format!("known are `{}`", known.join("`, `")),
        };
        let detail = format!("`{name}` is no parameter here; {help}");
        Err(ProblemDetails::new(StatusCode::BAD_REQUEST, detail))
    }

    /// The parameters of a request, whatever they are.
    pub fn parse_lenient(uri: &Uri) -> Self {
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
    pub fn limit(&self) -> Result<u32, ProblemDetails> {
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
    pub fn seq(&self, name: &str) -> Result<Option<i64>, ProblemDetails> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(place) if place >= 0 => Ok(Some(place)),
            Ok(_) | Err(_) => Err(wrong(name, &text, "a whole number that is not negative")),
        }
    }

    /// The cursor of a listener, if it is given.
    ///
    /// # Errors
    /// When it is none.
    pub fn cursor(&self, name: &str) -> Result<Option<Cursor>, ProblemDetails> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let help = "a whole number that is not negative, or the id of an event";
        Cursor::parse(&text).map(Some).ok_or_else(|| wrong(name, &text, help))
    }

    /// A text that has a form, if it is given.
    ///
    /// # Errors
    /// When it has not.
    pub fn parsed(
        &self,
        name: &str,
        is_good: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, ProblemDetails> {
        match self.text(name) {
            Some(text) if !is_good(&text) => Err(wrong(name, &text, "one that exists")),
            text => Ok(text),
        }
    }

    /// One of some words, if it is given.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<String>, ProblemDetails> {
        match self.text(name) {
            Some(text) if !words.contains(&text.as_str()) => {
                Err(wrong(name, &text, &format!("one of `{}`", words.join("`, `"))))
            }
            text => Ok(text),
        }
    }
}

fn wrong(name: &str, text: &str, help: &str) -> ProblemDetails {
    let text = sanitize_line(text, SHOWN_CHARS_MAX);
    ProblemDetails::new(StatusCode::BAD_REQUEST, format!("`{name}` is `{text}`; write {help}"))
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
        let asked = |query: &str| Query::parse_lenient(&format!("/x?{query}").parse().unwrap());
        assert_eq!(asked("").limit(), Ok(LIMIT));
        assert_eq!(asked("limit=1&limit=500").limit(), Ok(500));
        for bad in ["0", "501", "-1", "ten", "", "1.0"] {
            assert!(asked(&format!("limit={bad}")).limit().is_err(), "{bad}");
        }
        assert_eq!(asked("before=7").seq("before"), Ok(Some(7)));
        assert!(asked("before=-7").seq("before").is_err());
        assert_eq!(asked("state=a%20b").text("state").as_deref(), Some("a b"));
        assert!(asked("after=7-").cursor("after").is_err());
        let problem = asked("state=x").one_of("state", &["a", "b"]).unwrap_err();
        assert_eq!(problem.detail, "`state` is `x`; write one of `a`, `b`");
    }

    #[test]
    fn what_is_misspelt_is_not_passed_over() {
        let check = |query: &str, known: &[&str], expected: Result<(), &str>| {
            let asked = Query::parse_strict(&format!("/x{query}").parse().unwrap(), known);
            let said = asked.map(|_| ()).map_err(|problem| problem.detail);
            assert_eq!(said, expected.map_err(str::to_owned), "{query}");
        };
        check("", &[], Ok(()));
        check("?", &[], Ok(()));
        check("?limit=1&status=x", &["limit", "status"], Ok(()));
        let known = "`stauts` is no parameter here; known are `limit`, `status`";
        check("?limit=1&stauts=x", &["limit", "status"], Err(known));
        let none = "`a` is no parameter here; this place takes no parameters";
        check("?a", &[], Err(none));
        let blank = "`` is no parameter here; this place takes no parameters";
        check("?%0D%0A=1", &[], Err(blank));
    }
}
