//! The part of the oracle that judges conditions: told once when they begin and once when they
//! end, with a reason each time, and none left over when everything behaves.

use std::collections::{BTreeMap, BTreeSet};

use crate::simulation::history::{ConditionEvent, History, Look, Shown};

pub(super) fn judge(history: &History, wrongs: &mut Vec<String>) {
    let mut holding = BTreeSet::new();
    for event in &history.conditions {
        let ConditionEvent { kind, subject, state, .. } = event;
        let place = (kind.clone(), subject.clone());
        let in_turn = match state.as_str() {
            "begun" => holding.insert(place),
            _ => holding.remove(&place),
        };
        if !in_turn {
            wrongs.push(format!("CONDITION {kind} of `{subject}` has {state} twice"));
        }
    }
    if holding != history.holding {
        let held = &history.holding;
        wrongs.push(format!("CONDITION {holding:?} were told to hold, {held:?} do"));
    }
    for (kind, subject) in &history.holding {
        let training = history.statuses.iter().find(|(id, _)| id.as_str() == subject);
        let training = training.is_some_and(|(_, status)| status.name() == "TRAINING");
        if kind != "avatar.training_overdue" || !training {
            wrongs.push(format!("I9 {kind} of `{subject}` holds, though everything behaves"));
        }
    }
    reasons(history, wrongs);
}

/// What is told of an avatar comes from a look at it in that very moment.
fn reasons(history: &History, wrongs: &mut Vec<String>) {
    let mut looks: BTreeMap<&str, Vec<&Look>> = BTreeMap::new();
    for look in &history.looks {
        looks.entry(look.avatar.as_str()).or_default().push(look);
    }
    for event in &history.conditions {
        let ConditionEvent { kind, subject, state, at, .. } = event;
        let fits = |shown: &Shown| match (kind.as_str(), state.as_str()) {
            ("avatar.missing", "begun") => *shown == Shown::Missing,
            ("avatar.unseen", "begun") => !matches!(shown, Shown::Missing | Shown::Status(_)),
            ("avatar.training_overdue", "begun") => is_training(shown),
            ("avatar.training_overdue", _) => {
                matches!(shown, Shown::Status(_)) && !is_training(shown)
            }
            _ => matches!(shown, Shown::Status(_)),
        };
        let Some(looks) = looks.get(subject.as_str()) else {
            if kind != "watch.blind" {
                wrongs.push(format!("I7 {kind} of `{subject}`, which nobody looked at"));
            }
            continue;
        };
        let origin =
            looks.iter().any(|look| look.wall == *at && look.shown.as_ref().is_some_and(fits));
        if !origin {
            wrongs.push(format!("I7 {kind} of `{subject}` has {state}, and no look showed it"));
        }
    }
}

fn is_training(shown: &Shown) -> bool {
    matches!(shown, Shown::Status(status) if status.name() == "TRAINING")
}
