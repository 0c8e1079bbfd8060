//! Health, for whoever starts and stops us: whether the loops move, and whether we can be used.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use crate::domain::verdict::UNWRITABLE;
use crate::web::actions::reading;
use crate::web::answer::json;
use crate::web::desk::Desk;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    loops: Vec<Loop>,
}

#[derive(Serialize)]
struct Loop {
    name: &'static str,
    turned_seconds_ago: f64,
    stuck: bool,
}

/// What `/readyz` answers.
#[derive(Debug, Deserialize, Serialize)]
pub struct Readiness {
    /// Whether we can be used.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// `/healthz` and `/readyz`. They tell nothing but that, and take no token.
pub fn routes() -> Router<Desk> {
    let [healthy, ready] = PATHS;
    Router::new().route(healthy, get(healthz)).route(ready, get(readyz))
}

/// Healthy while each loop moved within its limit.
async fn healthz(State(desk): State<Desk>) -> Response {
    let loops: Vec<Loop> = (desk.progress)(desk.tick().moment)
        .iter()
        .map(|it| Loop { name: it.name, turned_seconds_ago: it.age.as_secs_f64(), stuck: it.stuck })
        .collect();
    let healthy = loops.iter().all(|it| !it.stuck);
    json(status(healthy), &Health { healthy, loops })
}

/// Ready while the loops move and the database can be read and written. It does not ask whether
/// Argil or the receivers are up: that is what is watched, and waited for.
async fn readyz(State(desk): State<Desk>) -> Response {
    let stuck = (desk.progress)(desk.tick().moment).into_iter().find(|it| it.stuck);
    let reason = match stuck {
        Some(stuck) => Some(format!("the {} does not move", stuck.name)),
        None if !(desk.writes)() => Some(UNWRITABLE.to_owned()),
        None => reading(&desk, |book| book.last_place()).await.err().map(|it| it.detail),
    };
    let ready = reason.is_none();
    json(status(ready), &Readiness { ready, reason })
}

/// The paths of health.
pub const PATHS: [&str; 2] = ["/healthz", "/readyz"];

const fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
