//! A fake Argil API according to the published OpenAPI document, with occasional 429 and 503
//! responses.
//!
//! The script of an avatar starts with its first poll.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::demo::ledger::Ledger;
use crate::demo::scenario::AvatarScript;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// The API key that the fake API accepts.
pub const API_KEY: &str = "demo-key";

/// State of the fake API.
#[derive(Debug)]
pub struct FakeApi {
    scripts: HashMap<String, AvatarScript>,
    started: Mutex<HashMap<String, (Monotonic, Timestamp)>>,
    rng: Rng,
    speed: f64,
    ledger: Ledger,
}

impl FakeApi {
    /// Creates an API with these avatars.
    pub fn new(scripts: &[AvatarScript], seed: u64, speed: f64, ledger: Ledger) -> Self {
        Self {
            scripts: scripts.iter().map(|script| (script.id.clone(), script.clone())).collect(),
            started: Mutex::default(),
            rng: Rng::seeded(!seed),
            speed,
            ledger,
        }
    }

    /// Serves requests until dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router =
            Router::new().route("/v1/avatars/{id}", get(get_avatar)).with_state(Arc::new(self));
        axum::serve(listener, router).await
    }

    /// Age and start time of an avatar; starts its script if it has not started.
    fn age(&self, id: &str) -> (Duration, Timestamp) {
        let (monotonic, now) = (SystemClock.monotonic(), SystemClock.now());
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let (started_at, born_at) = *started.entry(id.to_owned()).or_insert((monotonic, now));
        (monotonic.since(started_at), born_at)
    }

    fn injected_failure(&self) -> Option<Response> {
        let draw = self.rng.next_bits().fraction();
        if draw < THROTTLED_SHARE {
            let wait = format!("{:.3}", THROTTLED_S / self.speed);
            let body = json!({"code": 429, "message": "too many requests, simulated"});
            let headers = [("retry-after", wait), ("content-type", JSON.to_owned())];
            return Some(
                (StatusCode::TOO_MANY_REQUESTS, headers, body.to_string()).into_response(),
            );
        }
        (draw < THROTTLED_SHARE + BROKEN_SHARE)
            .then(|| error(StatusCode::SERVICE_UNAVAILABLE, "not available, simulated"))
    }
}

async fn get_avatar(
    State(api): State<Arc<FakeApi>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.get("x-api-key").is_none_or(|key| key != API_KEY) {
        return error(StatusCode::UNAUTHORIZED, "unknown key");
    }
    let Some(script) = api.scripts.get(&id) else {
        return error(StatusCode::NOT_FOUND, "Avatar not found");
    };
    if let Some(injected_failure) = api.injected_failure() {
        return injected_failure;
    }
    let (age, born_at) = api.age(&id);
    let (status, last) = script.at(age);
    api.ledger.served(&id, status.name(), last);
    let avatar = json!({
        "id": script.id,
        "name": script.name,
        "actorName": script.name,
        "createdAt": born_at.to_string(),
        "updatedAt": SystemClock.now().to_string(),
        "gestures": [],
        "status": status.name(),
        "width": 1080,
        "height": 1920,
        "thumbnailUrl": null,
        "coverImageUrl": null,
        "extras": {"demo": "true"},
        "orientation": "ASPECT_RATIO_9_16",
        "model": script.model,
    });
    (StatusCode::OK, [("content-type", JSON)], avatar.to_string()).into_response()
}

fn error(code: StatusCode, message: &str) -> Response {
    let body = json!({"code": code.as_u16(), "message": message});
    (code, [("content-type", JSON)], body.to_string()).into_response()
}

const JSON: &str = "application/json";
/// Share of requests that get a 429 response, …
const THROTTLED_SHARE: f64 = 0.01;
/// … its `Retry-After` in seconds at normal speed, …
const THROTTLED_S: f64 = 2.0;
/// … and the share that gets a 503 response.
const BROKEN_SHARE: f64 = 0.03;
