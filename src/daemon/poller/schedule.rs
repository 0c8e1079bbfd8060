//! Due times of the next polls, in memory.
//!
//! A wakeup costs more than a poll, so polls that are nearly due start together with one that is
//! due.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::time::monotonic::Monotonic;

/// Due times of avatars; at most one for each.
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
    /// Schedules the next poll `wait` after `now`; replaces an earlier due time.
    pub fn set(&mut self, id: AvatarId, now: Monotonic, wait: Duration) {
        self.remove(&id);
        let due_at = now.plus(wait);
        let slack = (wait / SLACK_DIVISOR).min(SLACK_MAX);
        self.order.insert((due_at, id.clone()));
        self.entries.insert(id, ScheduleEntry { due_at, slack });
    }

    /// Makes the next poll due no later than `wait` after `now`.
    pub fn expedite(&mut self, id: &AvatarId, now: Monotonic, wait: Duration) {
        if self.entries.get(id).is_none_or(|entry| entry.due_at > now.plus(wait)) {
            self.set(id.clone(), now, wait);
        }
    }

    /// Removes an avatar.
    pub fn remove(&mut self, id: &AvatarId) {
        if let Some(entry) = self.entries.remove(id) {
            self.order.remove(&(entry.due_at, id.clone()));
        }
    }

    /// When an avatar is due.
    pub fn due_at(&self, id: &AvatarId) -> Option<Monotonic> {
        self.entries.get(id).map(|entry| entry.due_at)
    }

    /// When the first avatar is due.
    pub fn next_due_at(&self) -> Option<Monotonic> {
        self.order.first().map(|(due_at, _)| *due_at)
    }

    /// Removes and returns the avatars that are due at `now` and, if there are any, those nearly
    /// due; earliest first.
    pub fn take_due(&mut self, now: Monotonic) -> Vec<AvatarId> {
        if self.next_due_at().is_none_or(|due_at| due_at > now) {
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

/// A poll may start early by this fraction of its delay, …
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
    fn polls_that_are_nearly_due_start_with_one_that_is_due() {
        let mut schedule = Schedule::default();
        for (name, wait_ms) in [("a", 5_000), ("b", 5_200), ("c", 5_300), ("d", 60_000)] {
            schedule.set(id(name), START, Duration::from_millis(wait_ms));
        }
        assert!(
            schedule.take_due(after(4_999)).is_empty(),
            "nothing is due, so nothing goes early"
        );
        assert_eq!(names(&schedule.take_due(after(5_000))), ["a", "b"]);
        assert_eq!(schedule.next_due_at(), Some(after(5_300)));
    }

    #[test]
    fn short_delays_have_little_slack() {
        let mut schedule = Schedule::default();
        schedule.set(id("a"), START, Duration::from_millis(100));
        schedule.set(id("b"), START, Duration::from_millis(111));
        schedule.set(id("c"), START, Duration::from_millis(120));
        assert_eq!(names(&schedule.take_due(after(100))), ["a", "b"]);
    }

    #[test]
    fn each_avatar_is_due_once_and_can_only_be_expedited() {
        let mut schedule = Schedule::default();
        schedule.set(id("a"), START, Duration::from_secs(5));
        schedule.set(id("a"), START, Duration::from_secs(9));
        assert_eq!(schedule.next_due_at(), Some(after(9_000)));
        schedule.expedite(&id("a"), START, Duration::from_secs(20));
        assert_eq!(schedule.next_due_at(), Some(after(9_000)));
        schedule.expedite(&id("a"), START, Duration::from_secs(1));
        assert_eq!(names(&schedule.take_due(after(1_000))), ["a"]);
        assert_eq!(schedule.next_due_at(), None);
        schedule.expedite(&id("a"), START, Duration::ZERO);
        schedule.remove(&id("a"));
        assert!(schedule.take_due(after(99_000)).is_empty());
    }
}
