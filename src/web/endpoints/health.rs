//! Health, for whoever starts and stops us: whether the loops move, and whether we can be used.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use crate::domain::status_report::UNWRITABLE;
use crate::store::reader::Reader;
use crate::web::actions::TIMEOUT;
use crate::web::problem::{ProblemDetails, json};
use crate::web::state::AppState;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    loops: Vec<LoopHealth>,
}

#[derive(Serialize)]
struct LoopHealth {
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
pub fn routes() -> Router<AppState> {
    let [healthy, ready] = PATHS;
    Router::new().route(healthy, get(healthz)).route(ready, get(readyz))
}

/// Healthy while each loop moved within its limit.
async fn healthz(State(desk): State<AppState>) -> Response {
    let loops: Vec<LoopHealth> = (desk.progress)(desk.tick().monotonic)
        .iter()
        .map(|it| LoopHealth {
            name: it.name,
            turned_seconds_ago: it.age.as_secs_f64(),
            stuck: it.stalled,
        })
        .collect();
    let healthy = loops.iter().all(|it| !it.stuck);
    json(status(healthy), &Health { healthy, loops })
}

/// Ready while the loops move and the database can be read and written. It does not ask whether
/// Argil or the receivers are up: that is what is watched, and waited for.
async fn readyz(State(desk): State<AppState>) -> Response {
    let stuck = (desk.progress)(desk.tick().monotonic).into_iter().find(|it| it.stalled);
    let reason = match stuck {
        Some(stuck) => Some(format!("the {} does not move", stuck.name)),
        None if !(desk.database_writable)() => Some(UNWRITABLE.to_owned()),
        None => read(&desk).await.err().map(|it| it.detail),
    };
    let ready = reason.is_none();
    json(status(ready), &Readiness { ready, reason })
}

/// Whether the database can be read. It is looked up once in [`RECENT`] at most, and not after
/// those who read the tables, so that no crowd keeps the answer back.
async fn read(desk: &AppState) -> Result<(), ProblemDetails> {
    let waiting = tokio::time::timeout(TIMEOUT, Arc::clone(&desk.read_at).lock_owned());
    let mut read_at = waiting.await.map_err(|_| ProblemDetails::busy())?;
    let now = desk.tick().monotonic;
    if read_at.is_some_and(|at| now.since(at) < RECENT) {
        return Ok(());
    }
    let database = desk.database.clone();
    let read = tokio::task::spawn_blocking(move || {
        // Kept locked, also when nobody waits for the answer any more.
        let read = Reader::open(&database).and_then(|reader| reader.last_seq());
        *read_at = read.is_ok().then_some(now);
        read
    });
    let broke_off = || ProblemDetails::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug");
    let read = read.await.map_err(|_| broke_off())?;
    read.map(drop).map_err(|error| ProblemDetails::of_store(&error))
}

/// How long it is believed that the database can be read.
const RECENT: Duration = Duration::from_secs(1);
/// The paths of health.
pub const PATHS: [&str; 2] = ["/healthz", "/readyz"];

const fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
