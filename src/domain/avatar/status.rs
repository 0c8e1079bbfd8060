//! The status of an avatar, in the order of Argil's documentation.
//!
//! An unknown status is kept unchanged and never guessed: it is neither training nor settled. Only
//! the case of known ones and invisible characters around them are ignored.

use std::borrow::Cow;
use std::fmt;

use crate::text::sanitize::trim_blank;

/// `AvatarStatus` of the published `OpenAPI`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// `NOT_TRAINED`: a video avatar before its training.
    NotTrained,
    /// `TRAINING`: being trained; what an image avatar is born as.
    Training,
    /// `TRAINING_FAILED`: the training ended without a usable avatar.
    TrainingFailed,
    /// `IDLE`: ready to be used.
    Idle,
    /// `REFUSED`: refused by moderation.
    Refused,
    /// Any other text, as it came.
    Unrecognized(String),
}

impl Status {
    /// The status in a response. Known names are recognized in any case, and with blanks, line
    /// breaks or invisible characters around them. Other texts are kept unchanged.
    pub fn from_answer(text: &str) -> Self {
        let bare = trim_blank(text);
        let known = Self::DOCUMENTED.into_iter().find(|name| name.eq_ignore_ascii_case(bare));
        Self::from_name(known.unwrap_or(text))
    }

    /// The status with exactly that name, as it was recorded; unknown names are kept.
    pub fn from_name(name: &str) -> Self {
        match name {
            NOT_TRAINED => Self::NotTrained,
            TRAINING => Self::Training,
            TRAINING_FAILED => Self::TrainingFailed,
            IDLE => Self::Idle,
            REFUSED => Self::Refused,
            other => Self::Unrecognized(other.to_owned()),
        }
    }

    /// Argil's own name of it.
    pub fn name(&self) -> &str {
        match self {
            Self::NotTrained => NOT_TRAINED,
            Self::Training => TRAINING,
            Self::TrainingFailed => TRAINING_FAILED,
            Self::Idle => IDLE,
            Self::Refused => REFUSED,
            Self::Unrecognized(name) => name,
        }
    }

    /// The name for people: an unrecognized one is quoted and escaped, so that different ones have
    /// different names.
    pub fn display(&self) -> Cow<'_, str> {
        match self {
            Self::Unrecognized(name) => Cow::Owned(format!("\"{}\"", name.escape_default())),
            Self::NotTrained
            | Self::Training
            | Self::TrainingFailed
            | Self::Idle
            | Self::Refused => Cow::Borrowed(self.name()),
        }
    }

    /// Whether this version knows it.
    pub const fn is_recognized(&self) -> bool {
        !matches!(self, Self::Unrecognized(_))
    }

    /// Whether it is the end of a training: usable, failed or refused.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Idle | Self::TrainingFailed | Self::Refused => true,
            Self::NotTrained | Self::Training | Self::Unrecognized(_) => false,
        }
    }

    /// The names that Argil documents, in its own order.
    pub const DOCUMENTED: [&str; 5] = [NOT_TRAINED, TRAINING, TRAINING_FAILED, IDLE, REFUSED];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const NOT_TRAINED: &str = "NOT_TRAINED";
const TRAINING: &str = "TRAINING";
const TRAINING_FAILED: &str = "TRAINING_FAILED";
const IDLE: &str = "IDLE";
const REFUSED: &str = "REFUSED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_way_there_and_back() {
        for name in Status::DOCUMENTED {
            let status = Status::from_name(name);
            assert_eq!(status.name(), name);
            assert!(!matches!(status, Status::Unrecognized(_)), "`{name}` is documented");
        }
        for odd in ["", "idle", "CONTENT_MODERATED", " IDLE", "ready\u{202e}"] {
            assert_eq!(Status::from_name(odd), Status::Unrecognized(odd.to_owned()));
            assert_eq!(Status::from_name(odd).name(), odd);
        }
    }
    #[test]
    fn only_case_and_what_surrounds_a_documented_status_are_forgiven() {
        for name in Status::DOCUMENTED {
            let status = Status::from_name(name);
            let (lower, mut mixed) = (name.to_lowercase(), name.to_lowercase());
            mixed[..1].make_ascii_uppercase();
            for text in [name, &lower, &mixed] {
                for around in ["", " ", "\n", "\r\n", "\t", "\u{a0}", "\u{200b}", "\u{feff}", "\0"]
                {
                    let text = format!("{around}{text}{around}");
                    assert_eq!(Status::from_answer(&text), status, "for {text:?}");
                }
            }
        }
        for odd in [
            "TRAINING FAILED",
            "training-failed",
            "TRAININGFAILED",
            "ID LE",
            "I\u{200b}DLE",
            "IDL\u{415}",
            "ıdle",
            "\"IDLE\"",
            "IDLE,IDLE",
            "READY",
            " Ready ",
            "",
        ] {
            assert_eq!(Status::from_answer(odd), Status::Unrecognized(odd.to_owned()));
        }
    }

    #[test]
    fn two_statuses_never_have_the_same_display() {
        let texts = ["IDLE", "\"IDLE\"", "IDL\u{415}", "I\u{200b}DLE", "ID\\LE", "IDLE ", "idle"];
        let shown: std::collections::BTreeSet<String> =
            texts.map(|it| Status::from_name(it).display().into_owned()).into();
        assert_eq!(shown.len(), texts.len(), "{shown:?}");
        assert!(shown.iter().all(|it| it.is_ascii()));
        assert_eq!(Status::Idle.display(), "IDLE");
    }
}
