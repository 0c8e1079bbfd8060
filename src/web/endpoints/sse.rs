//! Event stream: server-sent events (WHATWG HTML, section 9.2).
//!
//! Transitions are read from the table and carry their cursor as event id: a client that reconnects
//! with `Last-Event-ID` misses none, and one with a cursor of another history gets `reset`.
//! Attempts are live only and not repeated. A stream ends after a while, and clients reconnect.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};

use crate::domain::avatar::AvatarId;
use crate::runtime::event_bus::LiveEvent;
use crate::web::blocking::with_read_model;
use crate::web::cursor::Cursor;
use crate::web::http::connection_limit::Slot;
use crate::web::http::list_header::{elements, weight};
use crate::web::http::problem::{ProblemDetails, json_line};
use crate::web::http::query::Query;
use crate::web::state::AppState;

/// The data of an `attempt` event.
#[derive(Serialize)]
struct AttemptEvent<'a> {
    event_id: &'a str,
    avatar_id: Option<&'a str>,
    channel: &'a str,
    attempt: u32,
    outcome: &'a str,
    state: &'a str,
}

struct Streaming {
    state: AppState,
    last: Cursor,
    live_events: Receiver<LiveEvent>,
    ready: VecDeque<Event>,
    /// Whether the table has more transitions than are in `ready`.
    behind: bool,
    end: Pin<Box<Sleep>>,
    /// Resolves when the stream must end in favour of another one.
    evicted: oneshot::Receiver<()>,
    is_over: bool,
}

/// The endpoint of the stream.
pub(in crate::web) async fn stream(
    State(state): State<AppState>,
    Extension(slot): Extension<Slot>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ProblemDetails> {
    if weight(&elements(&headers, ACCEPT), KIND, "") == 0 {
        let detail = format!("this endpoint sends `{KIND}`, which `Accept` excludes");
        return Err(ProblemDetails::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let after = Query::parse_strict(&uri, &["after"])?.cursor("after")?;
    let last_event_id = headers.get("last-event-id").filter(|id| !id.is_empty());
    // An invalid id is treated like one of another history.
    let last_event_id = last_event_id.map(|id| id.to_str().ok().and_then(Cursor::parse));
    let start = last_event_id.or_else(|| after.map(Some));
    // Subscribe before reading: a transition in between is seen twice and sent once.
    let live_events = state.events.subscribe();
    let has_start = start.is_some();
    let (resumed, last) = with_read_model(&state, move |model| {
        let resumed = match start.flatten() {
            Some(cursor) => model.resume(cursor)?,
            None => None,
        };
        let last = resumed.map_or_else(|| model.newest(), Ok)?;
        Ok((resumed.is_some(), last))
    })
    .await?;
    // Its id is the start, so that a client that reconnects before the first event misses none.
    let hello = Event::default().retry(RETRY).id(last.to_string()).comment("avatar-watch");
    let mut streaming = Streaming {
        state,
        last,
        live_events,
        ready: VecDeque::from([hello]),
        behind: false,
        end: Box::pin(sleep(DURATION)),
        evicted: slot.stream(),
        is_over: false,
    };
    if has_start && !resumed {
        let data = format!("{{\"seq\":{}}}", streaming.last.seq);
        streaming.ready.push_back(Event::default().event("reset").data(data));
    }
    streaming.read_transitions().await?;
    let mut response = Sse::new(events(streaming)).into_response();
    let headers = response.headers_mut();
    // Proxies must not buffer or change the stream; nginx obeys the second header.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn events(streaming: Streaming) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(streaming, |mut streaming| async {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    })
}

impl Streaming {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if std::mem::take(&mut self.behind) {
                self.read_transitions().await.ok()?;
                continue;
            }
            if self.is_over {
                return None;
            }
            let received = tokio::select! {
                biased;
                _ = &mut self.evicted => {
                    self.is_over = true;
                    return Some(Event::default().retry(RETRY_EVICTED).comment("too many"));
                }
                () = &mut self.end => return None,
                received = timeout(KEEP_ALIVE, self.live_events.recv()) => received,
            };
            match received {
                Ok(Ok(LiveEvent::StatusChanged { .. })) => self.read_transitions().await.ok()?,
                Ok(Err(RecvError::Lagged(count))) => {
                    let data = format!("{{\"count\":{count}}}");
                    self.ready.push_back(Event::default().event("missed").data(data));
                    self.read_transitions().await.ok()?;
                }
                Ok(Ok(event)) => self.ready.extend(attempt_event(&event)),
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => self.ready.push_back(Event::default().comment("alive")),
            }
        }
    }

    /// Reads the transitions after the last one into `ready`.
    async fn read_transitions(&mut self) -> Result<(), ProblemDetails> {
        loop {
            let after = self.last.seq;
            let found =
                with_read_model(&self.state, move |model| model.transitions_after(after, PAGE))
                    .await?;
            let whole = found.len() < PAGE as usize;
            for transition in found {
                self.last.seq = transition.seq;
                let event = Event::default().event("transition").id(self.last.to_string());
                self.ready.extend(json_line(&transition).map(|json| event.data(json)));
            }
            self.behind = !whole;
            if whole || self.ready.len() > READY_MAX {
                return Ok(());
            }
        }
    }
}

fn attempt_event(event: &LiveEvent) -> Option<Event> {
    let LiveEvent::AttemptFinished { event_id, ordering_key, channel, attempt, outcome, state } =
        event
    else {
        return None;
    };
    let view = AttemptEvent {
        event_id: event_id.as_str(),
        avatar_id: ordering_key.avatar_id().map(AvatarId::as_str),
        channel: channel.as_str(),
        attempt: *attempt,
        outcome: outcome.class.name(),
        state: state.name(),
    };
    json_line(&view).map(|json| Event::default().event("attempt").data(json))
}

/// The duration of a stream: less than the time limit of a connection, so that it ends cleanly.
const DURATION: Duration = Duration::from_secs(25);
/// The delay after which clients reconnect.
const RETRY: Duration = Duration::from_secs(1);
/// The same for an evicted stream: as long as the refresh interval of a page without a stream.
const RETRY_EVICTED: Duration = Duration::from_secs(15);
const KIND: &str = "text/event-stream";
/// The interval of keep-alive comments.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Transitions per read.
const PAGE: u32 = 100;
/// Transitions to read before the first of them is sent.
const READY_MAX: usize = 1_000;
