//! A webhook receiver as a consumer would write it: verifies signatures, accepts each id once, and
//! rejects some messages to see them repeated.

use std::time::Duration;

use serde_json::Value;

use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::demo::fake_server::{Request, Response};
use crate::demo::ledger::{FinalTransition, Ledger};
use crate::domain::time::timestamp::Timestamp;
use crate::notify::webhook::signature;
use crate::signing_secret::SigningSecret;

#[derive(Debug)]
pub(super) struct Receiver {
    secrets: [SigningSecret; 1],
    ledger: Ledger,
}

impl Receiver {
    pub(super) fn new(secret: SigningSecret, ledger: Ledger) -> Self {
        Self { secrets: [secret], ledger }
    }

    pub(super) fn respond(&self, request: &Request) -> Response {
        let (ledger, body) = (&self.ledger, &request.body);
        let code = match self.verify(request) {
            Ok((id, _)) if should_reject(&id) && !ledger.was_rejected(&id) => {
                ledger.rejected(&id, body);
                503
            }
            Ok((id, transition)) => {
                ledger.accepted(&id, transition, body);
                204
            }
            Err(what) => {
                ledger.difference(what);
                400
            }
        };
        Response::new(code, "")
    }

    /// The id and the transition of a message with a valid signature.
    fn verify(&self, request: &Request) -> Result<(String, FinalTransition), String> {
        let header =
            |name: &str| request.header(name).ok_or_else(|| format!("a message without `{name}`"));
        let id = header("webhook-id")?;
        let seconds: i64 =
            header("webhook-timestamp")?.parse().map_err(|_| format!("{id} has no timestamp"))?;
        let sent_at = Timestamp::from_millis(seconds.saturating_mul(1000));
        let now = SystemClock.now();
        if now.since(sent_at) > TOLERANCE || sent_at.since(now) > TOLERANCE {
            return Err(format!("{id} is from another time"));
        }
        let expected = signature::sign(id, sent_at, &request.body, &self.secrets);
        if expected.as_deref() != Some(header("webhook-signature")?) {
            return Err(format!("{id} has a wrong signature"));
        }
        let message: Value =
            serde_json::from_slice(&request.body).map_err(|_| format!("{id} is not JSON"))?;
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

/// About one id in five.
fn should_reject(id: &str) -> bool {
    id.bytes().map(u32::from).sum::<u32>() % 5 == 0
}

/// Maximum age of a message, as in the published libraries.
const TOLERANCE: Duration = Duration::from_secs(300);
