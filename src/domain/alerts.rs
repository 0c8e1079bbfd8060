//! When operators are notified of conditions and dead letters that begin one by one, and which of
//! them make one event.
//!
//! The first of a group waits for the others during the window. After an event, the next one of the
//! group waits longer, so that a slow trickle makes few events. A time in the future, after the
//! wall clock was set back, counts as past.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::condition::{
    AffectedAvatar, AvatarGroup, Condition, ConditionSubject, LISTED_MAX, Phase,
};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::time::timestamp::Timestamp;

/// When operators are notified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertTiming {
    /// How long the first of a group waits for the others.
    pub group_window: Duration,
    /// After how long a condition that lasts is notified again; `None` for never.
    pub remind_after: Option<Duration>,
}

impl AlertTiming {
    /// Whether a group is published now: its oldest member is of `oldest`, and its last event of
    /// `published_at`.
    pub fn is_group_due(
        self,
        oldest: Timestamp,
        published_at: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let past = |then: Timestamp, wait: Duration| then > now || now.since(then) >= wait;
        let pause = self.group_window.saturating_mul(PAUSE_FACTOR);
        past(oldest, self.group_window) && published_at.is_none_or(|then| past(then, pause))
    }

    /// The time of the last notification at or before which a reminder is due.
    pub fn remind_before(self, now: Timestamp) -> Option<Timestamp> {
        self.remind_after.map(|after| now.minus(after))
    }
}

/// A condition of an avatar that waits for its group, as it was detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingChange {
    /// The number of its row; later ones are greater.
    pub seq: i64,
    /// Its event, if it were published alone.
    pub event: Event,
}

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertGroup {
    /// The event.
    pub event: Event,
    /// The rows that it covers.
    pub rows: Vec<i64>,
    /// Whether operators are notified. A condition that was resolved before its event was published
    /// is only recorded.
    pub is_notified: bool,
}

/// Groups the waiting changes. Of one avatar, at most the first resolves what was published before,
/// and only the last can begin what lasts; so what was resolved is published first, and what lasts
/// at the end.
pub fn group(changes: Vec<WaitingChange>) -> Vec<AlertGroup> {
    let (withdrawn, lasting) = split_withdrawn(changes);
    let is_resolved = |change: &WaitingChange| phase(&change.event) == Some(Phase::Resolved);
    let (resolved, firing): (Vec<_>, Vec<_>) = lasting.into_iter().partition(is_resolved);
    let withdrawn = withdrawn.into_iter().map(|WaitingChange { seq, event }| AlertGroup {
        event,
        rows: vec![seq],
        is_notified: false,
    });
    merged(resolved).into_iter().chain(withdrawn).chain(merged(firing)).collect()
}

/// One event for all changes that have kind, phase, account and cause in common.
fn merged(changes: Vec<WaitingChange>) -> Vec<AlertGroup> {
    let mut groups: Vec<AlertGroup> = Vec::new();
    let mut places: HashMap<GroupKey, usize> = HashMap::new();
    for WaitingChange { seq, event } in changes {
        let key = GroupKey::of(&event);
        match key.as_ref().and_then(|key| places.get(key)).and_then(|at| groups.get_mut(*at)) {
            Some(group) => {
                add(&mut group.event, &event);
                group.rows.push(seq);
            }
            None => {
                if let Some(key) = key {
                    places.insert(key, groups.len());
                }
                groups.push(AlertGroup { event, rows: vec![seq], is_notified: true });
            }
        }
    }
    groups
}

/// Splits off the conditions that begin and are resolved while they wait.
fn split_withdrawn(changes: Vec<WaitingChange>) -> (Vec<WaitingChange>, Vec<WaitingChange>) {
    let mut begun: HashMap<(EventKind, AvatarId), i64> = HashMap::new();
    let mut withdrawn = Vec::new();
    for change in &changes {
        let Some((id, phase)) = avatar(&change.event).zip(phase(&change.event)) else { continue };
        let place = (change.event.kind, id.clone());
        match phase {
            Phase::Firing | Phase::Reminder => drop(begun.insert(place, change.seq)),
            Phase::Resolved => {
                if let Some(seq) = begun.remove(&place) {
                    withdrawn.extend([seq, change.seq]);
                }
            }
        }
    }
    withdrawn.sort_unstable();
    changes.into_iter().partition(|change| withdrawn.binary_search(&change.seq).is_ok())
}

/// What the members of a group have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    kind: EventKind,
    phase: &'static str,
    account: AccountName,
    cause: Option<String>,
}

impl GroupKey {
    fn of(event: &Event) -> Option<Self> {
        let Subject::Condition(condition) = &event.subject else { return None };
        let ConditionSubject::Avatar { account, group, .. } = &condition.subject else {
            return None;
        };
        Some(Self {
            kind: event.kind,
            phase: condition.phase.name(),
            account: account.clone(),
            cause: group.cause.clone(),
        })
    }
}

/// Adds the avatar of `other` to the group of `event`.
pub fn add(event: &mut Event, other: &Event) {
    let (Subject::Condition(condition), Subject::Condition(other)) =
        (&mut event.subject, &other.subject)
    else {
        return;
    };
    add_avatar(condition, other);
    condition.started_at = condition.started_at.min(other.started_at);
}

