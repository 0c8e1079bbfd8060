//! A simulated Argil API, as its published OpenAPI says, with the hiccups that it does not say:
//! now and then a 429 or a 503.
//!
//! An avatar's life begins with the first look at it.

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

/// The key that the simulated API takes.
pub const API_KEY: &str = "demo-key";

/// What the simulated API knows.
#[derive(Debug)]
pub struct FakeApi {
    lives: HashMap<String, AvatarScript>,
    born: Mutex<HashMap<String, (Monotonic, Timestamp)>>,
    chance: Rng,
    speed: f64,
    ledger: Ledger,
}

impl FakeApi {
    /// An API with these avatars.
    pub fn new(lives: &[AvatarScript], seed: u64, speed: f64, ledger: Ledger) -> Self {
        Self {
            lives: lives.iter().map(|life| (life.id.clone(), life.clone())).collect(),
            born: Mutex::default(),
            chance: Rng::seeded(!seed),
            speed,
            ledger,
        }
    }

    /// Serves until dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router =
            Router::new().route("/v1/avatars/{id}", get(get_avatar)).with_state(Arc::new(self));
        axum::serve(listener, router).await
    }

    /// How old an avatar is and when it was born; born now, if it was not yet.
    fn age(&self, id: &str) -> (Duration, Timestamp) {
        let (moment, now) = (SystemClock.monotonic(), SystemClock.now());
        let mut born = self.born.lock().unwrap_or_else(PoisonError::into_inner);
        let (birth, born_at) = *born.entry(id.to_owned()).or_insert((moment, now));
        (moment.since(birth), born_at)
    }

    fn hiccup(&self) -> Option<Response> {
        let roll = self.chance.next_bits().fraction();
        if roll < THROTTLED_SHARE {
            let wait = format!("{:.3}", THROTTLED_S / self.speed);
            let body = json!({"code": 429, "message": "too many requests, simulated"});
            let headers = [("retry-after", wait), ("content-type", JSON.to_owned())];
            return Some(
                (StatusCode::TOO_MANY_REQUESTS, headers, body.to_string()).into_response(),
            );
        }
        (roll < THROTTLED_SHARE + BROKEN_SHARE)
            .then(|| error(StatusCode::SERVICE_UNAVAILABLE, "not available, simulated"))
    }
}

async fn get_avatar(
    State(simulation): State<Arc<FakeApi>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.get("x-api-key").is_none_or(|key| key != API_KEY) {
        return error(StatusCode::UNAUTHORIZED, "unknown key");
    }
    let Some(life) = simulation.lives.get(&id) else {
        return error(StatusCode::NOT_FOUND, "Avatar not found");
    };
    if let Some(hiccup) = simulation.hiccup() {
        return hiccup;
    }
    let (age, born_at) = simulation.age(&id);
    let (status, last) = life.at(age);
    simulation.ledger.served(&id, status.name(), last);
    let avatar = json!({
        "id": life.id,
        "name": life.name,
        "actorName": life.name,
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
        "model": life.model,
    });
    (StatusCode::OK, [("content-type", JSON)], avatar.to_string()).into_response()
}

fn error(code: StatusCode, message: &str) -> Response {
    let body = json!({"code": code.as_u16(), "message": message});
    (code, [("content-type", JSON)], body.to_string()).into_response()
}

const JSON: &str = "application/json";
/// One look in so many is told to slow down, …
const THROTTLED_SHARE: f64 = 0.01;
/// … for so long at the speed of life, …
const THROTTLED_S: f64 = 2.0;
/// … and one in so many finds the API closed.
const BROKEN_SHARE: f64 = 0.03;
