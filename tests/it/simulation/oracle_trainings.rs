//! The part of the oracle that follows trainings through what was recorded: an avatar that was
//! once seen in `TRAINING` and later in an outcome is reported as the end of an observed training,
//! unless it was reset to `NOT_TRAINED` in between.

use std::collections::BTreeMap;

use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::transition::{Previous, Transition};

use crate::simulation::history::History;

/// What is known of a training before a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trained {
    /// None was seen, or it has ended.
    No,
    /// One was registered, or seen and then reset.
    Supposed,
    /// One was seen, and since then nothing that could have ended it.
    Seen,
}

/// What is known before each transition, by avatar and number.
pub(super) fn trained(history: &History) -> BTreeMap<(&AvatarId, u64), Trained> {
    let mut now: BTreeMap<&AvatarId, Trained> = BTreeMap::new();
    let mut before = BTreeMap::new();
    for transition in &history.transitions {
        let state = now.entry(&transition.avatar_id).or_insert(Trained::No);
        if let Previous::Assumed(status) = &transition.previous
            && status.name() == "TRAINING"
        {
            *state = Trained::Supposed;
        }
        before.insert((&transition.avatar_id, transition.sequence), *state);
        *state = match (transition.status.name(), *state) {
            ("TRAINING", _) => Trained::Seen,
            ("IDLE" | "TRAINING_FAILED" | "REFUSED", _) | ("NOT_TRAINED", Trained::No) => {
                Trained::No
            }
            ("NOT_TRAINED", Trained::Seen | Trained::Supposed) => Trained::Supposed,
            (_, state) => state,
        };
    }
    before
}

/// `training_observed` of an outcome is true exactly when its training was seen.
pub(super) fn judge(history: &History, violations: &mut Vec<String>) {
    let trained = trained(history);
    for transition in history.transitions.iter().filter(|it| is_outcome(it)) {
        let Transition { avatar_id, sequence, .. } = transition;
        let seen = trained.get(&(avatar_id, *sequence)) == Some(&Trained::Seen);
        if transition.training_observed() != seen {
            violations.push(format!("TRAINED `{avatar_id}`: {sequence} says {}", !seen));
        }
    }
}

fn is_outcome(transition: &Transition) -> bool {
    matches!(transition.status.name(), "IDLE" | "TRAINING_FAILED" | "REFUSED")
}
