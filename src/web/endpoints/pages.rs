//! Status page: rendered on the server and complete without scripts; a small script updates it.
//!
//! The templates escape all text from outside. Pages load no foreign resources, except pictures of
//! avatars if the config enables them.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::next_attempt::NextAttempt;
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::domain::time::humanize::humanize;
use crate::domain::time::time_zone::TimeZone;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::reader::DeliveryFilter;
use crate::text::capitalize::capitalized;
use crate::text::plural::counted;
use crate::text::sanitize::{sanitize, sanitize_line};
use crate::text::url_segment::encode_segment;
use crate::web::actions;
use crate::web::blocking::with_read_model;
use crate::web::delivery_views::{DeliveryView, DeliveryWithAttempts};
use crate::web::endpoints::api::STATES;
use crate::web::http::problem::{ProblemDetails, add_challenge};
use crate::web::http::query::{PathSegment, Query, cut};
use crate::web::read_model::{AvatarLists, ReadModel};
use crate::web::state::{AppState, TestResult};
use crate::web::status::StatusView;
use crate::web::timeline::{StatusChange, Timeline, WIDTH};
use crate::web::views::{AvatarView, ChannelView, TransitionView};

pub(in crate::web) fn routes(
    guard: impl Fn(MethodRouter<AppState>) -> MethodRouter<AppState>,
) -> Router<AppState> {
    Router::new()
        .route("/", guard(get(home)))
        .route("/avatars/{id}", guard(get(avatar)))
        .route("/avatars/{id}/poll", guard(post(poll)))
        .route("/deliveries", guard(get(deliveries)))
        .route("/deliveries/{id}", guard(get(delivery)))
        .route("/deliveries/{id}/retry", guard(post(retry)))
        .route("/channels/{name}/test", guard(post(test)))
}

/// Style sheet, script and icon: public, without authorization.
pub(in crate::web) fn assets() -> Router<AppState> {
    let asset = |kind: &'static str, text: &'static str| {
        get(move || async move {
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=31536000, immutable")], text)
        })
    };
    Router::new()
        .route(&format!("/assets/{VERSION}/page.css"), asset("text/css; charset=utf-8", CSS))
        .route(&format!("/assets/{VERSION}/page.js"), asset("text/javascript; charset=utf-8", JS))
        .route(&format!("/assets/{VERSION}/icon.svg"), asset("image/svg+xml", ICON))
}

pub(in crate::web) fn problem(problem: &ProblemDetails) -> Response {
    let title = problem.status.canonical_reason().unwrap_or("Problem");
    let page = ProblemPage { title, detail: &problem.detail };
    let mut response = html(problem.status, page.render());
    add_challenge(&mut response);
    response
}

struct RelativeTime {
    now: Timestamp,
}

impl RelativeTime {
    /// The time since `at` (RFC 3339).
    fn ago(&self, at: &str) -> String {
        let since = Timestamp::parse_rfc3339(at).map(|at| self.now.since(at)).unwrap_or_default();
        humanize(since)
    }

    /// When the next attempt of a delivery is made.
    fn next_attempt(&self, next: &NextAttempt) -> String {
        next.text(|at| format!("in {}", humanize(at.since(self.now))))
    }

    /// What follows the word `paused`.
    fn pause(&self, channel: &ChannelView) -> String {
        channel.pause().text(&TimeZone::UTC, self.now)
    }

    /// The time until `at` (RFC 3339), or `now` if it has passed.
    fn until(&self, at: &str) -> String {
        let until = Timestamp::parse_rfc3339(at).map(|at| at.since(self.now)).unwrap_or_default();
        if until.is_zero() { "now".to_owned() } else { format!("in {}", humanize(until)) }
    }
}

fn span(seconds: &u64) -> String {
    humanize(std::time::Duration::from_secs(*seconds))
}

fn several(number: &u64, noun: &str) -> String {
    counted(*number, noun)
}

