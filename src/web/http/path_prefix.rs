//! The path below which a proxy serves the page: the path of `public_url`.
//!
//! Requests are accepted with and without it, since a proxy may remove it. Pages and redirects
//! always contain it, so that links work in the browser.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::web::state::AppState;

pub(super) async fn apply(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let prefix = state.config().path_prefix.clone();
    if prefix.is_empty() {
        return next.run(request).await;
    }
    if let Some(uri) = without(request.uri(), &prefix) {
        *request.uri_mut() = uri;
    }
    let mut response = next.run(request).await;
    let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
    if let Some(path) = location.filter(|it| it.starts_with('/'))
        && let Ok(location) = HeaderValue::from_str(&format!("{prefix}{path}"))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"text/html")) {
        return with_links(response, &prefix).await;
    }
    response
}

/// The URI without the prefix; `None` if it does not begin with it.
fn without(uri: &Uri, prefix: &str) -> Option<Uri> {
    let path_and_query = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    let path_and_query = match path_and_query.chars().next() {
        Some('/') => path_and_query.to_owned(),
        None | Some('?') => format!("/{path_and_query}"),
        Some(_) => return None,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Adds the prefix to the links of a page. Text from outside contains no `"` there.
async fn with_links(response: Response, prefix: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, PAGE_BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut page = String::from_utf8_lossy(&bytes).into_owned();
    for link in ["href=\"/", "src=\"/", "action=\"/"] {
        let start = link.trim_end_matches('/');
        page = page.replace(link, &format!("{start}{prefix}/"));
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(page))
}

/// More than any page has.
const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_removed_from_its_own_paths_only() {
        let check = |uri: &str, expected: Option<&str>| {
            let found = without(&uri.parse().unwrap(), "/argil");
            assert_eq!(found.map(|it| it.to_string()).as_deref(), expected, "{uri}");
        };
        check("/argil/avatars/a1?x=1", Some("/avatars/a1?x=1"));
        check("/argil/", Some("/"));
        check("/argil", Some("/"));
        check("/argil?state=dead", Some("/?state=dead"));
        check("/argilx/avatars", None);
        check("/avatars/argil", None);
    }
}
