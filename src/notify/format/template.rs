//! The `template` format: a JSON tree with texts that are minijinja templates.
//!
//! The output is always JSON, since only the texts of the tree are rendered. A text that consists
//! of one `{{ expression }}` becomes the value of the expression. Steps, depth and size are
//! bounded. A template cannot read files, the environment or a clock.

use std::io;
use std::panic::resume_unwind;
use std::thread;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value, json};

use crate::domain::condition::ConditionSubject;
use crate::domain::delivery::template_tree::{TemplateTree, element, member};
use crate::domain::event::{Event, Subject};
use crate::notify::content::ContentSeverity;
use crate::notify::format::chat::chat_message::ChatMessage;
use crate::notify::format::{standard, template_bounds};
use crate::notify::message_context::MessageContext;
use crate::text::sanitize::sanitize_line;

/// A template, and the content type of its bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// JSON with texts that are templates.
    pub tree: TemplateTree,
    /// The media type of the bodies.
    pub content_type: String,
}

/// A problem of one text of a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The path of the text in the tree; empty for the tree itself.
    pub path: String,
    /// For people; goes on after the path.
    pub message: String,
}

impl TemplateError {
    /// Path and message, sanitized to one line, since a message may contain a value from outside.
    pub fn sentence(&self) -> String {
        sanitize_line(&format!("`template{}` {}", self.path, self.message), SENTENCE_CHARS_MAX)
    }
}

impl Template {
    /// Renders the event; the same arguments give the same bytes.
    ///
    /// # Errors
    /// When a text cannot be rendered, or the body is too large.
    pub fn render(
        &self,
        event: &Event,
        context: &MessageContext,
    ) -> Result<Vec<u8>, TemplateError> {
        let variables = variables(event, context);
        with_large_stack(|| self.body(&variables))
    }

    fn body(&self, variables: &Value) -> Result<Vec<u8>, TemplateError> {
        let value = value(&self.tree, String::new(), variables, self.fuel())?;
        let body = value.to_string().into_bytes();
        if body.len() > BODY_MAX {
            let message = format!("makes a body of more than {BODY_MAX} bytes");
            return Err(TemplateError { path: String::new(), message });
        }
        Ok(body)
    }

    /// The first error of each text, for any of the events.
    pub fn check(&self, events: &[Event]) -> Vec<TemplateError> {
        with_large_stack(|| self.errors(events))
    }

    /// The step limit of one text, so that all texts together stay below their own limit.
    fn fuel(&self) -> u64 {
        let texts = u64::try_from(self.tree.texts().len()).unwrap_or(u64::MAX);
        (FUEL_TOTAL / texts.max(1)).min(FUEL)
    }

    fn errors(&self, events: &[Event]) -> Vec<TemplateError> {
        let context = MessageContext::PLAIN;
        let contexts: Vec<_> =
            events.iter().map(|event| (event.kind, variables(event, &context))).collect();
        let (mut errors, fuel) = (Vec::new(), self.fuel());
        for (path, source) in self.tree.texts() {
            let error = contexts.iter().find_map(|(kind, context)| {
                Some(match rendered(source, context, fuel).err()? {
                    Broken::Syntax(text) => text,
                    Broken::Use(text) => format!("{text}, for `{kind}`"),
                })
            });
            errors.extend(error.map(|message| TemplateError { path, message }));
        }
        if errors.is_empty() {
            errors.extend(contexts.iter().find_map(|(_, it)| self.body(it).err()));
        }
        errors
    }
}

/// Runs `work` on a thread with a large stack, since the engine recurses once for each operator in
/// a row, without a limit of its own. Runs it on this thread when none can be started.
fn with_large_stack<T: Send>(work: impl Fn() -> T + Sync) -> T {
    let done = thread::scope(|scope| {
        let large = thread::Builder::new().stack_size(STACK_SIZE);
        large.spawn_scoped(scope, &work).ok().map(thread::ScopedJoinHandle::join)
    });
    match done {
        Some(Ok(done)) => done,
        Some(Err(panic)) => resume_unwind(panic),
        None => work(),
    }
}

fn value(
    tree: &TemplateTree,
    path: String,
    context: &Value,
    fuel: u64,
) -> Result<Value, TemplateError> {
    Ok(match tree {
        TemplateTree::Flag(flag) => (*flag).into(),
        TemplateTree::Integer(number) => (*number).into(),
        TemplateTree::Number(number) => (*number).into(),
        TemplateTree::Text(source) => rendered(source, context, fuel).map_err(|error| {
            let (Broken::Syntax(message) | Broken::Use(message)) = error;
            TemplateError { path, message }
        })?,
        TemplateTree::List(list) => {
            let node = |(index, node)| value(node, element(&path, index), context, fuel);
            list.iter().enumerate().map(node).collect::<Result<_, _>>()?
        }
        TemplateTree::Object(entries) => {
            let mut object = Map::new();
            for (name, node) in entries {
                object.insert(name.clone(), value(node, member(&path, name), context, fuel)?);
            }
            object.into()
        }
    })
}

/// Why a text was not rendered.
enum Broken {
    /// The text is not a valid template.
    Syntax(String),
    /// The template does not fit this event.
    Use(String),
}