/// The CSS class of a status or a state. It only sets the colour; the label says the same.
fn tone(word: &str) -> &'static str {
    match word {
        "IDLE" | "delivered" | "active" => "good",
        "TRAINING" | "pending" | "sending" | "paused" => "busy",
        "TRAINING_FAILED" | "REFUSED" | "dead" | "disabled" | "warning" | "critical" => "bad",
        "" => "unknown",
        _ => "quiet",
    }
}

/// The label of a status or a state.
fn label(word: &str) -> String {
    match word {
        "IDLE" => "ready".to_owned(),
        "" => "unknown".to_owned(),
        other if Status::DOCUMENTED.contains(&other) => other.to_lowercase().replace('_', " "),
        other => other.to_owned(),
    }
}

/// The CSS class of a status; unrecognized ones are shown as bad. Empty means unknown.
fn status_tone(status: &str) -> &'static str {
    let odd = !status.is_empty() && !Status::from_name(status).is_recognized();
    if odd { "bad" } else { tone(status) }
}

/// The event of a kind such as `avatar.training_failed`, for a title.
fn event_label(kind: &str) -> String {
    capitalized(&kind.strip_prefix("avatar.").unwrap_or(kind).replace(['.', '_'], " "))
}

/// The outcome of an attempt, and what follows from it.
fn outcome_label(outcome: &str) -> &str {
    match outcome {
        "retryable" => "failed, is retried",
        "throttled" => "rate-limited, is retried",
        "local" => "failed on this machine, is retried",
        "ambiguous" => "no clear answer, may have arrived",
        "unknown" => "interrupted, may have arrived",
        "misconfigured" => "not accepted with these settings",
        "gone" => "the receiver is gone",
        "rejected" => "rejected for good",
        other => other,
    }
}

/// A name as commands and the log show it.
fn one_line(name: &str) -> String {
    sanitize_line(name, NAME_CHARS_MAX)
}

/// The parts of a text outside and inside of backticks, in turns.
fn code_spans(text: &str) -> std::str::Split<'_, char> {
    text.split('`')
}

/// The label of a status; unrecognized ones are quoted, so that none can be confused
/// with a known one.
fn status_label(status: &str) -> String {
    match Status::from_name(status) {
        odd @ Status::Unrecognized(_) if !status.is_empty() => odd.display().into_owned(),
        _ => label(status),
    }
}

#[derive(Template)]
#[template(path = "home.html", config = "src/web/askama.toml")]
struct HomePage {
    relative: RelativeTime,
    status: StatusView,
    /// The worst problem.
    title: String,
    problems: u64,
    lists: AvatarLists,
    more_training: u64,
    more_others: u64,
    finished: Vec<TransitionView>,
    dead_letters: Vec<DeliveryView>,
    has_operator: bool,
    can_change: bool,
}

#[derive(Template)]
#[template(path = "avatar.html", config = "src/web/askama.toml")]
struct AvatarPage {
    relative: RelativeTime,
    avatar: AvatarView,
    thumbnail: Option<String>,
    shows_picture: bool,
    timeline: Option<Timeline>,
    transitions: Vec<TransitionView>,
    deliveries: Vec<DeliveryWithAttempts>,
    can_change: bool,
}

impl AvatarPage {
    fn why_no_notifications(&self) -> &'static str {
        let routes = self.avatar.routes.as_deref().unwrap_or_default();
        if self.transitions.iter().all(|it| it.previous_status.is_none()) {
            "No notifications yet. The status that is observed first is recorded without one."
        } else if !routes.is_empty() && !routes.iter().any(|route| route.receives) {
            "No notifications: no channel gets the events of this avatar."
        } else {
            "No notifications: no change was an event for a channel at its time, or the deliveries \
             are older than keep_deliveries and were removed."
        }
    }
}

#[derive(Template)]
#[template(path = "deliveries.html", config = "src/web/askama.toml")]
struct DeliveriesPage {
    relative: RelativeTime,
    state: String,
    states: &'static [&'static str],
    deliveries: Vec<DeliveryView>,
    next: Option<String>,
    can_change: bool,
}

