//! JSON API, described by `openapi.json`, which it also serves.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::store::reader::DeliveryFilter;
use crate::web::actions;
use crate::web::blocking::with_read_model;
use crate::web::delivery_views::DeliveryView;
use crate::web::endpoints::sse;
use crate::web::http::problem::{ProblemDetails, json};
use crate::web::http::query::{NoQuery, PathSegment, Query, cut};
use crate::web::state::{AppState, TestResult};
use crate::web::views::{AvatarView, ChannelView, TransitionView};

pub(in crate::web) fn routes(
    guard: impl Fn(MethodRouter<AppState>) -> MethodRouter<AppState>,
) -> Router<AppState> {
    Router::new()
        .route("/api/v1/openapi.json", guard(get(openapi)))
        .route("/api/v1/status", guard(get(status)))
        .route("/api/v1/avatars", guard(get(avatars)))
        .route("/api/v1/avatars/{id}", guard(get(avatar)))
        .route("/api/v1/avatars/{id}/transitions", guard(get(transitions)))
        .route("/api/v1/avatars/{id}/poll", guard(post(poll)))
        .route("/api/v1/transitions", guard(get(all_transitions)))
        .route("/api/v1/deliveries", guard(get(deliveries)))
        .route("/api/v1/deliveries/{id}", guard(get(delivery)))
        .route("/api/v1/deliveries/{id}/retry", guard(post(retry)))
        .route("/api/v1/channels", guard(get(channels)))
        .route("/api/v1/channels/{name}/test", guard(post(test)))
        .route("/api/v1/stream", guard(get(sse::stream)))
}

