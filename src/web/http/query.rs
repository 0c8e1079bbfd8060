//! Query parameters: validated values, or a problem that says how to fix them.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};

use crate::text::sanitize::sanitize_line;
use crate::web::cursor::Cursor;
use crate::web::http::problem::ProblemDetails;

/// A segment of the path; an error when it is not UTF-8.
pub(in crate::web) type PathSegment = Result<Path<String>, PathRejection>;

/// The parameters of a query; the last one of a repeated name counts.
#[derive(Debug)]
pub(in crate::web) struct Query(Vec<(String, String)>);

/// Extractor of endpoints without parameters.
#[derive(Debug)]
pub(in crate::web) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ProblemDetails> {
        Query::parse_strict(&parts.uri, &[]).map(|_| Self)
    }
}

impl Query {
    /// The parameters of a request; rejects unknown ones, because a misspelt filter would match
    /// everything.
    pub(in crate::web) fn parse_strict(uri: &Uri, known: &[&str]) -> Result<Self, ProblemDetails> {
        let query = Self::parse_lenient(uri);
        let Some((name, _)) = query.0.iter().find(|(name, _)| !known.contains(&name.as_str()))
        else {
            return Ok(query);
        };
        let name = sanitize_line(name, SHOWN_CHARS_MAX);
        let help = match known {
            [] => "this endpoint takes no query parameters".to_owned(),
            known => format!("known parameters: `{}`", known.join("`, `")),
        };
        let detail = format!("unknown query parameter `{name}`; {help}");
        Err(ProblemDetails::new(StatusCode::BAD_REQUEST, detail))
    }

    /// The parameters of a request, including unknown ones.
    pub(in crate::web) fn parse_lenient(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(in crate::web) fn text(&self, name: &str) -> Option<String> {
        self.0.iter().rev().find(|(it, _)| it == name).map(|(_, value)| value.clone())
    }

    pub(in crate::web) fn limit(&self) -> Result<u32, ProblemDetails> {
        let Some(text) = self.text("limit") else { return Ok(LIMIT) };
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => {
                Err(wrong("limit", &text, &format!("a number from 1 to {LIMIT_MAX}")))
            }
        }
    }

    pub(in crate::web) fn seq(&self, name: &str) -> Result<Option<i64>, ProblemDetails> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(seq) if seq >= 0 => Ok(Some(seq)),
            Ok(_) | Err(_) => Err(wrong(name, &text, "a non-negative integer")),
        }
    }

    pub(in crate::web) fn cursor(&self, name: &str) -> Result<Option<Cursor>, ProblemDetails> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let help = "a non-negative integer, or the id of an event of the stream";
        Cursor::parse(&text).map(Some).ok_or_else(|| wrong(name, &text, help))
    }

    /// A text parameter that `is_valid` accepts.
    pub(in crate::web) fn parsed(
        &self,
        name: &str,
        is_valid: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, ProblemDetails> {
        match self.text(name) {
            Some(text) if !is_valid(&text) => Err(wrong(name, &text, "one that exists")),
            text => Ok(text),
        }
    }

    /// A text parameter with a fixed set of values.
    pub(in crate::web) fn one_of(
        &self,
        name: &str,
        values: &[&str],
    ) -> Result<Option<String>, ProblemDetails> {
        match self.text(name) {
            Some(text) if !values.contains(&text.as_str()) => {
                Err(wrong(name, &text, &format!("one of `{}`", values.join("`, `"))))
            }
            text => Ok(text),
        }
    }
}

fn wrong(name: &str, text: &str, help: &str) -> ProblemDetails {
    let text = sanitize_line(text, SHOWN_CHARS_MAX);
    ProblemDetails::new(StatusCode::BAD_REQUEST, format!("`{name}` is `{text}`; write {help}"))
}

pub(in crate::web) const LIMIT: u32 = 100;
pub(in crate::web) const LIMIT_MAX: u32 = 500;
const SHOWN_CHARS_MAX: usize = 64;

/// Cuts rows to `limit`; also returns whether there are more.
pub(in crate::web) fn cut<T>(mut rows: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    (rows, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let parse = |query: &str| Query::parse_lenient(&format!("/x?{query}").parse().unwrap());
        assert_eq!(parse("").limit(), Ok(LIMIT));
        assert_eq!(parse("limit=1&limit=500").limit(), Ok(500));
        for bad in ["0", "501", "-1", "ten", "", "1.0"] {
            assert!(parse(&format!("limit={bad}")).limit().is_err(), "{bad}");
        }
        assert_eq!(parse("before=7").seq("before"), Ok(Some(7)));
        assert!(parse("before=-7").seq("before").is_err());
        assert_eq!(parse("state=a%20b").text("state").as_deref(), Some("a b"));
        assert!(parse("after=7-").cursor("after").is_err());
        let problem = parse("state=x").one_of("state", &["a", "b"]).unwrap_err();
        assert_eq!(problem.detail, "`state` is `x`; write one of `a`, `b`");
    }

    #[test]
    fn unknown_parameters_are_rejected() {
        let check = |query: &str, known: &[&str], expected: Result<(), &str>| {
            let parsed = Query::parse_strict(&format!("/x{query}").parse().unwrap(), known);
            let detail = parsed.map(|_| ()).map_err(|problem| problem.detail);
            assert_eq!(detail, expected.map_err(str::to_owned), "{query}");
        };
        check("", &[], Ok(()));
        check("?", &[], Ok(()));
        check("?limit=1&status=x", &["limit", "status"], Ok(()));
        let known = "unknown query parameter `stauts`; known parameters: `limit`, `status`";
        check("?limit=1&stauts=x", &["limit", "status"], Err(known));
        let none = "unknown query parameter `a`; this endpoint takes no query parameters";
        check("?a", &[], Err(none));
        let blank = "unknown query parameter ``; this endpoint takes no query parameters";
        check("?%0D%0A=1", &[], Err(blank));
    }
}
