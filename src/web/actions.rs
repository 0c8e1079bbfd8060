//! The three changes that can be asked for over HTTP: send a delivery again, look at an avatar
//! now, try a channel. Each is passed on to whoever does it for the command line too.

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

/// Runs what blocks where it may, one after the other.
///
/// # Errors
/// When it fails.
pub async fn blocking<T: Send + 'static>(
    desk: &AppState,
    work: impl FnOnce(&AppState) -> Result<T, ProblemDetails> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let waiting = tokio::time::timeout(TIMEOUT, desk.readers.clone().acquire_owned());
    let Ok(Ok(turn)) = waiting.await else {
        return Err(ProblemDetails::busy());
    };
    let desk = desk.clone();
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&desk);
        drop(turn);
        done
    })
    .await;
    done.unwrap_or_else(|_| {
        Err(ProblemDetails::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer broke off: this is a bug",
        ))
    })
}

/// Reads from an open book.
///
/// # Errors
/// When the database cannot be read, or `work` fails.
pub async fn with_read_model<T: Send + 'static>(
    desk: &AppState,
    work: impl FnOnce(&ReadModel<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    blocking(desk, |desk| {
        ReadModel::read(desk, work).map_err(|error| ProblemDetails::of_store(&error))
    })
    .await
}

/// Sends a delivery again, under the same id and with the same bytes; the id of the delivery that
/// does it.
///
/// # Errors
/// When there is none, its state does not allow it, or it could not be written.
pub async fn retry(desk: &AppState, id: &str) -> Result<String, ProblemDetails> {
    let unknown = format!("there is no delivery `{}`", sanitize(id));
    let Ok(id) = DeliveryId::parse(id) else { return Err(ProblemDetails::missing(unknown)) };
    let handled = blocking(desk, move |desk| {
        let (tick, store) = (desk.tick(), |error: StoreError| ProblemDetails::of_store(&error));
        let mut hands = DeliveryAdmin::open(&desk.database).map_err(store)?;
        hands.retry(&id, RetryAs::SameId, tick.now, tick.random).map_err(store)
    })
    .await?;
    match handled {
        AdminResult::Done(id) => {
            (desk.wake_dispatcher)();
            Ok(id.to_string())
        }
        AdminResult::NotFound => Err(ProblemDetails::missing(unknown)),
        AdminResult::InvalidState(state) => Err(ProblemDetails::new(
            StatusCode::CONFLICT,
            format!("it is {state}, so it is under way"),
        )),
    }
}

/// Makes an avatar that is watched due now.
///
/// # Errors
/// When it is not watched.
pub async fn poll_now(desk: &AppState, id: &str) -> Result<(), ProblemDetails> {
    let shown = sanitize(id);
    let unknown = || ProblemDetails::missing(format!("no avatar `{shown}` is watched"));
    let id = AvatarId::parse(id).map_err(|_| unknown())?;
    let text = id.to_string();
    let avatars = with_read_model(desk, |book| book.avatars()).await?;
    let watched = avatars.iter().any(|it| it.id == text && it.is_watched());
    if !watched {
        return Err(unknown());
    }
    // A full queue means that there is enough to look at.
    drop(desk.poll_requests.try_send(id));
    Ok(())
}

/// Sends a `test.ping` through a channel; how each recipient took it.
///
/// # Errors
/// When there is no such channel, or too many are tried already.
pub async fn test(desk: &AppState, name: &str) -> Result<Vec<TestResult>, ProblemDetails> {
    let shown = sanitize(name);
    let unknown = || ProblemDetails::missing(format!("there is no channel `{shown}`"));
    let channel = ChannelName::parse(name).map_err(|_| unknown())?;
    let (answer, answered) = oneshot::channel();
    if desk.test_requests.try_send(TestRequest { channel, answer }).is_err() {
        let busy = "channels are being tried already; ask again in a while";
        return Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, busy));
    }
    match answered.await {
        Ok(Some(tried)) => Ok(tried),
        Ok(None) => Err(unknown()),
        Err(_) => {
            Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"))
        }
    }
}

/// How long a request waits for its turn.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
