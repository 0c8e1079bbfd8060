//! All routes together, and what holds for each: who may ask, and what a browser may do with the
//! answer.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use crate::web::connection_limit::Slot;
use crate::web::endpoints::api;
use crate::web::endpoints::health;
use crate::web::endpoints::metrics;
use crate::web::endpoints::pages;
use crate::web::problem::ProblemDetails;
use crate::web::state::AppState;

/// The page, the API, the metrics, the health, and `hints`. That there is no such route, or that it
/// does not take such a method, is said to everybody: the program is public.
pub fn routes(desk: AppState, hints: Router) -> Router {
    let guard = |methods: MethodRouter<AppState>| {
        methods.route_layer(middleware::from_fn_with_state(desk.clone(), authorize))
    };
    let guarded = Router::new()
        .merge(pages::routes(guard))
        .merge(api::routes(guard))
        .merge(metrics::routes(guard))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let health = health::routes().route_layer(middleware::from_fn(check));
    let open = health.merge(pages::assets());
    let all = guarded.merge(open).with_state(desk.clone()).merge(hints);
    all.layer(middleware::from_fn_with_state(desk.clone(), check_request))
        .layer(middleware::from_fn_with_state(desk, security_headers))
}

/// What holds on every route.
async fn check_request(State(desk): State<AppState>, request: Request, next: Next) -> Response {
    let nameless = health::PATHS.contains(&request.uri().path());
    match desk.register().rules.check_request(&request, nameless) {
        Ok(()) => next.run(request).await,
        Err(refusal) => answer(request.uri(), &ProblemDetails::from(refusal)),
    }
}

/// What holds where something is read or changed.
async fn authorize(
    State(desk): State<AppState>,
    Extension(slot): Extension<Slot>,
    request: Request,
    next: Next,
) -> Response {
    let uri = request.uri().clone();
    let admitted = desk.register().rules.authorize(&request).map_err(ProblemDetails::from);
    let answered = match admitted {
        Ok(()) => slot.answer(next.run(request)).await.ok_or_else(ProblemDetails::busy),
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| answer(&uri, &problem))
}

/// What holds for health checks.
async fn check(Extension(slot): Extension<Slot>, request: Request, next: Next) -> Response {
    slot.check(next.run(request)).await
}

/// What every answer says to a browser: load nothing from elsewhere, show this in no frame, guess
/// no types, tell nobody else where you come from. (Telling nobody at all would make a form's
/// `Origin` `null`, and it could not be told from a foreign one.)
async fn security_headers(State(desk): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = if desk.register().thumbnails { WITH_PICTURES } else { STRICT };
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
    answer(&uri, &ProblemDetails::missing("there is nothing here"))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let detail = format!("`{method}` is not for this place");
    answer(&uri, &ProblemDetails::new(StatusCode::METHOD_NOT_ALLOWED, detail))
}

/// A problem in the form that whoever asked can read.
fn answer(uri: &Uri, problem: &ProblemDetails) -> Response {
    let for_programs = FOR_PROGRAMS.iter().any(|it| uri.path().starts_with(it));
    if for_programs { problem.clone().into_response() } else { pages::problem(problem) }
}

/// Where problems are JSON.
const FOR_PROGRAMS: [&str; 5] = ["/api/", "/metrics", "/hints/", "/healthz", "/readyz"];
const STRICT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const WITH_PICTURES: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                             connect-src 'self'; img-src 'self' https:; form-action 'self'; \
                             base-uri 'none'; frame-ancestors 'none'";
