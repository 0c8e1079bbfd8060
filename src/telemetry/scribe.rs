//! The scribe: makes a line of each event, with the fields of the spans that it is in.
//!
//! Texts are cut at [`TEXT_MAX`], so that no line is without bounds.

use std::fmt::Debug;

use serde_json::{Number, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::line::{Dress, Line};
use crate::telemetry::log::LogFormat;
use crate::telemetry::output_queue::Piece;

/// Writes lines.
pub(super) struct Scribe<W> {
    pub(super) look: Look,
    /// Where lines go.
    pub(super) write: W,
}

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) format: LogFormat,
    pub(super) dress: Dress,
    /// Whether they are entries of the journal, where that takes them.
    pub(super) journalled: bool,
}

impl Look {
    /// A line as a piece of output.
    pub(super) fn piece(self, line: &Line) -> Piece {
        let text = match self.format {
            LogFormat::Human => line.human(self.dress),
            LogFormat::Json => line.json(self.dress),
        };
        let entry = self.journalled.then(|| line.entry());
        Piece { text, entry }
    }
}

impl<S, W> Layer<S> for Scribe<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(Piece) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                outer.named.iter().for_each(|(name, value)| fields.add(name, value.clone()));
            }
        }
        let Fields { message, named } = fields;
        let line = Line { level: *event.metadata().level(), at: at(), message, fields: named };
        (self.write)(self.look.piece(&line));
    }
}

/// The time, as lines print it.
pub(super) fn at() -> String {
    let mut at = String::new();
    if SystemTime.format_time(&mut Writer::new(&mut at)).is_err() {
        at.clear();
    }
    at
}

/// What an event or a span says of itself.
#[derive(Clone, Debug, Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, Value)>,
}

impl Fields {
    /// What is nearer to the event comes first, and stays.
    fn add(&mut self, name: &'static str, value: Value) {
        if !self.named.iter().any(|(known, _)| *known == name) {
            self.named.push((name, value));
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
        self.add(field.name(), number);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = cut(value.to_owned());
        } else {
            self.add(field.name(), cut(value.to_owned()).into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

/// Bytes of a message or of a value; escaped, a line of them still fits into a datagram.
const TEXT_MAX: usize = 4096;
