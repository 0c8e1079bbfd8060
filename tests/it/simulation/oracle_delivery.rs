//! Checks deliveries: recipients, number and order.

use std::collections::{BTreeMap, BTreeSet};

use avatar_watch::domain::delivery::{DeliveryId, OutcomeClass};
use avatar_watch::domain::id::EventId;

use crate::simulation::action::{OPERATOR, OPERATOR_SUBJECT};
use crate::simulation::history::{Call, Delivery, History};
use crate::simulation::oracle::Expected;

pub(super) fn judge(history: &History, expected: &[Expected<'_>], violations: &mut Vec<String>) {
    rows(history, expected, violations);
    for delivery in &history.deliveries {
        ends(history, delivery, violations);
        attempts(history, delivery, violations);
    }
    repeats(history, violations);
    order(history, violations);
}

/// I3: one row for each event, channel and recipient that should hear of it, and no other.
fn rows(history: &History, expected: &[Expected<'_>], violations: &mut Vec<String>) {
    let mut due = BTreeSet::new();
    expected.iter().for_each(|event| due.extend(due_of(event)));
    // The operator hears of everything but itself, and what ended before its group was complete.
    let withdrawn = withdrawn(history);
    for notified in history.conditions.iter().filter(|notified| {
        notified.subject != *OPERATOR_SUBJECT && !withdrawn.contains(&notified.id)
    }) {
        due.insert((notified.id.as_str(), OPERATOR, ""));
    }
    let mut found = BTreeSet::new();
    for Delivery { row, .. } in history.deliveries.iter().filter(|found| found.row.replay == 0) {
        let place = (row.event_id.as_str(), row.channel.as_str(), row.recipient.as_str());
        if !found.insert(place) {
            violations.push(format!("I3 two deliveries of {place:?}"));
        }
    }
    violations.extend(due.difference(&found).map(|place| format!("I3 no delivery of {place:?}")));
    violations.extend(found.difference(&due).map(|place| format!("I3 unexpected {place:?}")));
    for Delivery { row, .. } in &history.deliveries {
        if row.replay > 0 && !history.manual.contains(&row.id) {
            violations.push(format!("I3 `{}` was sent again without a request", row.id));
        }
    }
}

/// The events of avatars' conditions that are followed by their end, when neither was sent.
fn withdrawn(history: &History) -> BTreeSet<EventId> {
    let sent: BTreeSet<_> = history.deliveries.iter().map(|it| it.row.event_id.clone()).collect();
    let mut begun = BTreeMap::new();
    let mut withdrawn = BTreeSet::new();
    for event in history.conditions.iter().filter(|it| it.kind.starts_with("avatar.")) {
        let place = (&event.kind, &event.subject);
        if event.state == "firing" {
            begun.insert(place, &event.id);
        } else if let Some(begin) = begun.remove(&place)
            && !sent.contains(begin)
            && !sent.contains(&event.id)
        {
            withdrawn.extend([begin.clone(), event.id.clone()]);
        }
    }
    withdrawn
}

/// Where an event must go: its id, the channel, the recipient.
fn due_of<'a>(event: &Expected<'a>) -> Vec<(&'a str, &'a str, &'a str)> {
    let avatar = event.plan.avatars.get(event.avatar);
    let named = avatar.and_then(|(_, named, _)| named.as_ref());
    let is_tagged = avatar.is_some_and(|(.., is_tagged)| *is_tagged);
    let mut due = Vec::new();
    for (name, channel) in &event.plan.channels {
        let chosen = named.is_none_or(|named| named.contains(name));
        let is_for_it = is_tagged || !channel.for_tagged;
        if chosen && is_for_it && channel.events.contains(&event.kind) {
            let recipients = channel.recipients.iter();
            due.extend(recipients.map(|to| (event.id.as_str(), name.as_str(), to.as_str())));
        }
    }
    due
}

/// Whether the rows of an event are those that its plan asks for.
pub(super) fn is_notified_as(history: &History, event: &Expected<'_>) -> bool {
    let rows = history.deliveries.iter().map(|delivery| &delivery.row);
    let rows = rows.filter(|row| row.replay == 0 && row.event_id == *event.id);
    let found: BTreeSet<_> = rows
        .map(|row| (row.event_id.as_str(), row.channel.as_str(), row.recipient.as_str()))
        .collect();
    due_of(event).into_iter().collect::<BTreeSet<_>>() == found
}

/// I4, I5: how it ended is what the receiver saw.
fn ends(history: &History, delivery: &Delivery, violations: &mut Vec<String>) {
    let row = &delivery.row;
    let calls = || history.calls.iter().filter(|call| call.delivery_id == row.id);
    let answered = |class| calls().filter(|call| call.answered == Some(class)).count();
    let right = match row.state.as_str() {
        "delivered" => answered(OutcomeClass::Delivered) > 0,
        "dead" | "resent" => row.final_reason.is_some() && !calls().any(taken_for_good),
        "cancelled" => history.manual.contains(&row.id) && !calls().any(taken_for_good),
        // The promise of an end is judged with the others of that kind.
        _ => true,
    };
    if !right {
        violations.push(format!("I4 `{}` ended as {} without a reason", row.id, row.state));
    }
    if calls().any(|call| call.body != delivery.body || call.event_id != row.event_id) {
        violations.push(format!("I5 `{}` was sent with other bytes or another id", row.id));
    }
}

/// Whether an attempt was accepted, and the daemon lived to record it.
fn taken_for_good(call: &Call) -> bool {
    call.answered == Some(OutcomeClass::Delivered) && call.outlived
}

/// Each attempt that a receiver saw has a row; a row without an attempt was aborted before it.
fn attempts(history: &History, delivery: &Delivery, violations: &mut Vec<String>) {
    let id = &delivery.row.id;
    let calls = history.calls.iter().filter(|call| call.delivery_id == *id);
    let (mut seen, mut unknown) = (BTreeMap::new(), 0);
    for call in calls {
        let class = call.answered.map_or("unknown", OutcomeClass::name);
        *seen.entry(class).or_insert(0usize) += 1;
    }
    let begun = seen.values().sum::<usize>();
    for attempt in &delivery.attempts {
        let outcome = attempt.outcome.as_deref().unwrap_or("open");
        if outcome == "unknown" {
            unknown += 1;
        } else if seen.get_mut(outcome).is_none_or(|count| *count == 0) {
            violations.push(format!("ATTEMPT `{id}`: no receiver saw one that ended as {outcome}"));
        } else {
            seen.entry(outcome_name(outcome)).and_modify(|count| *count -= 1);
        }
    }
    let numbers = delivery.attempts.iter().map(|attempt| attempt.number);
    if !numbers.eq(1..=delivery.row.attempts) {
        violations.push(format!("ATTEMPT `{id}`: the numbers have a gap"));
    }
    // What is left was cut off, or answered to someone who died before writing it down.
    let left: usize = seen.values().sum();
    if left > unknown || begun > delivery.attempts.len() {
        violations.push(format!(
            "ATTEMPT `{id}`: {left} attempts left, {unknown} with an unknown outcome"
        ));
    }
}

fn outcome_name(text: &str) -> &'static str {
    use OutcomeClass::{
        Ambiguous, Delivered, Gone, Local, Misconfigured, Rejected, Retryable, Throttled, Unknown,
    };
    [Ambiguous, Delivered, Gone, Local, Misconfigured, Rejected, Retryable, Throttled]
        .into_iter()
        .find(|class| class.name() == text)
        .unwrap_or(Unknown)
        .name()
}