fn add_avatar(condition: &mut Condition, other: &Condition) {
    if let (
        ConditionSubject::Avatar { group, .. },
        ConditionSubject::Avatar { id, name, status, .. },
    ) = (&mut condition.subject, &other.subject)
    {
        let AvatarGroup { others, other_count, first_started_at, .. } = group;
        first_started_at.get_or_insert(condition.started_at);
        *other_count += 1;
        if others.len() + 1 < LISTED_MAX {
            others.push(AffectedAvatar {
                id: id.clone(),
                name: name.clone(),
                status: status.clone(),
                started_at: other.started_at,
            });
        }
    }
}

const fn phase(event: &Event) -> Option<Phase> {
    match &event.subject {
        Subject::Condition(condition) => Some(condition.phase),
        Subject::Transition { .. } | Subject::DeadLetter(_) | Subject::Ping { .. } => None,
    }
}

fn avatar(event: &Event) -> Option<&AvatarId> {
    let Subject::Condition(condition) = &event.subject else { return None };
    let ConditionSubject::Avatar { id, .. } = &condition.subject else { return None };
    Some(id)
}

/// How much longer than the window the next event of a group waits after the last one.
const PAUSE_FACTOR: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::EventId;
    use crate::domain::random::RandomBits;

    const T: fn(i64) -> Timestamp = |seconds| Timestamp::from_millis(seconds * 1000);

    fn change(seq: i64, avatar: &str, phase: Phase, cause: Option<&str>) -> WaitingChange {
        let group = AvatarGroup { cause: cause.map(str::to_owned), ..AvatarGroup::default() };
        let subject = ConditionSubject::Avatar {
            id: AvatarId::parse(avatar).unwrap(),
            name: None,
            account: AccountName::default(),
            status: None,
            group,
        };
        let condition = Condition { phase, started_at: T(seq), subject, reason: None };
        let event = Event {
            id: EventId::mint(T(seq), RandomBits::new(1)),
            kind: EventKind::AvatarUnreachable,
            occurred_at: T(seq),
            subject: Subject::Condition(Box::new(condition)),
        };
        WaitingChange { seq, event }
    }

    fn summary(changes: Vec<WaitingChange>) -> Vec<(String, Vec<i64>, bool)> {
        let text = |group: AlertGroup| {
            let phase = phase(&group.event).unwrap().name().to_owned();
            (phase, group.rows, group.is_notified)
        };
        group(changes).into_iter().map(text).collect()
    }

    #[test]
    fn a_group_waits_for_its_window_and_later_ones_ten_times_as_long() {
        let timing =
            AlertTiming { group_window: Duration::from_secs(30), ..AlertTiming::default() };
        assert!(!timing.is_group_due(T(100), None, T(129)));
        assert!(timing.is_group_due(T(100), None, T(130)));
        assert!(!timing.is_group_due(T(140), Some(T(130)), T(429)));
        assert!(timing.is_group_due(T(140), Some(T(130)), T(430)));
        assert!(timing.is_group_due(T(500), Some(T(600)), T(10)), "the clock was set back");
        assert!(AlertTiming::default().is_group_due(T(5), Some(T(5)), T(5)));
    }

    #[test]
    fn avatars_of_one_cause_make_one_event_that_lists_the_first_and_counts_all() {
        let changes =
            (1..=50).map(|n| change(n, &format!("a{n}"), Phase::Firing, Some("failed"))).collect();
        let [only] = group(changes).try_into().unwrap();
        assert_eq!((only.rows.len(), only.is_notified), (50, true));
        assert_eq!(only.event.occurred_at, T(1));
        let Subject::Condition(condition) = &only.event.subject else { panic!() };
        let ConditionSubject::Avatar { id, group, .. } = &condition.subject else { panic!() };
        assert_eq!((id.as_str(), group.other_count, group.others.len()), ("a1", 49, 19));
    }

    #[test]
    fn what_an_avatar_did_is_published_in_its_order() {
        // It was firing before; resolved, firing, resolved, firing again while all of it waits.
        let changes = [Phase::Resolved, Phase::Firing, Phase::Resolved, Phase::Firing];
        let changes = (1..).zip(changes).map(|(seq, phase)| change(seq, "a", phase, None));
        let published: Vec<_> =
            group(changes.collect()).into_iter().map(|it| (it.rows, it.is_notified)).collect();
        let expected = [(vec![1], true), (vec![2], false), (vec![3], false), (vec![4], true)];
        assert_eq!(published, expected);
    }

    #[test]
    fn another_cause_makes_another_event() {
        let firing = |seq, cause| change(seq, &format!("a{seq}"), Phase::Firing, Some(cause));
        let groups = summary(vec![firing(1, "failed"), firing(2, "denied"), firing(3, "failed")]);
        let expected = [("firing", vec![1, 3], true), ("firing", vec![2], true)];
        assert_eq!(
            groups,
            expected.map(|(phase, rows, is_notified)| (phase.to_owned(), rows, is_notified))
        );
    }

    #[test]
    fn a_condition_that_ends_while_it_waits_is_recorded_but_not_notified() {
        use Phase::{Firing, Resolved};
        let groups = summary(vec![
            change(1, "a", Firing, None),
            change(2, "b", Firing, None),
            change(3, "a", Resolved, None),
            change(4, "c", Resolved, None),
            change(5, "c", Firing, None),
        ]);
        let expected = [
            ("resolved", vec![4], true),
            ("firing", vec![1], false),
            ("resolved", vec![3], false),
            ("firing", vec![2, 5], true),
        ];
        assert_eq!(
            groups,
            expected.map(|(phase, rows, is_notified)| (phase.to_owned(), rows, is_notified))
        );
    }
}
