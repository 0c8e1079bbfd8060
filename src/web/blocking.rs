//! Blocking work of a request: reads and writes of the database, on the blocking pool.

use std::time::Duration;

use axum::http::StatusCode;

use crate::store::error::StoreError;
use crate::web::http::problem::ProblemDetails;
use crate::web::read_model::ReadModel;
use crate::web::state::AppState;

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

/// How long a request waits for a permit.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
