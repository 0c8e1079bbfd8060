//! The part of the oracle that checks conditions: reported once when they start and once when they
//! end, with a reason each time, and none left over when everything behaves.

use std::collections::{BTreeMap, BTreeSet};

use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::delivery::OutcomeClass;
use avatar_watch::domain::delivery::recipient_health::masked;

use crate::simulation::history::{Call, ConditionEvent, History, Poll, Shown};

pub(super) fn judge(history: &History, violations: &mut Vec<String>) {
    letters(history, violations);
    let mut holding = BTreeSet::new();
    for event in history.conditions.iter().filter(|event| event.delivery.is_none()) {
        let ConditionEvent { kind, subject, state, .. } = event;
        let place = (kind.clone(), subject.clone());
        let in_turn = match state.as_str() {
            "firing" => holding.insert(place),
            "reminder" => holding.contains(&place),
            _ => holding.remove(&place),
        };
        if !in_turn {
            violations.push(format!("CONDITION {kind} of `{subject}` has {state} twice"));
        }
    }
    if holding != history.holding {
        let held = &history.holding;
        violations.push(format!("CONDITION {holding:?} are reported as firing, {held:?} are"));
    }
    for (kind, subject) in &history.holding {
        let status = history.statuses.iter().find(|(id, _)| id.as_str() == subject);
        let status = status.map(|(_, status)| status);
        let right = match kind.as_str() {
            "avatar.training_overdue" => status.is_some_and(is_no_end),
            UNRECOGNIZED => status.is_some_and(|status| !status.is_recognized()),
            "channel.failing" => !took_last(history, subject),
            _ => false,
        };
        if !right {
            violations.push(format!("I9 {kind} of `{subject}` holds, though everything behaves"));
        }
    }
    unrecognized(history, violations);
    reasons(history, violations);
}

/// Each unrecognized status of an avatar was reported once.
fn unrecognized(history: &History, violations: &mut Vec<String>) {
    let odd = history.transitions.iter().filter(|it| !it.status.is_recognized());
    let odd: BTreeSet<_> =
        odd.map(|it| (it.avatar_id.to_string(), it.status.name().to_owned())).collect();
    let begun =
        history.conditions.iter().filter(|it| it.kind == UNRECOGNIZED && it.state == "firing");
    let mut notified = BTreeSet::new();
    for event in begun {
        let place = (event.subject.clone(), event.status.clone().unwrap_or_default());
        if !notified.insert(place.clone()) {
            violations.push(format!("CONDITION {UNRECOGNIZED} {place:?} was reported twice"));
        }
    }
    if notified != odd {
        violations.push(format!(
            "CONDITION {UNRECOGNIZED}: {odd:?} were recorded, {notified:?} reported"
        ));
    }
}

/// Whether the channel accepted its last message.
fn took_last(history: &History, subject: &str) -> bool {
    let mut calls = history.calls.iter().filter(|call| is_of(call, subject));
    let last = calls.next_back().and_then(|call| call.answered);
    last == Some(OutcomeClass::Delivered)
}

fn is_of(call: &Call, subject: &str) -> bool {
    let Some(subject) = subject.strip_prefix("channel ") else { return false };
    match subject.split_once(" to ") {
        Some((name, to)) => name == call.channel && to == masked(&call.recipient),
        None => subject == call.channel,
    }
}

