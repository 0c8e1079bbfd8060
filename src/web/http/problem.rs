//! JSON responses, and problem details (RFC 9457).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::error::StoreError;
use crate::text::escape::escape_json;
use crate::web::http::auth::Denied;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct ProblemDetails {
    pub(in crate::web) status: StatusCode,
    /// What happened and how to fix it.
    pub(in crate::web) detail: String,
}

#[derive(Serialize)]
struct Body9457<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl ProblemDetails {
    pub(in crate::web) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(in crate::web) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: too many requests in progress.
    pub(in crate::web) fn busy() -> Self {
        let busy = "too many requests in progress; try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, busy)
    }

    /// 503: the database cannot be read or written.
    pub(in crate::web) fn of_store(error: &StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<Denied> for ProblemDetails {
    fn from(denied: Denied) -> Self {
        Self::new(denied.status(), denied.text())
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let body = Body9457 { title, status: self.status.as_u16(), detail: &self.detail };
        let mut response = json_as(self.status, "application/problem+json", &body);
        add_challenge(&mut response);
        response
    }
}

/// Adds `WWW-Authenticate` to 401 and `Retry-After` to 503.
pub(in crate::web) fn add_challenge(response: &mut Response) {
    let status = response.status();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let browser = HeaderValue::from_static(r#"Basic realm="avatar-watch", charset="UTF-8""#);
        headers.append(WWW_AUTHENTICATE, browser);
        let bearer = HeaderValue::from_static(r#"Bearer realm="avatar-watch""#);
        headers.append(WWW_AUTHENTICATE, bearer);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
}

/// A value as JSON on one line; characters that hide or reorder text are escaped.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok().map(|text| escape_json(&text))
}

pub(in crate::web) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    json_as(status, "application/json", value)
}

fn json_as<T: Serialize>(status: StatusCode, kind: &'static str, value: &T) -> Response {
    // Our own views can always be serialized.
    let body = json_line(value).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
