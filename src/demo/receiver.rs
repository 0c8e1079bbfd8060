//! A webhook receiver as a consumer would write it: verifies signatures, accepts each id once, and
//! rejects some messages to see them repeated.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::demo::ledger::{FinalTransition, Ledger};
use crate::domain::time::timestamp::Timestamp;
use crate::notify::webhook::signature;
use crate::signing_secret::SigningSecret;

/// State of the receiver.
#[derive(Debug)]
pub struct Receiver {
    secrets: [SigningSecret; 1],
    ledger: Ledger,
}

impl Receiver {
    /// Creates a receiver with the shared secret.
    pub fn new(secret: SigningSecret, ledger: Ledger) -> Self {
        Self { secrets: [secret], ledger }
    }

    /// Serves requests until dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::new(self));
        axum::serve(listener, router).await
    }

    /// The id and the transition of a message with a valid signature.
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(String, FinalTransition), String> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or_else(|| format!("a message without `{name}`"))
        };
        let id = header("webhook-id")?;
        let seconds: i64 =
            header("webhook-timestamp")?.parse().map_err(|_| format!("{id} has no timestamp"))?;
        let sent_at = Timestamp::from_millis(seconds.saturating_mul(1000));
        let now = SystemClock.now();
        if now.since(sent_at) > TOLERANCE || sent_at.since(now) > TOLERANCE {
            return Err(format!("{id} is from another time"));
        }
        let expected = signature::sign(id, sent_at, body, &self.secrets);
        if expected.as_deref() != Some(header("webhook-signature")?) {
            return Err(format!("{id} has a wrong signature"));
        }
        let message: Value =
            serde_json::from_slice(body).map_err(|_| format!("{id} is not JSON"))?;
        let text = |pointer: &str| {
            message.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let transition = FinalTransition {
            avatar: text("/data/avatar/id"),
            from: text("/data/previous_status"),
            to: text("/data/status"),
        };
        Ok((id.to_owned(), transition))
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let ledger = &receiver.ledger;
    match receiver.verify(&headers, &body) {
        Ok((id, _)) if should_reject(&id) && !ledger.was_rejected(&id) => {
            ledger.rejected(&id, &body);
            StatusCode::SERVICE_UNAVAILABLE
        }
        Ok((id, transition)) => {
            ledger.accepted(&id, transition, &body);
            StatusCode::NO_CONTENT
        }
        Err(what) => {
            ledger.difference(what);
            StatusCode::BAD_REQUEST
        }
    }
}

/// About one id in five.
fn should_reject(id: &str) -> bool {
    id.bytes().map(u32::from).sum::<u32>() % 5 == 0
}

/// Maximum age of a message, as in the published libraries.
const TOLERANCE: Duration = Duration::from_secs(300);