#[derive(Template)]
#[template(path = "delivery.html", config = "src/web/askama.toml")]
struct DeliveryPage {
    relative: RelativeTime,
    whole: DeliveryWithAttempts,
    can_change: bool,
}

#[derive(Template)]
#[template(path = "test.html", config = "src/web/askama.toml")]
struct TestPage {
    channel: String,
    results: Vec<TestResult>,
}

#[derive(Template)]
#[template(path = "problem.html", config = "src/web/askama.toml")]
struct ProblemPage<'a> {
    title: &'a str,
    detail: &'a str,
}

async fn home(State(state): State<AppState>) -> Response {
    show(with_read_model(&state, |model| Ok(home_page(model)?.render())).await)
}

fn home_page(model: &ReadModel<'_>) -> Result<HomePage, StoreError> {
    let finished = model
        .transitions(None, None, FINISHED_AMONG)?
        .into_iter()
        .filter(|it| it.previous_status.is_some())
        .filter(|it| Status::from_name(&it.status).is_settled())
        .take(FINISHED_MAX)
        .collect();
    let status = model.status()?;
    let lists = model.lists()?;
    let filter = DeliveryFilter {
        state: Some("dead".to_owned()),
        limit: Some(DEAD_LETTERS_MAX),
        ..DeliveryFilter::default()
    };
    let dead_letters =
        if status.dead_letters > 0 { model.deliveries(&filter, None)? } else { vec![] };
    Ok(HomePage {
        relative: RelativeTime { now: model.now() },
        title: status.title().to_owned(),
        problems: status.problems(),
        more_training: status.avatars_training.saturating_sub(lists.training.len() as u64),
        more_others: lists.others_count.saturating_sub(lists.others.len() as u64),
        status,
        has_operator: model.has_operator(),
        lists,
        finished,
        dead_letters,
        can_change: model.can_change(),
    })
}

async fn avatar(State(state): State<AppState>, id: PathSegment) -> Response {
    let unknown = ProblemDetails::missing("no such avatar");
    let Some(id) = segment(id).and_then(|id| AvatarId::parse(&id).ok()) else {
        return problem(&unknown);
    };
    match with_read_model(&state, move |model| avatar_page(model, &id)).await {
        Ok(Some(page)) => html(StatusCode::OK, page.render()),
        Ok(None) => problem(&unknown),
        Err(failure) => problem(&failure),
    }
}

fn avatar_page(model: &ReadModel<'_>, id: &AvatarId) -> Result<Option<AvatarPage>, StoreError> {
    let Some(avatar) = model.avatar(id)? else { return Ok(None) };
    let Ok(id) = AvatarId::parse(&avatar.id) else { return Ok(None) };
    let transitions = model.transitions(Some(&id), None, TRANSITIONS_MAX)?;
    let changes: Vec<StatusChange> = transitions.iter().rev().filter_map(change).collect();
    Ok(Some(AvatarPage {
        relative: RelativeTime { now: model.now() },
        thumbnail: model.thumbnail(&id),
        shows_picture: model.config().thumbnails,
        timeline: Timeline::of(&changes, model.now()),
        transitions,
        deliveries: model.deliveries_of(&id, DELIVERIES_MAX)?,
        can_change: model.can_change() && avatar.is_watched(),
        avatar,
    }))
}

fn change(transition: &TransitionView) -> Option<StatusChange> {
    let seen_at = transition.last_seen_previous_at.as_deref();
    Some(StatusChange {
        last_seen_previous_at: seen_at.and_then(Timestamp::parse_rfc3339),
        detected_at: Timestamp::parse_rfc3339(&transition.detected_at)?,
        status: transition.status.clone(),
    })
}