/// Each dead letter is reported once, except those about channels.
fn letters(history: &History, violations: &mut Vec<String>) {
    let mut notified = BTreeSet::new();
    for letter in history.conditions.iter().filter_map(|event| event.delivery.as_ref()) {
        if !notified.insert(letter) {
            violations.push(format!("LETTER `{letter}` was reported twice"));
        }
    }
    let about_a_channel = |kind: &str| kind.starts_with("channel.") || kind == EXHAUSTED;
    let rows = history.deliveries.iter().map(|delivery| &delivery.row);
    // A dead letter that was discarded or sent again may have been reported before.
    let at_rest: BTreeSet<_> = rows
        .clone()
        .filter(|row| match row.state.as_str() {
            "resent" => true,
            state => state == "cancelled" && history.manual.contains(&row.id),
        })
        .map(|row| &row.id)
        .collect();
    let dead: BTreeSet<_> = rows
        .filter(|row| row.state == "dead" && !about_a_channel(&row.event_type))
        .map(|row| &row.id)
        .collect();
    violations
        .extend(dead.difference(&notified).map(|id| format!("LETTER `{id}` was not reported")));
    let alive = notified.difference(&dead).filter(|id| !at_rest.contains(*id));
    violations.extend(alive.map(|id| format!("LETTER `{id}` is not a dead letter")));
}

/// Conditions of a channel follow from its responses, or from manual changes.
fn channel_reason(history: &History, event: &ConditionEvent) -> bool {
    let answered = |class: fn(OutcomeClass) -> bool| {
        let mut calls = history.calls.iter().filter(|call| is_of(call, &event.subject));
        calls.any(|call| call.answered.is_some_and(class))
    };
    match (event.kind.as_str(), event.state.as_str()) {
        ("channel.failing", "firing") => answered(|class| class != OutcomeClass::Delivered),
        ("channel.failing", _) => answered(|class| class == OutcomeClass::Delivered),
        ("channel.disabled", "firing") => answered(|class| {
            class == OutcomeClass::Gone
                || class == OutcomeClass::Misconfigured
                || class == OutcomeClass::Retryable
                || class == OutcomeClass::Ambiguous
        }),
        _ => true,
    }
}

/// Conditions of an avatar follow from a poll at the same time.
fn reasons(history: &History, violations: &mut Vec<String>) {
    let mut polls: BTreeMap<&str, Vec<&Poll>> = BTreeMap::new();
    for poll in &history.polls {
        polls.entry(poll.avatar.as_str()).or_default().push(poll);
    }
    for event in history.conditions.iter().filter(|event| event.state != "reminder") {
        let ConditionEvent { kind, subject, state, at, .. } = event;
        if subject.starts_with("channel ") {
            if !channel_reason(history, event) {
                violations.push(format!("I7 {kind} of `{subject}` has {state} for no reason"));
            }
            continue;
        }
        let fits = |shown: &Shown| match (kind.as_str(), state.as_str()) {
            ("avatar.missing", "firing") => *shown == Shown::Missing,
            ("avatar.unreachable", "firing") => !matches!(shown, Shown::Missing | Shown::Status(_)),
            ("avatar.training_overdue", "firing") => shown_as(shown, is_no_end),
            ("avatar.training_overdue", _) => shown_as(shown, |status| !is_training(status)),
            (UNRECOGNIZED, "firing") => shown_as(shown, |it| {
                !it.is_recognized() && event.status.as_deref() == Some(it.name())
            }),
            _ => matches!(shown, Shown::Status(_)),
        };
        let Some(polls) = polls.get(subject.as_str()) else {
            if kind != "account.unavailable" {
                violations.push(format!("I7 {kind} of `{subject}`, which was not polled"));
            }
            continue;
        };
        let is_then = |poll: &Poll| at.is_none_or(|at| poll.wall == at);
        let origin =
            polls.iter().any(|poll| is_then(poll) && poll.shown.as_ref().is_some_and(fits));
        if !origin {
            violations.push(format!("I7 {kind} of `{subject}` has {state}, and no poll showed it"));
        }
    }
}

fn shown_as(shown: &Shown, fits: impl Fn(&Status) -> bool) -> bool {
    matches!(shown, Shown::Status(status) if fits(status))
}

fn is_training(status: &Status) -> bool {
    status.name() == "TRAINING"
}

/// Whether a training may still be going on behind it.
fn is_no_end(status: &Status) -> bool {
    is_training(status) || !status.is_recognized()
}

const UNRECOGNIZED: &str = "avatar.status_unrecognized";

const EXHAUSTED: &str = "delivery.exhausted";
