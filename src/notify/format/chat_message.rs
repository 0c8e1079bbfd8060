//! The note: the letter as a chat shows it, before it has the form of any one chat.

use crate::domain::avatar::status::Status;
use crate::domain::condition::{ConditionSubject, Phase};
use crate::domain::event::{Event, Subject};
use crate::notify::content::ContentField;
use crate::notify::content::render;
use crate::text::sanitize::sanitize_line;

/// What a chat shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChatMessage {
    /// How it is meant.
    pub(super) tone: ChatSeverity,
    /// The outcome.
    pub(super) headline: String,
    /// Whose it is; foreign text.
    pub(super) subject_name: String,
    /// What else is known; the values are foreign text.
    pub(super) fields: Vec<ContentField>,
    /// What it means and what to do.
    pub(super) meaning: String,
    /// When it happened.
    pub(super) window: String,
    /// Who says so, with the end of the event's id, so that people can tell repeats.
    pub(super) footer: String,
    /// What tells it from others that would read alike: the ids, as short as that allows.
    pub(super) footer_ids: String,
}

/// How a note is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChatSeverity {
    /// Something can be used, or is over.
    Good,
    /// Somebody should look.
    Bad,
    /// Everything else.
    Neutral,
}

impl ChatMessage {
    /// The note about that event.
    pub(super) fn of(event: &Event) -> Self {
        let letter = render::letter(event);
        let short = end(event.id.as_str());
        Self {
            tone: ChatSeverity::of(&event.subject),
            headline: letter.headline,
            subject_name: letter.subject_name,
            fields: letter.fields,
            meaning: letter.meaning,
            window: letter.window.join(" "),
            footer: format!("avatar-watch · {} · event …{short}", event.kind),
            footer_ids: marks(&event.subject, short),
        }
    }

    /// All of it in one line, for notifications, and for services that show nothing else.
    pub(super) fn summary(&self) -> String {
        let Self { headline, subject_name: about, footer_ids: marks, .. } = self;
        format!("{} {headline} · {about} · {marks}", self.tone.icon())
    }
}

impl ChatSeverity {
    fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Transition { transition, .. } => match transition.status {
                Status::Idle => Self::Good,
                Status::TrainingFailed | Status::Refused => Self::Bad,
                Status::NotTrained | Status::Training | Status::Unrecognized(_) => Self::Neutral,
            },
            Subject::Condition(condition) => match condition.phase {
                Phase::Started => Self::Bad,
                Phase::Resolved => Self::Good,
            },
            Subject::DeadLetter(_) => Self::Bad,
            Subject::Ping { .. } => Self::Neutral,
        }
    }

    /// A picture that is told from the others without its colour.
    pub(super) const fn icon(self) -> &'static str {
        match self {
            Self::Good => "✅",
            Self::Bad => "❌",
            Self::Neutral => "ℹ️",
        }
    }
}

/// Which avatar, and which event: names are not unique.
fn marks(subject: &Subject, event: &str) -> String {
    let avatar = match subject {
        Subject::Transition { transition, .. } => Some(transition.avatar_id.as_str()),
        Subject::Condition(condition) => match &condition.subject {
            ConditionSubject::Avatar { id, .. } => Some(id.as_str()),
            ConditionSubject::Account { .. }
            | ConditionSubject::Config
            | ConditionSubject::Channel { .. } => None,
        },
        Subject::DeadLetter(letter) => letter.avatar_id.as_deref(),
        Subject::Ping { .. } => None,
    };
    let avatar =
        avatar.map(|id| format!("avatar {} · ", sanitize_line(&beginning(id), SHORT_ID + 1)));
    format!("{}event …{event}", avatar.unwrap_or_default())
}

/// The beginning of an id, as people compare ids.
fn beginning(id: &str) -> String {
    let short: String = id.chars().take(SHORT_ID).collect();
    if short.len() == id.len() { short } else { format!("{short}…") }
}

fn end(id: &str) -> &str {
    id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id)
}

const SHORT_ID: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::format::samples;

    #[test]
    fn one_line_says_which_avatar_and_which_event() {
        for event in samples::all() {
            let brief = ChatMessage::of(&event).summary();
            let short = &event.id.as_str()[event.id.as_str().len() - 8..];
            assert!(brief.ends_with(&format!(" · event …{short}")), "{brief}");
            assert!(!brief.contains("this channel") || brief.contains("works"), "{brief}");
            if let Subject::Transition { transition, .. } = &event.subject {
                let id = &transition.avatar_id.as_str()[..8];
                assert!(brief.contains(&format!(" · avatar {id}…")), "{brief}");
            }
        }
        assert_eq!(beginning("a1"), "a1");
        assert_eq!(beginning("12345678"), "12345678");
        assert_eq!(beginning("123456789"), "12345678…");
    }
}
