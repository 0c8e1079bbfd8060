//! Texts about transitions, for mails and chats.

use crate::domain::avatar::Avatar;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::{Earlier, Previous, Transition};
use crate::domain::time::time_zone::TimeZone;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::content::{
    Content, ContentField, ContentSeverity, NAME_CHARS_MAX, display_name, named_avatar,
};
use crate::text::sanitize::sanitize_line;

/// The content of a transition.
pub(in crate::notify) fn render(
    avatar: &Avatar,
    transition: &Transition,
    zone: &TimeZone,
) -> Content {
    let id = transition.avatar_id.as_str();
    let name = display_name(&transition.avatar_id, avatar.name.as_deref());
    let who = named_avatar(&transition.avatar_id, avatar.name.as_deref());
    let status = sanitize_line(transition.status.name(), NAME_CHARS_MAX);
    let StatusText { short, clause, detail, advice, severity } =
        status_text(&transition.status, &status);
    let previous =
        transition.previous.status().map(|before| sanitize_line(before.name(), NAME_CHARS_MAX));
    let took = transition.training.as_ref().map(Training::describe_duration);
    let took = took.map(|value| ContentField::new("Training took", value));
    let mut fields: Vec<ContentField> = took.into_iter().collect();
    fields.push(ContentField::new("Avatar id", id.to_owned()));
    let change =
        previous.map_or_else(|| status.clone(), |before| format!("from {before} to {status}"));
    fields.push(ContentField::new("Status", change));
    if let Some(model) = &avatar.model {
        fields.push(ContentField::new("Model", sanitize_line(model, NAME_CHARS_MAX)));
    }
    if let Some(at) = &transition.upstream_updated_at {
        let value = Timestamp::parse_rfc3339(at).map(|at| zone.show(at));
        let value = value.unwrap_or_else(|| sanitize_line(at, NAME_CHARS_MAX));
        fields.push(ContentField::new("Last changed at Argil", value));
    }
    Content {
        subject: format!("{name}: {short}"),
        title: format!("{who} {clause}"),
        subject_name: name,
        detail: detail.to_owned(),
        fields,
        advice: advice.to_owned(),
        window: window(transition, &status, zone),
        severity,
        link: None,
    }
}

struct StatusText {
    /// What goes on after the name and a colon, in a subject line.
    short: String,
    /// What goes on after the name, in a sentence.
    clause: String,
    detail: &'static str,
    advice: &'static str,
    severity: ContentSeverity,
}

fn status_text(status: &Status, shown: &str) -> StatusText {
    let text = |short: &str, clause: &str, detail, advice, severity| StatusText {
        short: short.to_owned(),
        clause: clause.to_owned(),
        detail,
        advice,
        severity,
    };
    let (good, bad) = (ContentSeverity::Good, ContentSeverity::Bad);
    let neutral = ContentSeverity::Neutral;
    match status {
        Status::Idle => text("ready", "is ready", USABLE, READY, good),
        Status::TrainingFailed => {
            text("training failed", "failed in training", UNUSABLE, FAILED, bad)
        }
        Status::Refused => text("refused", "was refused", MODERATED, REFUSED, bad),
        Status::Training => text("in training", "is in training", STARTED, WAIT, neutral),
        Status::NotTrained => text("not trained", "is not trained", UNUSABLE, NOT_TRAINED, neutral),
        Status::Unrecognized(_) => {
            let now = format!("now {shown}");
            text(&now, &format!("is {now}"), UNDOCUMENTED, UNRECOGNIZED, neutral)
        }
    }
}

/// When the status changed: an interval between two polls, never an instant.
fn window(transition: &Transition, status: &str, zone: &TimeZone) -> Vec<String> {
    let detected = zone.show(transition.detected_at);
    match &transition.previous {
        Previous::Observed { status: before, at } => {
            let before = sanitize_line(before.name(), NAME_CHARS_MAX);
            let mut lines = vec![
                format!("Changed between {} (last seen as {before})", zone.show(*at)),
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

const USABLE: &str = "The avatar can be used for videos now.";
const UNUSABLE: &str = "The avatar cannot be used.";
const MODERATED: &str = "Argil's moderation did not accept the avatar. It cannot be used.";
const STARTED: &str = "Its training has started.";
const UNDOCUMENTED: &str = "Argil does not document this status.";
const READY: &str = "What to do: nothing.";
const FAILED: &str = "What to do: check the avatar in Argil's own application and the material \
    that it was trained with, then train it again; the API gives no reason. If that fails as well, \
    contact Argil's support with the avatar's id.";
const REFUSED: &str = "What to do: check the material and the consent of the person shown, and \
    create a new avatar. The same material is likely to be refused again. The API gives no reason; \
    Argil may have sent one to the owner of the account.";
const WAIT: &str = "What to do: nothing. You are notified when the training ends.";
const NOT_TRAINED: &str =
    "What to do: start the training in Argil if the avatar should be trained.";
const UNRECOGNIZED: &str = "What to do: check the avatar in Argil's own application. avatar-watch \
    draws no conclusion from this status.";
