//! The stream: server-sent events (WHATWG HTML, section 9.2) of what happens.
//!
//! Transitions come out of the table, each with its cursor as the event's id, so whoever comes
//! back with `Last-Event-ID` misses none, and whoever comes from another history is told. Tries at
//! deliveries are told as they happen, and only then. A stream ends by itself after a while;
//! whoever listens comes back.

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

use crate::runtime::event_bus::LiveEvent;
use crate::web::actions::with_read_model;
use crate::web::connection_limit::Slot;
use crate::web::cursor::Cursor;
use crate::web::list_header::{elements, weight};
use crate::web::problem::{ProblemDetails, json_line};
use crate::web::query::Query;
use crate::web::state::AppState;

/// One try at a delivery, as it is streamed.
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
    desk: AppState,
    last: Cursor,
    happenings: Receiver<LiveEvent>,
    ready: VecDeque<Event>,
    /// Whether there are more transitions than were made ready.
    behind: bool,
    end: Pin<Box<Sleep>>,
    /// Ends when the stream has to end for another one.
    evicted: oneshot::Receiver<()>,
    is_over: bool,
}

/// Answers with the stream.
pub(in crate::web) async fn stream(
    State(desk): State<AppState>,
    Extension(slot): Extension<Slot>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ProblemDetails> {
    if weight(&elements(&headers, ACCEPT), KIND, "") == 0 {
        let other = format!("this is `{KIND}`, which `Accept` rules out");
        return Err(ProblemDetails::new(StatusCode::NOT_ACCEPTABLE, other));
    }
    let after = Query::parse_strict(&uri, &["after"])?.cursor("after")?;
    let named = headers.get("last-event-id").filter(|id| !id.is_empty());
    // An id that is none of ours is of another history as well.
    let named = named.map(|id| id.to_str().ok().and_then(Cursor::parse));
    let asked = named.or_else(|| after.map(Some));
    // First listen, then look: what happens between is seen twice, and told once.
    let happenings = desk.events.subscribe();
    let is_asked = asked.is_some();
    let (resumed, last) = with_read_model(&desk, move |book| {
        let resumed = match asked.flatten() {
            Some(asked) => book.resume(asked)?,
            None => None,
        };
        let last = resumed.map_or_else(|| book.newest(), Ok)?;
        Ok((resumed.is_some(), last))
    })
    .await?;
    // Its id says where it begins, so that whoever comes back before the first news misses none.
    let hello = Event::default().retry(RETRY).id(last.to_string()).comment("avatar-watch");
    let mut streaming = Streaming {
        desk,
        last,
        happenings,
        ready: VecDeque::from([hello]),
        behind: false,
        end: Box::pin(sleep(LASTS)),
        evicted: slot.stream(),
        is_over: false,
    };
    if is_asked && !resumed {
        let data = format!("{{\"seq\":{}}}", streaming.last.seq);
        streaming.ready.push_back(Event::default().event("reset").data(data));
    }
    streaming.read_on().await?;
    let mut response = Sse::new(events(streaming)).into_response();
    let headers = response.headers_mut();
    // Whoever passes it on passes each event on at once, and as it is; nginx obeys the second.
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
                self.read_on().await.ok()?;
                continue;
            }
            if self.is_over {
                return None;
            }
            let heard = tokio::select! {
                biased;
                _ = &mut self.evicted => {
                    self.is_over = true;
                    return Some(Event::default().retry(RETRY_EVICTED).comment("too many"));
                }
                () = &mut self.end => return None,
                heard = timeout(KEEP_ALIVE, self.happenings.recv()) => heard,
            };
            match heard {
                Ok(Ok(LiveEvent::StatusChanged { .. })) => self.read_on().await.ok()?,
                Ok(Err(RecvError::Lagged(count))) => {
                    let data = format!("{{\"count\":{count}}}");
                    self.ready.push_back(Event::default().event("missed").data(data));
                    self.read_on().await.ok()?;
                }
                Ok(Ok(happening)) => self.ready.extend(attempt_event(&happening)),
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => self.ready.push_back(Event::default().comment("alive")),
            }
        }
    }

    /// Makes the transitions ready that came since.
    async fn read_on(&mut self) -> Result<(), ProblemDetails> {
        loop {
            let after = self.last.seq;
            let found =
                with_read_model(&self.desk, move |book| book.transitions_after(after, PAGE))
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

fn attempt_event(happening: &LiveEvent) -> Option<Event> {
    let LiveEvent::AttemptFinished { event_id, avatar_id, channel, attempt, outcome, state } =
        happening
    else {
        return None;
    };
    let about = avatar_id.as_str();
    let view = AttemptEvent {
        event_id: event_id.as_str(),
        avatar_id: (!about.is_empty() && !about.contains(' ')).then_some(about),
        channel: channel.as_str(),
        attempt: *attempt,
        outcome: outcome.class.name(),
        state: state.name(),
    };
    json_line(&view).map(|json| Event::default().event("attempt").data(json))
}

/// How long a stream lasts: less than the last request of a connection may, so that it ends in
/// good order.
const LASTS: Duration = Duration::from_secs(25);
/// How soon a listener comes back.
const RETRY: Duration = Duration::from_secs(1);
/// How soon one comes back that had to end for another: as rarely as the page is read without a
/// stream.
const RETRY_EVICTED: Duration = Duration::from_secs(15);
const KIND: &str = "text/event-stream";
/// How often something is said when nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Transitions that are read at once.
const PAGE: u32 = 100;
/// Transitions that are made ready before the first of them is sent.
const READY_MAX: usize = 1_000;
