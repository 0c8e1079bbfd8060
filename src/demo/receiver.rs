//! A receiver, as a consumer would write one: checks the signature of every message, takes each
//! id once, and now and then sends one away to see it repeated.

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
use crate::demo::ledger::{Ledger, Received};
use crate::domain::time::timestamp::Timestamp;
use crate::notify::webhook::signature;
use crate::signing_secret::SigningSecret;

/// What the receiver knows.
#[derive(Debug)]
pub struct Receiver {
    secrets: [SigningSecret; 1],
    ledger: Ledger,
}

impl Receiver {
    /// A receiver that shares this secret with the sender.
    pub fn new(secret: SigningSecret, ledger: Ledger) -> Self {
        Self { secrets: [secret], ledger }
    }

    /// Receives until dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::new(self));
        axum::serve(listener, router).await
    }

    /// The id and the news of a message whose signature is good.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(String, Received), String> {
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
        let news = Received {
            avatar: text("/data/avatar/id"),
            from: text("/data/previous_status"),
            to: text("/data/status"),
        };
        Ok((id.to_owned(), news))
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let ledger = &receiver.ledger;
    match receiver.verify(&headers, &body) {
        Ok((id, _)) if is_sent_away(&id) && !ledger.was_refused(&id) => {
            ledger.refused(&id, &body);
            StatusCode::SERVICE_UNAVAILABLE
        }
        Ok((id, news)) => {
            ledger.taken(&id, news, &body);
            StatusCode::NO_CONTENT
        }
        Err(what) => {
            ledger.fault(what);
            StatusCode::BAD_REQUEST
        }
    }
}

/// About one id in five.
fn is_sent_away(id: &str) -> bool {
    id.bytes().map(u32::from).sum::<u32>() % 5 == 0
}

/// How far a message's time may be from ours: what the published libraries allow.
const TOLERANCE: Duration = Duration::from_secs(300);