/// A page of a list; `next` is the parameter of the next page.
#[derive(Serialize)]
struct Avatars {
    avatars: Vec<AvatarView>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Transitions {
    transitions: Vec<TransitionView>,
    next: Option<i64>,
}

#[derive(Serialize)]
struct Deliveries {
    deliveries: Vec<DeliveryView>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Channels {
    channels: Vec<ChannelView>,
}

#[derive(Serialize)]
struct Retried {
    delivery_id: String,
}

#[derive(Serialize)]
struct PollRequested {
    avatar_id: String,
}

#[derive(Serialize)]
struct Tests {
    delivered: bool,
    recipients: Vec<TestResult>,
}

type ApiResult = Result<Response, ProblemDetails>;

async fn openapi(_: NoQuery) -> Response {
    let mut response = OPENAPI.into_response();
    let kind = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
    response
}

async fn status(State(state): State<AppState>, _: NoQuery) -> ApiResult {
    let status = with_read_model(&state, |model| model.status()).await?;
    Ok(json(StatusCode::OK, &status))
}

async fn avatars(State(state): State<AppState>, uri: Uri) -> ApiResult {
    let query = Query::parse_strict(&uri, &["limit", "after", "status"])?;
    let limit = query.limit()?;
    let (after, status) = (query.text("after"), query.text("status"));
    let avatars = with_read_model(&state, move |model| {
        model.avatars(after.as_deref().unwrap_or_default(), status.as_deref(), limit as usize + 1)
    })
    .await?;
    let (avatars, more) = cut(avatars, limit);
    let next = avatars.last().filter(|_| more).map(|last| last.id.clone());
    Ok(json(StatusCode::OK, &Avatars { avatars, next }))
}

async fn avatar(State(state): State<AppState>, id: PathSegment, _: NoQuery) -> ApiResult {
    let avatar = find(&state, id).await?;
    Ok(json(StatusCode::OK, &avatar))
}

async fn transitions(State(state): State<AppState>, id: PathSegment, uri: Uri) -> ApiResult {
    let id = find(&state, id).await?.id;
    page_of_transitions(&state, AvatarId::parse(&id).ok(), &uri).await
}

async fn all_transitions(State(state): State<AppState>, uri: Uri) -> ApiResult {
    page_of_transitions(&state, None, &uri).await
}

async fn page_of_transitions(state: &AppState, avatar: Option<AvatarId>, uri: &Uri) -> ApiResult {
    let query = Query::parse_strict(uri, &["limit", "before"])?;
    let (limit, before) = (query.limit()?, query.seq("before")?);
    let transitions =
        with_read_model(state, move |model| model.transitions(avatar.as_ref(), before, limit + 1))
            .await?;
    let (transitions, more) = cut(transitions, limit);
    let next = transitions.last().filter(|_| more).map(|last| last.seq);
    Ok(json(StatusCode::OK, &Transitions { transitions, next }))
}

async fn deliveries(State(state): State<AppState>, uri: Uri) -> ApiResult {
    let known = ["limit", "before", "state", "channel", "avatar"];
    let query = Query::parse_strict(&uri, &known)?;
    let limit = query.limit()?;
    let filter = DeliveryFilter {
        state: query.one_of("state", &STATES)?,
        channel: query.parsed("channel", |text| ChannelName::parse(text).is_ok())?,
        avatar: query.parsed("avatar", |text| AvatarId::parse(text).is_ok())?,
        limit: Some(limit + 1),
        ..DeliveryFilter::default()
    };
    let before = query.parsed("before", |text| DeliveryId::parse(text).is_ok())?;
    let deliveries =
        with_read_model(&state, move |model| model.deliveries(&filter, before.as_deref())).await?;
    let (deliveries, more) = cut(deliveries, limit);
    let next = deliveries.last().filter(|_| more).map(|last| last.id.clone());
    Ok(json(StatusCode::OK, &Deliveries { deliveries, next }))
}

async fn delivery(State(state): State<AppState>, id: PathSegment, _: NoQuery) -> ApiResult {
    let id = segment(id)?;
    let unknown = ProblemDetails::missing("no such delivery");
    let found = with_read_model(&state, move |model| model.delivery(&id)).await?;
    Ok(json(StatusCode::OK, &found.ok_or(unknown)?))
}

async fn channels(State(state): State<AppState>, _: NoQuery) -> ApiResult {
    let channels = with_read_model(&state, |model| model.channels()).await?;
    Ok(json(StatusCode::OK, &Channels { channels }))
}

async fn retry(State(state): State<AppState>, id: PathSegment, _: NoQuery) -> ApiResult {
    let delivery_id = actions::retry(&state, &segment(id)?).await?;
    Ok(json(StatusCode::ACCEPTED, &Retried { delivery_id }))
}

async fn poll(State(state): State<AppState>, id: PathSegment, _: NoQuery) -> ApiResult {
    let avatar_id = segment(id)?;
    actions::poll_now(&state, &avatar_id).await?;
    Ok(json(StatusCode::ACCEPTED, &PollRequested { avatar_id }))
}

async fn test(State(state): State<AppState>, name: PathSegment, _: NoQuery) -> ApiResult {
    let recipients = actions::test(&state, &segment(name)?).await?;
    let tests = Tests { delivered: recipients.iter().all(|it| it.delivered), recipients };
    Ok(json(StatusCode::OK, &tests))
}

async fn find(state: &AppState, id: PathSegment) -> Result<AvatarView, ProblemDetails> {
    let unknown = || ProblemDetails::missing("no such avatar");
    let id = AvatarId::parse(&segment(id)?).map_err(|_| unknown())?;
    with_read_model(state, move |model| model.avatar(&id)).await?.ok_or_else(unknown)
}

fn segment(segment: PathSegment) -> Result<String, ProblemDetails> {
    match segment {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(ProblemDetails::new(StatusCode::BAD_REQUEST, "the path is not valid UTF-8")),
    }
}

/// The states of a delivery.
pub(in crate::web) const STATES: [&str; 6] =
    ["pending", "sending", "delivered", "dead", "resent", "cancelled"];
const OPENAPI: &str = include_str!("../openapi.json");
