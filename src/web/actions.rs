//! The three changes over HTTP: retry a delivery, poll an avatar now, test a channel. Retry
//! and test use the code of the commands.

use axum::http::StatusCode;
use tokio::sync::oneshot;

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::store::admin::deliveries::AdminResult;
use crate::text::sanitize::sanitize;
use crate::web::blocking::with_read_model;
use crate::web::http::problem::ProblemDetails;
use crate::web::state::{AppState, TestRequest, TestResult};

/// Retries a delivery with the same event id and the same bytes; returns the id of the delivery
/// that is sent.
///
/// # Errors
/// 404 for an unknown id, 409 when its state does not allow it, 503 when the write failed.
pub(super) async fn retry(state: &AppState, id: &str) -> Result<String, ProblemDetails> {
    let unknown = format!("no delivery `{}`", sanitize(id));
    let Ok(id) = DeliveryId::parse(id) else { return Err(ProblemDetails::missing(unknown)) };
    match (state.retry)(id).await.map_err(|error| ProblemDetails::of_store(&error))? {
        AdminResult::Done(id) | AdminResult::Cancelled(id) => {
            (state.wake_dispatcher)();
            Ok(id.to_string())
        }
        AdminResult::NotFound => Err(ProblemDetails::missing(unknown)),
        AdminResult::Resent(successor, current) => Err(ProblemDetails::new(
            StatusCode::CONFLICT,
            format!("the delivery was sent again as {successor} ({current})"),
        )),
        AdminResult::InvalidState(current) => Err(ProblemDetails::new(
            StatusCode::CONFLICT,
            format!("the delivery is {current}, so it cannot be retried now"),
        )),
    }
}

/// Makes a watched avatar due now.
///
/// # Errors
/// 404 when it is not watched.
pub(super) async fn poll_now(state: &AppState, id: &str) -> Result<(), ProblemDetails> {
    let shown = sanitize(id);
    let unknown = || ProblemDetails::missing(format!("no watched avatar `{shown}`"));
    let id = AvatarId::parse(id).map_err(|_| unknown())?;
    let wanted = id.clone();
    if !with_read_model(state, move |model| model.is_watched(wanted.as_str())).await? {
        return Err(unknown());
    }
    // With a full queue, polls are already requested; this one can be dropped.
    drop(state.poll_requests.try_send(id));
    Ok(())
}

/// Sends a `test.ping` through a channel; returns the result for each recipient.
///
/// # Errors
/// 404 for an unknown channel, 503 when too many tests run.
pub(super) async fn test(state: &AppState, name: &str) -> Result<Vec<TestResult>, ProblemDetails> {
    let shown = sanitize(name);
    let unknown = || ProblemDetails::missing(format!("no channel `{shown}`"));
    let channel = ChannelName::parse(name).map_err(|_| unknown())?;
    let (answer, answered) = oneshot::channel();
    if state.test_requests.try_send(TestRequest { channel, answer }).is_err() {
        let busy = "other channel tests are running; try again later";
        return Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, busy));
    }
    match answered.await {
        Ok(Some(results)) => Ok(results),
        Ok(None) => Err(unknown()),
        Err(_) => {
            Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"))
        }
    }
}
