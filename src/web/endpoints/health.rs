//! Health checks: `/healthz` (liveness of the loops) and `/readyz` (readiness of the daemon).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use crate::domain::status_report::unwritable;
use crate::store::reader::Reader;
use crate::web::blocking::TIMEOUT;
use crate::web::http::problem::{ProblemDetails, json};
use crate::web::state::AppState;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    loops: Vec<LoopHealth>,
}

#[derive(Serialize)]
struct LoopHealth {
    name: &'static str,
    last_tick_seconds_ago: f64,
    stalled: bool,
}

/// The response of `/readyz`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    pub(crate) reason: Option<String>,
}

/// The routes of the health checks. They disclose nothing else, and require no token.
pub(crate) fn routes() -> Router<AppState> {
    let [healthy, ready] = PATHS;
    Router::new().route(healthy, get(healthz)).route(ready, get(readyz))
}

/// Healthy if no loop is stalled.
async fn healthz(State(state): State<AppState>) -> Response {
    let loops: Vec<LoopHealth> = (state.progress)(state.now().monotonic)
        .iter()
        .map(|it| LoopHealth {
            name: it.name,
            last_tick_seconds_ago: it.age.as_secs_f64(),
            stalled: it.stalled,
        })
        .collect();
    let healthy = loops.iter().all(|it| !it.stalled);
    json(status(healthy), &Health { healthy, loops })
}

/// Ready if no loop is stalled and the database can be read and written. Does not depend on Argil
/// and receivers: the daemon handles their outages.
async fn readyz(State(state): State<AppState>) -> Response {
    let stalled = (state.progress)(state.now().monotonic).into_iter().find(|it| it.stalled);
    let reason = match (stalled, (state.write_failure)()) {
        (Some(it), _) => Some(format!("the {} is stalled", it.name)),
        (None, Some(failure)) => Some(unwritable(&failure)),
        (None, None) => read(&state).await.err().map(|it| it.detail),
    };
    let ready = reason.is_none();
    json(status(ready), &Readiness { ready, reason })
}

/// Whether the database can be read. Reads at most once per [`RECENT`], and outside of the
/// semaphore of readers, so that other requests do not delay health checks.
async fn read(state: &AppState) -> Result<(), ProblemDetails> {
    let waiting = tokio::time::timeout(TIMEOUT, Arc::clone(&state.read_at).lock_owned());
    let mut read_at = waiting.await.map_err(|_| ProblemDetails::busy())?;
    let now = state.now().monotonic;
    if read_at.is_some_and(|at| now.since(at) < RECENT) {
        return Ok(());
    }
    let database = state.database.clone();
    let read = tokio::task::spawn_blocking(move || {
        // The lock is held until here, even if the client has disconnected.
        let read = Reader::open(&database).and_then(|reader| reader.last_seq());
        *read_at = read.is_ok().then_some(now);
        read
    });
    let panicked = || ProblemDetails::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug");
    let read = read.await.map_err(|_| panicked())?;
    read.map(drop).map_err(|error| ProblemDetails::of_store(&error))
}

/// How long a successful read counts.
const RECENT: Duration = Duration::from_secs(1);
/// The paths of the health checks.
pub(crate) const PATHS: [&str; 2] = ["/healthz", "/readyz"];

const fn status(ok: bool) -> StatusCode {
    if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
