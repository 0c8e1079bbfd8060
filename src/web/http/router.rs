//! Router: all routes, with authorization and security headers.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use crate::web::endpoints::api;
use crate::web::endpoints::health;
use crate::web::endpoints::metrics;
use crate::web::endpoints::pages;
use crate::web::http::connection_limit::Slot;
use crate::web::http::path_prefix;
use crate::web::http::problem::ProblemDetails;
use crate::web::state::AppState;

/// The routes of pages, API, metrics, health and `hints`. 404 and 405 require no token: the routes
/// are public knowledge.
pub fn routes(state: AppState, hints: Router) -> Router {
    let guard = |methods: MethodRouter<AppState>| {
        methods.route_layer(middleware::from_fn_with_state(state.clone(), authorize))
    };
    let guarded = Router::new()
        .merge(pages::routes(guard))
        .merge(api::routes(guard))
        .merge(metrics::routes(guard))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let health = health::routes().route_layer(middleware::from_fn(check));
    let open = health.merge(pages::assets());
    let all = guarded.merge(open).with_state(state.clone()).merge(hints);
    let all = all
        .layer(middleware::from_fn_with_state(state.clone(), check_request))
        .layer(middleware::from_fn_with_state(state.clone(), security_headers));
    // Outside of the routes, which see the path without the prefix.
    Router::new()
        .fallback_service(all)
        .layer(middleware::from_fn_with_state(state, path_prefix::apply))
}

/// The checks of every route.
async fn check_request(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let hostless = health::PATHS.contains(&request.uri().path());
    match state.config().rules.check_request(&request, hostless) {
        Ok(()) => next.run(request).await,
        Err(denied) => problem_response(request.uri(), &ProblemDetails::from(denied)),
    }
}

/// Authorization of the routes that read or change something.
async fn authorize(
    State(state): State<AppState>,
    Extension(slot): Extension<Slot>,
    request: Request,
    next: Next,
) -> Response {
    let uri = request.uri().clone();
    let authorized = state.config().rules.authorize(&request).map_err(ProblemDetails::from);
    let response = match authorized {
        Ok(()) => slot.answer(next.run(request)).await.ok_or_else(ProblemDetails::busy),
        Err(problem) => Err(problem),
    };
    response.unwrap_or_else(|problem| problem_response(&uri, &problem))
}

/// Connection limits of health checks.
async fn check(Extension(slot): Extension<Slot>, request: Request, next: Next) -> Response {
    slot.check(next.run(request)).await
}

/// Adds the security headers to every response: no foreign resources, no frames, no MIME sniffing,
/// no referrer to other origins. (`no-referrer` would make the `Origin` of our own forms `null`.)
async fn security_headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = if state.config().thumbnails { WITH_PICTURES } else { STRICT };
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", policy),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn not_found(uri: Uri) -> Response {
    problem_response(&uri, &ProblemDetails::missing("no such page or endpoint"))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let detail = format!("this endpoint does not support `{method}`");
    problem_response(&uri, &ProblemDetails::new(StatusCode::METHOD_NOT_ALLOWED, detail))
}

/// A problem as JSON for the paths of programs, else as a page.
fn problem_response(uri: &Uri, problem: &ProblemDetails) -> Response {
    let is_json = JSON_PATHS.iter().any(|it| uri.path().starts_with(it));
    if is_json { problem.clone().into_response() } else { pages::problem(problem) }
}

const JSON_PATHS: [&str; 5] = ["/api/", "/metrics", "/hints/", "/healthz", "/readyz"];
const STRICT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const WITH_PICTURES: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                             connect-src 'self'; img-src 'self' https:; form-action 'self'; \
                             base-uri 'none'; frame-ancestors 'none'";
