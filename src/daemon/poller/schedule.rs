//! What is due when, in memory: the next look at each avatar.
//!
//! Waking up costs more than looking, so what is nearly due goes out together with what is due.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::time::monotonic::Monotonic;

/// The moments at which avatars are to be looked at; each avatar has at most one.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    entries: HashMap<AvatarId, ScheduleEntry>,
    order: BTreeSet<(Monotonic, AvatarId)>,
}

#[derive(Clone, Copy, Debug)]
struct ScheduleEntry {
    due_at: Monotonic,
    slack: Duration,
}

impl Schedule {
    /// Sets the next look: `wait` from `now`; replaces an earlier setting.
    pub fn set(&mut self, id: AvatarId, now: Monotonic, wait: Duration) {
        self.remove(&id);
        let due_at = now.plus(wait);
        let slack = (wait / SLACK_DIVISOR).min(SLACK_MAX);
        self.order.insert((due_at, id.clone()));
        self.entries.insert(id, ScheduleEntry { due_at, slack });
    }

    /// Makes the next look come no later than `wait` from `now`.
    pub fn expedite(&mut self, id: &AvatarId, now: Monotonic, wait: Duration) {
        if self.entries.get(id).is_none_or(|entry| entry.due_at > now.plus(wait)) {
            self.set(id.clone(), now, wait);
        }
    }

    /// Forgets the next look at an avatar.
    pub fn remove(&mut self, id: &AvatarId) {
        if let Some(entry) = self.entries.remove(id) {
            self.order.remove(&(entry.due_at, id.clone()));
        }
    }

    /// When the next look at an avatar is due.
    pub fn at(&self, id: &AvatarId) -> Option<Monotonic> {
        self.entries.get(id).map(|entry| entry.due_at)
    }

    /// When the next look is due.
    pub fn next(&self) -> Option<Monotonic> {
        self.order.first().map(|(due_at, _)| *due_at)
    }

    /// Takes out what is due at `now` and, when something is, what nearly is; earliest first.
    pub fn take(&mut self, now: Monotonic) -> Vec<AvatarId> {
        if self.next().is_none_or(|due_at| due_at > now) {
            return Vec::new();
        }
        let horizon = now.plus(SLACK_MAX);
        let due: Vec<AvatarId> = self
            .order
            .iter()
            .take_while(|(due_at, _)| *due_at <= horizon)
            .filter(|(due_at, id)| {
                let slack = self.entries.get(id).map_or(Duration::ZERO, |entry| entry.slack);
                *due_at <= now.plus(slack)
            })
            .map(|(_, id)| id.clone())
            .collect();
        due.iter().for_each(|id| self.remove(id));
        due
    }
}

/// A look may come early by this part of its wait, …
const SLACK_DIVISOR: u32 = 10;
/// … but by no more than this.
const SLACK_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::from_millis(1_000_000);

    fn id(name: &str) -> AvatarId {
        AvatarId::parse(name).unwrap()
    }

    fn names(ids: &[AvatarId]) -> Vec<&str> {
        ids.iter().map(AvatarId::as_str).collect()
    }

    fn after(millis: u64) -> Monotonic {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn what_is_nearly_due_goes_out_with_what_is_due() {
        let mut due = Schedule::default();
        for (name, wait_ms) in [("a", 5_000), ("b", 5_200), ("c", 5_300), ("d", 60_000)] {
            due.set(id(name), START, Duration::from_millis(wait_ms));
        }
        assert!(due.take(after(4_999)).is_empty(), "nothing is due, so nothing goes early");
        assert_eq!(names(&due.take(after(5_000))), ["a", "b"]);
        assert_eq!(due.next(), Some(after(5_300)));
    }

    #[test]
    fn short_waits_have_little_slack() {
        let mut due = Schedule::default();
        due.set(id("a"), START, Duration::from_millis(100));
        due.set(id("b"), START, Duration::from_millis(111));
        due.set(id("c"), START, Duration::from_millis(120));
        assert_eq!(names(&due.take(after(100))), ["a", "b"]);
    }

    #[test]
    fn each_avatar_is_due_once_and_can_only_be_hastened() {
        let mut due = Schedule::default();
        due.set(id("a"), START, Duration::from_secs(5));
        due.set(id("a"), START, Duration::from_secs(9));
        assert_eq!(due.next(), Some(after(9_000)));
        due.expedite(&id("a"), START, Duration::from_secs(20));
        assert_eq!(due.next(), Some(after(9_000)));
        due.expedite(&id("a"), START, Duration::from_secs(1));
        assert_eq!(names(&due.take(after(1_000))), ["a"]);
        assert_eq!(due.next(), None);
        due.expedite(&id("a"), START, Duration::ZERO);
        due.remove(&id("a"));
        assert!(due.take(after(99_000)).is_empty());
    }
}
