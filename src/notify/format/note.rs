//! The note: the letter as a chat shows it, before it has the form of any one chat.

use crate::domain::condition::Phase;
use crate::domain::event::{Event, Subject};
use crate::domain::status::Status;
use crate::notify::letter::Fact;
use crate::notify::telling;

/// What a chat shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// How it is meant.
    pub(super) tone: Tone,
    /// The outcome.
    pub(super) headline: String,
    /// Whose it is; foreign text.
    pub(super) about: String,
    /// What else is known; the values are foreign text.
    pub(super) facts: Vec<Fact>,
    /// What it means and what to do.
    pub(super) meaning: String,
    /// When it happened.
    pub(super) window: String,
    /// Who says so, with the end of the event's id, so that people can tell repeats.
    pub(super) footer: String,
}

/// How a note is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Something can be used, or is over.
    Good,
    /// Somebody should look.
    Bad,
    /// Everything else.
    Neutral,
}

impl Note {
    /// The note about that event.
    pub(super) fn of(event: &Event) -> Self {
        let letter = telling::letter(event);
        let id = event.id.as_str();
        let short = id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id);
        Self {
            tone: Tone::of(&event.subject),
            headline: letter.headline,
            about: letter.about,
            facts: letter.facts,
            meaning: letter.meaning,
            window: letter.window.join(" "),
            footer: format!("avatar-watch · {} · event …{short}", event.kind),
        }
    }

    /// All of it in one line, for notifications.
    pub(super) fn brief(&self) -> String {
        format!("{} {} · {}", self.tone.icon(), self.headline, self.about)
    }
}

impl Tone {
    fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Transition { transition, .. } => match transition.status {
                Status::Idle => Self::Good,
                Status::TrainingFailed | Status::Refused => Self::Bad,
                Status::NotTrained | Status::Training | Status::Unrecognized(_) => Self::Neutral,
            },
            Subject::Condition(condition) => match condition.phase {
                Phase::Begun => Self::Bad,
                Phase::Ended => Self::Good,
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

const SHORT_ID: usize = 8;
