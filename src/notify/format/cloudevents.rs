//! The `cloudevents` format: `CloudEvents` 1.0 as JSON, in structured mode. Its `data` is the
//! `data` of the standard body.

use serde::Serialize;

use crate::domain::event::Event;
use crate::notify::format::standard::{self, Data};

/// The body of the event; the same arguments give the same bytes.
pub(super) fn render(event: &Event, source: &str) -> Vec<u8> {
    let envelope = CloudEvent {
        specversion: "1.0",
        id: event.id.as_str(),
        source,
        kind: event.kind.name(),
        subject: event.related_avatar(),
        time: event.occurred_at.to_string(),
        datacontenttype: standard::CONTENT_TYPE,
        data: standard::data(event),
    };
    // Serializing cannot fail: all map keys are strings, and the writer is memory. An empty body
    // would not be sent.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}
