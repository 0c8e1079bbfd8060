//! The fake Argil API of the demo: plays the scripts of its avatars, with occasional 429 and 503
//! responses.
//!
//! The script of an avatar starts with its first poll.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::demo::fake_argil::{FakeArgil, error, id_in};
use crate::demo::fake_server::{Request, Response};
use crate::demo::ledger::Ledger;
use crate::demo::scenario::AvatarScript;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// The API key that the fake API accepts.
pub(super) const API_KEY: &str = "demo-key";

#[derive(Debug)]
pub(super) struct ScriptedApi {
    fake: FakeArgil,
    scripts: HashMap<String, AvatarScript>,
    started: Mutex<HashMap<String, (Monotonic, Timestamp)>>,
    rng: Rng,
    speed: f64,
    ledger: Ledger,
}

impl ScriptedApi {
    pub(super) fn new(scripts: &[AvatarScript], seed: u64, speed: f64, ledger: Ledger) -> Self {
        let fake = FakeArgil::default();
        fake.require_key(API_KEY);
        let scripts = scripts.iter().map(|script| (script.id.clone(), script.clone())).collect();
        Self { fake, scripts, started: Mutex::default(), rng: Rng::seeded(!seed), speed, ledger }
    }

    pub(super) fn respond(&self, request: &Request) -> Response {
        if let Some(script) = self.scripts.get(&id_in(&request.path)) {
            if let Some(failure) = self.injected_failure() {
                return failure;
            }
            self.play(script);
        }
        self.fake.respond(request)
    }

    /// Sets an avatar as it is now.
    fn play(&self, script: &AvatarScript) {
        let id = &script.id;
        let (age, born_at) = self.age(id);
        let (status, last) = script.at(age);
        self.ledger.served(id, status.name(), last);
        let avatar = json!({
            "id": id,
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
        self.fake.set_avatar(id, avatar);
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
            return Some(error(429, "too many requests, simulated").with("retry-after", wait));
        }
        (draw < THROTTLED_SHARE + BROKEN_SHARE).then(|| error(503, "not available, simulated"))
    }
}

/// Share of requests that get a 429 response, …
const THROTTLED_SHARE: f64 = 0.01;
/// … its `Retry-After` in seconds at normal speed, …
const THROTTLED_S: f64 = 2.0;
/// … and the share that gets a 503 response.
const BROKEN_SHARE: f64 = 0.03;
