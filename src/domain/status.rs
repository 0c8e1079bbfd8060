//! The status of an avatar, as Argil names it, in the order of Argil's own page.
//!
//! A status that nobody knows is kept as it came and never guessed: it is neither training nor
//! settled.

use std::fmt;

/// What Argil says of an avatar: `AvatarStatus` of the published `OpenAPI`.
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
    /// The status of that name; every text is one, since an unknown one is kept.
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
}
