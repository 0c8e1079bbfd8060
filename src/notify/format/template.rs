//! The `template` format: a tree of JSON whose texts are templates of minijinja.
//!
//! What comes out is always JSON, since only texts are rendered and the tree is put together by
//! us. A text that is one `{{ expression }}` alone becomes the value itself. Work, depth and size
//! are bounded. No template reads a file, an environment or a clock.

use std::io;
use std::panic::resume_unwind;
use std::thread;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value, json};

use crate::domain::condition::ConditionSubject;
use crate::domain::delivery::template_tree::{TemplateTree, element, member};
use crate::domain::event::{Event, Subject};
use crate::notify::format::chat_message::{ChatMessage, ChatSeverity};
use crate::notify::format::{cloudevents, standard, template_bounds};
use crate::text::sanitize::sanitize_line;

/// A template, and what its body is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The tree.
    pub tree: TemplateTree,
    /// The content type of what comes out.
    pub content_type: String,
}

/// What is wrong with one text of a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where it stands in the tree; empty for the tree itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl TemplateError {
    /// Where and what, on one line: the trouble may name a value that came from outside.
    pub fn sentence(&self) -> String {
        sanitize_line(&format!("`template{}` {}", self.path, self.message), SENTENCE_CHARS_MAX)
    }
}

impl Template {
    /// The body about that event, the same bytes every time.
    ///
    /// # Errors
    /// When a text cannot be rendered, or the body is too large.
    pub fn render(&self, event: &Event) -> Result<Vec<u8>, TemplateError> {
        with_room(|| self.body(event))
    }

    fn body(&self, event: &Event) -> Result<Vec<u8>, TemplateError> {
        let value = value(&self.tree, String::new(), &context(event), self.fuel())?;
        let body = value.to_string().into_bytes();
        if body.len() > BODY_MAX {
            let message = format!("makes a body of more than {BODY_MAX} bytes");
            return Err(TemplateError { path: String::new(), message });
        }
        Ok(body)
    }

    /// What is wrong with it for one of those events: the first fault of each text.
    pub fn check(&self, events: &[Event]) -> Vec<TemplateError> {
        with_room(|| self.found(events))
    }

    /// The steps of each text: all together have a limit, too.
    fn fuel(&self) -> u64 {
        let texts = u64::try_from(self.tree.texts().len()).unwrap_or(u64::MAX);
        (FUEL_IN_ALL / texts.max(1)).min(FUEL)
    }

    fn found(&self, events: &[Event]) -> Vec<TemplateError> {
        let contexts: Vec<_> = events.iter().map(|event| (event.kind, context(event))).collect();
        let (mut faults, fuel) = (Vec::new(), self.fuel());
        for (path, source) in self.tree.texts() {
            let fault = contexts.iter().find_map(|(kind, context)| {
                let error = rendered(source, context, fuel).err()?;
                Some(match error {
                    Broken::Syntax(said) => said,
                    Broken::Use(said) => format!("{said}, for `{kind}`"),
                })
            });
            faults.extend(fault.map(|message| TemplateError { path, message }));
        }
        if faults.is_empty() {
            faults.extend(events.iter().find_map(|event| self.body(event).err()));
        }
        faults
    }
}

/// Does it where the engine has room to go down a level for each operator in a row, which it does
/// without an end of its own; where no thread is to be had, here.
fn with_room<T: Send>(work: impl Fn() -> T + Sync) -> T {
    let done = thread::scope(|scope| {
        let apart = thread::Builder::new().stack_size(STACK_SIZE);
        apart.spawn_scoped(scope, &work).ok().map(thread::ScopedJoinHandle::join)
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
    /// It is no template, whatever it is about.
    Syntax(String),
    /// It is one, but not about this.
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
    // They make long lists of short ones.
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
        let value = expression.eval(context).map_err(|error| Broken::Use(said(&error)))?;
        if value.is_undefined() {
            return Err(Broken::Use(NOT_THERE.to_owned()));
        }
        // A list may be longer than anything in the text: what is lazy was not counted yet.
        let mut json = Capped(Vec::new());
        return match serde_json::to_writer(&mut json, &value) {
            Ok(()) => serde_json::from_slice(&json.0).map_err(|_| Broken::Use(NO_JSON.to_owned())),
            Err(_) if json.0.len() > BODY_MAX => Err(Broken::Use(too_large())),
            Err(_) => Err(Broken::Use(NO_JSON.to_owned())),
        };
    }
    let template =
        engine.template_from_str(source).map_err(|error| Broken::Syntax(said(&error)))?;
    let mut text = Capped(Vec::new());
    match template.render_captured_to(context, &mut text) {
        Ok(_) => Ok(String::from_utf8_lossy(&text.0).into_owned().into()),
        Err(_) if text.0.len() > BODY_MAX => Err(Broken::Use(too_large())),
        Err(error) => Err(Broken::Use(said(&error))),
    }
}

/// `range`, as long as anybody needs.
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

/// The inside of a text that is one `{{ … }}` and nothing else. That it is only one shows when it
/// is compiled.
fn single_expression(source: &str) -> Option<&str> {
    let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim())
}

fn said(error: &Error) -> String {
    if error.kind() == ErrorKind::UndefinedError {
        return NOT_THERE.to_owned();
    }
    let detail = error.detail().map(|detail| format!(": {detail}"));
    let line = error.line().filter(|line| *line > 1).map(|line| format!(" in its line {line}"));
    let (detail, line) = (detail.unwrap_or_default(), line.unwrap_or_default());
    format!("cannot be rendered{line}: {}{detail}", error.kind())
}

/// What a template can name.
fn context(event: &Event) -> Value {
    let note = ChatMessage::of(event);
    let body = serde_json::from_slice::<Value>(&standard::render(event)).unwrap_or_default();
    let tone = match note.tone {
        ChatSeverity::Good => "good",
        ChatSeverity::Bad => "bad",
        ChatSeverity::Neutral => "neutral",
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
    let facts: Vec<Value> =
        note.fields.iter().map(|fact| json!({ "name": fact.name, "value": fact.value })).collect();
    json!({
        "id": event.id.as_str(),
        "type": body["type"],
        "timestamp": body["timestamp"],
        "data": body["data"],
        "tone": tone,
        "text": note.summary(),
        "headline": note.headline,
        "about": note.subject_name,
        "facts": facts,
        "meaning": note.meaning,
        "window": note.window,
        "footer": note.footer,
        "avatar_id": cloudevents::subject(event),
        "avatar_name": name,
        "status": status,
        "previous_status": previous,
    })
}

/// Takes no more than a body may have.
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
/// What the deepest text takes that is not too long, and as much again; only what is used is taken.
const STACK_SIZE: usize = 64 * 1024 * 1024;
const BODY_MAX: usize = 64 * 1024;
const NO_JSON: &str = "gives what JSON cannot hold";
const NOT_THERE: &str = "uses what is not there";
const RANGE_MAX: usize = 1000;
/// Steps of one text.
const FUEL: u64 = 50_000;
/// Steps of all texts of a template.
const FUEL_IN_ALL: u64 = 500_000;
const DEPTH_MAX: usize = 32;

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
