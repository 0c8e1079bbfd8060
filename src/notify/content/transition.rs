//! What a mail says about a transition.

use crate::domain::avatar::Avatar;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::{Earlier, Previous, Transition};
use crate::domain::event::Event;
use crate::domain::time::humanize::humanize;
use crate::notify::content::{
    BAD, Content, ContentField, GOOD, NAME_CHARS_MAX, NEUTRAL, display_name, format_time,
};
use crate::text::sanitize::sanitize_line;

/// The letter about a transition.
pub(in crate::notify) fn render(
    event: &Event,
    avatar: &Avatar,
    transition: &Transition,
    training: Option<&Training>,
) -> Content {
    let id = transition.avatar_id.as_str();
    let name = display_name(&transition.avatar_id, avatar.name.as_deref());
    let status = sanitize_line(transition.status.name(), NAME_CHARS_MAX);
    let end = StatusText::of(&transition.status, &status);
    let previous =
        transition.previous.status().map(|before| sanitize_line(before.name(), NAME_CHARS_MAX));
    let took =
        training.map(|training| ContentField { name: "Training took", value: duration(training) });
    let mut facts: Vec<ContentField> = took.into_iter().collect();
    facts.push(ContentField { name: "Avatar id", value: id.to_owned() });
    let change =
        previous.map_or_else(|| status.clone(), |before| format!("from {before} to {status}"));
    facts.push(ContentField { name: "Status", value: change });
    if let Some(model) = &avatar.model {
        facts.push(ContentField { name: "Model", value: sanitize_line(model, NAME_CHARS_MAX) });
    }
    if let Some(at) = &transition.upstream_updated_at {
        let value = sanitize_line(at, NAME_CHARS_MAX);
        facts.push(ContentField { name: "Argil's updatedAt", value });
    }
    Content {
        subject: format!("{name}: {}", end.word),
        headline: end.headline,
        subject_name: name,
        fields: facts,
        meaning: end.meaning.to_owned(),
        window: window(transition, &status),
        status,
        color: end.color,
        event: event.id.clone(),
    }
}

/// How a status is told.
struct StatusText {
    word: String,
    headline: String,
    meaning: &'static str,
    color: &'static str,
}

impl StatusText {
    fn of(status: &Status, shown: &str) -> Self {
        let (word, headline, meaning, color) = match status {
            Status::Idle => ("ready", "Ready: the avatar can be used", READY, GOOD),
            Status::TrainingFailed => {
                ("training failed", "Training failed: the avatar cannot be used", FAILED, BAD)
            }
            Status::Refused => ("refused", "Refused: the avatar cannot be used", REFUSED, BAD),
            Status::Training => ("in training", "The avatar is in training", WAIT, NEUTRAL),
            Status::NotTrained => {
                ("not trained", "The avatar is not trained", NOT_TRAINED, NEUTRAL)
            }
            Status::Unrecognized(_) => {
                return Self {
                    word: format!("now {shown}"),
                    headline: format!("The avatar is now {shown}"),
                    meaning: UNRECOGNIZED,
                    color: NEUTRAL,
                };
            }
        };
        Self { word: word.to_owned(), headline: headline.to_owned(), meaning, color }
    }
}

/// How long it lasted, as far as we saw: from our first sight of it, to between our last one and
/// our first sight of its end.
fn duration(training: &Training) -> String {
    let (min, max) = (humanize(training.duration_min), humanize(training.duration_max));
    let lasted = if min == max { format!("about {max}") } else { format!("{min} to {max}") };
    format!("{lasted}, from our first sight of it")
}

/// What is known about when it happened: an interval, never an instant.
fn window(transition: &Transition, status: &str) -> Vec<String> {
    let detected = format_time(transition.detected_at);
    match &transition.previous {
        Previous::Observed { status: before, at } => {
            let before = sanitize_line(before.name(), NAME_CHARS_MAX);
            let mut lines = vec![
                format!("It happened between {} and {detected}:", format_time(*at)),
                format!("then we last saw {before}, and first saw {status}."),
            ];
            if transition.earlier == Some(Earlier::Observed) {
                lines.push("The training was seen before that.".to_owned());
            }
            if !transition.training_observed() && transition.status.is_settled() {
                lines.push(
                    "The training itself was not seen: it fell between two looks.".to_owned(),
                );
            }
            lines
        }
        Previous::Absent => vec![
            format!("It happened before {detected}, when a list first showed it;"),
            "the list before did not have it.".to_owned(),
        ],
        Previous::Assumed(before) => vec![
            format!("It happened before {detected}, when we first looked;"),
            format!(
                "the registration said that it was {} before.",
                sanitize_line(before.name(), NAME_CHARS_MAX)
            ),
        ],
        Previous::Unknown => vec![format!("It happened before {detected}, when we first looked.")],
    }
}

const READY: &str = "What to do: nothing; it can be used for videos from now on.";
const FAILED: &str = "What to do: Argil gives no reason here. Look at the avatar in Argil's own \
    application, check the material that it was trained with, and train it again; if that fails \
    as well, ask Argil's support with the avatar id above.";
const REFUSED: &str = "What to do: Argil's moderation did not accept the avatar, and gives no \
    reason here; it may have written to the owner of the account. Check the material and the \
    consent of the person shown, and create a new avatar; trying the same again will not help.";
const WAIT: &str = "What to do: nothing; you will be told when the training has ended.";
const NOT_TRAINED: &str = "What to do: start the training in Argil, if it should be trained.";
const UNRECOGNIZED: &str = "What to do: Argil does not document this status, so we do not guess \
    what it means. Look at the avatar in Argil's own application.";
