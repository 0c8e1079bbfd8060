//! The three changes over HTTP: retry a delivery, poll an avatar now, test a channel. Each calls
//! the same code as the command line.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::oneshot;

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel::ChannelName;
use crate::store::admin::deliveries::{AdminResult, DeliveryAdmin, RetryAs};
use crate::store::error::StoreError;
use crate::text::sanitize::sanitize;
use crate::web::problem::ProblemDetails;
use crate::web::read_model::ReadModel;
use crate::web::state::{AppState, TestRequest, TestResult};

/// Runs blocking work on the blocking pool, limited by the semaphore `readers`.
///
/// # Errors
/// The error of `work`, 503 when the semaphore is not available in time, 500 after a panic.
pub(super) async fn blocking<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(&AppState) -> Result<T, ProblemDetails> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let waiting = tokio::time::timeout(TIMEOUT, state.readers.clone().acquire_owned());
    let Ok(Ok(permit)) = waiting.await else {
        return Err(ProblemDetails::busy());
    };
    let state = state.clone();
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&state);
        drop(permit);
        done
    })
    .await;
    done.unwrap_or_else(|_| {
        Err(ProblemDetails::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error: this is a bug"))
    })
}

pub(super) async fn with_read_model<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(&ReadModel<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    blocking(state, |state| {
        ReadModel::read(state, work).map_err(|error| ProblemDetails::of_store(&error))
    })
    .await
}

/// Retries a delivery with the same event id and the same bytes; returns the id of the delivery
/// that is sent.
///
/// # Errors
/// 404 for an unknown id, 409 when its state does not allow it, 503 when the write failed.
pub(super) async fn retry(state: &AppState, id: &str) -> Result<String, ProblemDetails> {
    let unknown = format!("no delivery `{}`", sanitize(id));
    let Ok(id) = DeliveryId::parse(id) else { return Err(ProblemDetails::missing(unknown)) };
    let result = blocking(state, move |state| {
        let (tick, store) = (state.tick(), |error: StoreError| ProblemDetails::of_store(&error));
        let mut admin = DeliveryAdmin::open(&state.database).map_err(store)?;
        admin.retry(&id, RetryAs::SameId, tick.now, tick.random).map_err(store)
    })
    .await?;
    match result {
        AdminResult::Done(id) => {
            (state.wake_dispatcher)();
            Ok(id.to_string())
        }
        AdminResult::NotFound => Err(ProblemDetails::missing(unknown)),
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
    let text = id.to_string();
    let avatars = with_read_model(state, |model| model.avatars()).await?;
    let watched = avatars.iter().any(|it| it.id == text && it.is_watched());
    if !watched {
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

/// How long a request waits for a permit.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