/// I5, I6: a receiver that took a message sees it again only when we cannot know that it did,
/// or a hand asked for it; and then with the same bytes.
fn repeats(history: &History, violations: &mut Vec<String>) {
    let mut lines: BTreeMap<_, Vec<&Call>> = BTreeMap::new();
    for call in &history.calls {
        let line = (&call.event_id, &call.channel, &call.recipient);
        lines.entry(line).or_default().push(call);
    }
    for ((event, channel, _), calls) in lines {
        for pair in calls.windows(2) {
            let [before, after] = pair else { continue };
            if before.body != after.body {
                violations.push(format!("I5 `{channel}` saw `{event}` with two bodies"));
            }
            let same_try = before.delivery_id == after.delivery_id;
            if same_try && taken_for_good(before) {
                violations.push(format!("I6 `{channel}` took `{event}` and was notified again"));
            }
            // A crash is an excuse for the next process only.
            let same_boot = before.boot == after.boot;
            if same_try && same_boot && before.answered == Some(OutcomeClass::Delivered) {
                violations
                    .push(format!("I6 `{channel}` took `{event}` and was notified again at once"));
            }
            let heard = same_try && before.outlived && before.jumps == after.jumps;
            let floor = before.retry_after.filter(|_| heard);
            // A hand that sends again or enables the channel waits for nothing.
            let enabled = history
                .enabled
                .iter()
                .any(|(enabled, at)| enabled == channel && (before.at..=after.at).contains(at));
            let hurried = !enabled && !history.manual.contains(&after.delivery_id);
            if hurried && floor.is_some_and(|floor| after.at.since(before.at) < floor) {
                let (id, early) = (&after.delivery_id, floor.unwrap_or_default());
                violations
                    .push(format!("I8 `{channel}` asked to wait {early:?} for `{id}`, in vain"));
            }
        }
    }
}

/// Within one channel, recipient and ordering key, what the schedule sends is sent in order.
fn order(history: &History, violations: &mut Vec<String>) {
    let rows: BTreeMap<&DeliveryId, (usize, &Delivery)> =
        history.deliveries.iter().enumerate().map(|(n, d)| (&d.row.id, (n, d))).collect();
    let mut last = BTreeMap::new();
    for call in &history.calls {
        let Some((place, delivery)) = rows.get(&call.delivery_id) else {
            violations.push(format!("I7 an attempt at `{}`, which has no row", call.delivery_id));
            continue;
        };
        let line = (&call.channel, &call.recipient, &delivery.row.ordering_key);
        let before = last.insert(line, *place).unwrap_or(0);
        if before > *place {
            violations.push(format!("ORDER `{}` was overtaken in {line:?}", call.delivery_id));
        }
    }
}
