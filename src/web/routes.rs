//! All routes together, and what holds for each answer: who may have it, and what a browser may do
//! with it.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use crate::web::access::Rules;
use crate::web::answer::Problem;
use crate::web::connection_limit::Slot;
use crate::web::desk::Desk;
use crate::web::{api, health, numbers, page};

/// The routes of the desk: the page, the API, the numbers, the health. That there is no such place,
/// or that it does not take such a method, is said to everybody: the program is public.
pub fn routes(desk: Desk) -> Router {
    let guard = |methods: MethodRouter<Desk>| {
        methods.route_layer(middleware::from_fn_with_state(desk.clone(), admit))
    };
    let guarded = Router::new()
        .merge(page::routes(guard))
        .merge(api::routes(guard))
        .merge(numbers::routes(guard))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so);
    let open = Router::new().merge(health::routes()).merge(page::assets());
    guarded.merge(open).layer(middleware::from_fn_with_state(desk.clone(), dress)).with_state(desk)
}

async fn admit(
    State(desk): State<Desk>,
    Extension(slot): Extension<Slot>,
    request: Request,
    next: Next,
) -> Response {
    let uri = request.uri().clone();
    let rules: &Rules = &desk.register().rules;
    if rules.is_passed_on_unsaid(&request) {
        (desk.unsaid_proxy)();
    }
    let admitted = rules.admit(request.method(), request.uri(), request.headers());
    let answered = match admitted.map_err(Problem::from) {
        Ok(()) => slot.answer(next.run(request)).await.ok_or_else(Problem::busy),
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| answer(&uri, &problem))
}

/// What every answer says to a browser: load nothing from elsewhere, show this in no frame, guess
/// no types, tell nobody else where you come from. (Telling nobody at all would make a form's
/// `Origin` `null`, and it could not be told from a foreign one.)
async fn dress(State(desk): State<Desk>, request: Request, next: Next) -> Response {
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

async fn nothing(uri: Uri) -> Response {
    answer(&uri, &Problem::missing("there is nothing here"))
}

async fn not_so(method: Method, uri: Uri) -> Response {
    let detail = format!("`{method}` is not for this place");
    answer(&uri, &Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail))
}

/// A problem in the form that whoever asked can read.
fn answer(uri: &Uri, problem: &Problem) -> Response {
    let for_programs = ["/api/", "/metrics"].iter().any(|it| uri.path().starts_with(it));
    if for_programs { problem.clone().into_response() } else { page::problem(problem) }
}

const STRICT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const WITH_PICTURES: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                             connect-src 'self'; img-src 'self' https:; form-action 'self'; \
                             base-uri 'none'; frame-ancestors 'none'";
