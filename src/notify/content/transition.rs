//! Texts about transitions, for mails and chats.

use crate::domain::avatar::Avatar;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::{Earlier, Previous, Transition};
use crate::notify::content::{
    Content, ContentField, ContentSeverity, NAME_CHARS_MAX, display_name, format_time,
};
use crate::text::sanitize::sanitize_line;

/// The content of a transition.
pub(in crate::notify) fn render(avatar: &Avatar, transition: &Transition) -> Content {
    let id = transition.avatar_id.as_str();
    let name = display_name(&transition.avatar_id, avatar.name.as_deref());
    let status = sanitize_line(transition.status.name(), NAME_CHARS_MAX);
    let (short, title, advice, severity) = status_text(&transition.status, &status);
    let previous =
        transition.previous.status().map(|before| sanitize_line(before.name(), NAME_CHARS_MAX));
    let took = transition.training.as_ref().map(Training::describe_duration);
    let took = took.map(|value| ContentField { name: "Training took", value });
    let mut fields: Vec<ContentField> = took.into_iter().collect();
    fields.push(ContentField { name: "Avatar id", value: id.to_owned() });
    let change =
        previous.map_or_else(|| status.clone(), |before| format!("from {before} to {status}"));
    fields.push(ContentField { name: "Status", value: change });
    if let Some(model) = &avatar.model {
        fields.push(ContentField { name: "Model", value: sanitize_line(model, NAME_CHARS_MAX) });
    }
    if let Some(at) = &transition.upstream_updated_at {
        let value = sanitize_line(at, NAME_CHARS_MAX);
        fields.push(ContentField { name: "Argil's updatedAt", value });
    }
    Content {
        subject: format!("{name}: {short}"),
        title,
        subject_name: name,
        fields,
        advice,
        window: window(transition, &status),
        severity,
    }
}

/// What goes on after the name of the avatar, the title, the advice and the severity.
fn status_text(status: &Status, shown: &str) -> (String, String, &'static str, ContentSeverity) {
    let (short, title, advice, severity) = match status {
        Status::Idle => ("ready", "Ready: the avatar can be used", READY, ContentSeverity::Good),
        Status::TrainingFailed => {
            let title = "Training failed: the avatar cannot be used";
            ("training failed", title, FAILED, ContentSeverity::Bad)
        }
        Status::Refused => {
            ("refused", "Refused: the avatar cannot be used", REFUSED, ContentSeverity::Bad)
        }
        Status::Training => {
            ("in training", "The avatar is in training", WAIT, ContentSeverity::Neutral)
        }
        Status::NotTrained => {
            ("not trained", "The avatar is not trained", NOT_TRAINED, ContentSeverity::Neutral)
        }
        Status::Unrecognized(_) => {
            let (short, title) = (format!("now {shown}"), format!("The avatar is now {shown}"));
            return (short, title, UNRECOGNIZED, ContentSeverity::Neutral);
        }
    };
    (short.to_owned(), title.to_owned(), advice, severity)
}

/// When the status changed: an interval between two polls, never an instant.
fn window(transition: &Transition, status: &str) -> Vec<String> {
    let detected = format_time(transition.detected_at);
    match &transition.previous {
        Previous::Observed { status: before, at } => {
            let before = sanitize_line(before.name(), NAME_CHARS_MAX);
            let mut lines = vec![
                format!("Changed between {} (last seen as {before})", format_time(*at)),
                format!("and {detected} (first seen as {status})."),
            ];
            if transition.earlier == Some(Earlier::Observed) {
                lines.push("The training was observed before that.".to_owned());
            }
            if !transition.training_observed() && transition.status.is_settled() {
                lines.push("The training fell between two polls and was not observed.".to_owned());
            }
            lines
        }
        Previous::Absent => vec![
            format!("Changed before {detected}, when a list first showed the avatar;"),
            "the list before did not contain it.".to_owned(),
        ],
        Previous::Assumed(before) => vec![
            format!("Changed before {detected}, the time of the first poll;"),
            format!(
                "the config assumes {} as the status before.",
                sanitize_line(before.name(), NAME_CHARS_MAX)
            ),
        ],
        Previous::Unknown => {
            vec![format!("Changed before {detected}, the time of the first poll.")]
        }
    }
}

const READY: &str = "What to do: nothing. The avatar can be used for videos now.";
const FAILED: &str = "What to do: the API gives no reason. Check the avatar in Argil's own \
    application and the material that it was trained with, then train it again. If that fails as \
    well, contact Argil's support with the avatar id above.";
const REFUSED: &str = "What to do: Argil's moderation did not accept the avatar. The API gives no \
    reason; Argil may have sent one to the owner of the account. Check the material and the \
    consent of the person shown, and create a new avatar. The same material is likely to be \
    refused again.";
const WAIT: &str = "What to do: nothing. You are notified when the training ends.";
const NOT_TRAINED: &str =
    "What to do: start the training in Argil if the avatar should be trained.";
const UNRECOGNIZED: &str = "What to do: Argil does not document this status, so avatar-watch \
    draws no conclusion from it. Check the avatar in Argil's own application.";