fn rendered(source: &str, context: &Value, fuel: u64) -> Result<Value, Broken> {
    if let Some(refusal) = template_bounds::refusal(source) {
        return Err(Broken::Syntax(refusal));
    }
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_fuel(Some(fuel));
    engine.set_recursion_limit(DEPTH_MAX);
    // These functions and filters make long lists out of short ones.
    engine.add_function("range", range);
    for function in ["dict", "namespace", "debug"] {
        engine.add_function(function, || -> Result<(), Error> {
            Err(Error::new(ErrorKind::UnknownFunction, "there is no such function here"))
        });
    }
    ["chain", "zip", "batch", "slice"].into_iter().for_each(|filter| engine.remove_filter(filter));
    let context = minijinja::Value::from(minijinja::value::Serde(context));
    if let Some(expression) = single_expression(source)
        && let Ok(expression) = engine.compile_expression(expression)
    {
        let value = expression.eval(context).map_err(|error| Broken::Use(error_text(&error)))?;
        if value.is_undefined() {
            return Err(Broken::Use(NOT_THERE.to_owned()));
        }
        // A lazy list may be long, and the engine has not counted its steps yet.
        let mut json = Capped(Vec::new());
        return match serde_json::to_writer(&mut json, &value) {
            Ok(()) => serde_json::from_slice(&json.0).map_err(|_| Broken::Use(NO_JSON.to_owned())),
            Err(_) if json.0.len() > BODY_MAX => Err(Broken::Use(too_large())),
            Err(_) => Err(Broken::Use(NO_JSON.to_owned())),
        };
    }
    let template =
        engine.template_from_str(source).map_err(|error| Broken::Syntax(error_text(&error)))?;
    let mut text = Capped(Vec::new());
    match template.render_captured_to(context, &mut text) {
        Ok(_) => Ok(String::from_utf8_lossy(&text.0).into_owned().into()),
        Err(_) if text.0.len() > BODY_MAX => Err(Broken::Use(too_large())),
        Err(error) => Err(Broken::Use(error_text(&error))),
    }
}

/// `range` with a limit on its length.
fn range(from: isize, to: Option<isize>, step: Option<isize>) -> Result<minijinja::Value, Error> {
    let range = minijinja::functions::range(from, to, step)?;
    match range.len() {
        Some(..=RANGE_MAX) => Ok(range),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "the range has over 1000 numbers")),
    }
}

fn too_large() -> String {
    format!("makes more than {BODY_MAX} bytes")
}

/// The content of a text that begins with `{{` and ends with `}}`. Compiling it shows whether it is
/// one expression.
fn single_expression(source: &str) -> Option<&str> {
    let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim())
}

fn error_text(error: &Error) -> String {
    if error.kind() == ErrorKind::UndefinedError {
        return NOT_THERE.to_owned();
    }
    let detail = error.detail().map(|detail| format!(": {detail}"));
    let line = error.line().filter(|line| *line > 1).map(|line| format!(" in its line {line}"));
    let (detail, line) = (detail.unwrap_or_default(), line.unwrap_or_default());
    format!("cannot be rendered{line}: {}{detail}", error.kind())
}

/// The variables of a template.
fn variables(event: &Event, context: &MessageContext) -> Value {
    let message = ChatMessage::of(event, context);
    let body = serde_json::from_slice::<Value>(&standard::render(event)).unwrap_or_default();
    let severity = match message.content.severity {
        ContentSeverity::Good => "good",
        ContentSeverity::Bad => "bad",
        ContentSeverity::Neutral => "neutral",
    };
    let (name, status, previous) = match &event.subject {
        Subject::Transition { avatar, transition, .. } => (
            avatar.name.as_deref(),
            Some(transition.status.name()),
            transition.previous.status().map(|status| status.name()),
        ),
        Subject::Condition(condition) => match &condition.subject {
            ConditionSubject::Avatar { name, status, .. } => {
                (name.as_deref(), status.as_ref().map(|status| status.name()), None)
            }
            ConditionSubject::Account { .. }
            | ConditionSubject::Config
            | ConditionSubject::Channel { .. } => (None, None, None),
        },
        Subject::DeadLetter(_) | Subject::Ping { .. } => (None, None, None),
    };
    let fields: Vec<Value> = message
        .content
        .fields
        .iter()
        .map(|field| json!({ "name": field.name, "value": field.value }))
        .collect();
    json!({
        "id": event.id.as_str(),
        "type": body["type"],
        "timestamp": body["timestamp"],
        "data": body["data"],
        "severity": severity,
        "text": message.summary(),
        "title": message.content.title,
        "subject": message.content.subject_name,
        "detail": message.content.detail,
        "fields": fields,
        "advice": message.content.advice,
        "window": message.window,
        "footer": message.footer,
        "url": message.content.link.map(|link| link.url),
        "avatar_id": event.related_avatar(),
        "avatar_name": name,
        "status": status,
        "previous_status": previous,
    })
}

/// A buffer that fails beyond the limit of a body.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > BODY_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SENTENCE_CHARS_MAX: usize = 300;
/// Bytes: twice what the deepest text of allowed length uses. Only used pages take memory.
const STACK_SIZE: usize = 64 * 1024 * 1024;
const BODY_MAX: usize = 64 * 1024;
const NO_JSON: &str = "gives a value that JSON cannot represent";
const NOT_THERE: &str = "uses an undefined name";
const RANGE_MAX: usize = 1000;
/// Steps of the engine for one text.
const FUEL: u64 = 50_000;
/// Steps of the engine for all texts of a template.
const FUEL_TOTAL: u64 = 500_000;
const DEPTH_MAX: usize = 32;

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