async fn deliveries(State(state): State<AppState>, uri: Uri) -> Response {
    let query = Query::parse_lenient(&uri);
    let selected = match query.one_of("state", &STATES) {
        Ok(selected) => selected,
        Err(invalid) => return problem(&invalid),
    };
    let before = query.text("before");
    let filter = DeliveryFilter {
        state: selected.clone(),
        limit: Some(DELIVERIES_MAX + 1),
        ..DeliveryFilter::default()
    };
    let page = with_read_model(&state, move |model| {
        let deliveries = model.deliveries(&filter, before.as_deref())?;
        let (deliveries, more) = cut(deliveries, DELIVERIES_MAX);
        let page = DeliveriesPage {
            relative: RelativeTime { now: model.now() },
            state: selected.unwrap_or_default(),
            states: &STATES,
            next: deliveries.last().filter(|_| more).map(|last| last.id.clone()),
            deliveries,
            can_change: model.can_change(),
        };
        Ok(page.render())
    });
    show(page.await)
}

async fn delivery(State(state): State<AppState>, id: PathSegment) -> Response {
    let id = segment(id).unwrap_or_default();
    let page = with_read_model(&state, move |model| {
        let found = model.delivery(&id)?;
        Ok(found.map(|whole| {
            let page = DeliveryPage {
                relative: RelativeTime { now: model.now() },
                whole,
                can_change: model.can_change(),
            };
            page.render()
        }))
    });
    match page.await {
        Ok(Some(page)) => html(StatusCode::OK, page),
        Ok(None) => problem(&ProblemDetails::missing("no such delivery")),
        Err(failure) => problem(&failure),
    }
}

async fn retry(State(state): State<AppState>, id: PathSegment) -> Response {
    match actions::retry(&state, &segment(id).unwrap_or_default()).await {
        Ok(id) => see_other(&format!("/deliveries/{id}")),
        Err(failure) => problem(&failure),
    }
}

async fn poll(State(state): State<AppState>, id: PathSegment) -> Response {
    let id = segment(id).unwrap_or_default();
    match actions::poll_now(&state, &id).await {
        Ok(()) => see_other(&format!("/avatars/{}", encoded(&id))),
        Err(failure) => problem(&failure),
    }
}

async fn test(State(state): State<AppState>, name: PathSegment) -> Response {
    let name = segment(name).unwrap_or_default();
    match actions::test(&state, &name).await {
        Ok(results) => {
            // The name is valid here: the channel exists.
            let channel = ChannelName::parse(&name).map(|it| it.to_string()).unwrap_or_default();
            let page = TestPage { channel, results };
            html(StatusCode::OK, page.render())
        }
        Err(failure) => problem(&failure),
    }
}

fn segment(segment: PathSegment) -> Option<String> {
    segment.ok().map(|Path(text)| text)
}

fn encoded(id: &str) -> String {
    encode_segment(id)
}

fn show(page: Result<askama::Result<String>, ProblemDetails>) -> Response {
    match page {
        Ok(page) => html(StatusCode::OK, page),
        Err(failure) => problem(&failure),
    }
}

fn html(status: StatusCode, page: askama::Result<String>) -> Response {
    match page {
        Ok(page) => {
            // Text from outside may contain characters that hide or reorder other text.
            let page = page.split('\n').map(sanitize).collect::<Vec<_>>().join("\n");
            (status, [(CACHE_CONTROL, "no-store")], Html(page)).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Redirects after a change, so that a reload does not repeat it.
fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Also in the paths of the assets, which browsers cache.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const CSS: &str = include_str!("../assets/page.css");
const JS: &str = include_str!("../assets/page.js");
const ICON: &str = include_str!("../assets/icon.svg");
/// The newest transitions in which the recently finished avatars are searched.
const FINISHED_AMONG: u32 = 200;
const FINISHED_MAX: usize = 20;
const DEAD_LETTERS_MAX: u32 = 20;
const TRANSITIONS_MAX: u32 = 200;
const DELIVERIES_MAX: u32 = 50;
