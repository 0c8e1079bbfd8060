//! Whether anything can be seen with a key; when it must be said that nothing can.
//!
//! One answer about one avatar is enough to see. Waits are counted on the steady clock, so that
//! a wall clock that is set neither blinds nor heals; and they begin anew with every start,
//! since whoever has just begun to look does not judge yet.

use std::time::Duration;

use crate::domain::condition::BlindCause;
use crate::domain::key_gate::Welcome;
use crate::domain::moment::Moment;
use crate::domain::observation::{Fault, Observation};
use crate::domain::timestamp::Timestamp;
use crate::domain::watch::Watch;

/// What one observation says about the key and the way, apart from the avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// What it says about the key.
    pub welcome: Welcome,
    /// Why nothing was seen; `None` when the API answered about the avatar.
    pub dark: Option<(BlindCause, String)>,
}

impl Glimpse {
    /// What an observation of an avatar says, as the avatar was known before.
    pub fn of(seen: &Observation, before: &Watch) -> Self {
        Self { welcome: Welcome::of(seen, before), ..Self::from(seen) }
    }
}

impl From<&Observation> for Glimpse {
    fn from(seen: &Observation) -> Self {
        let dark = match seen {
            Observation::Seen(_) | Observation::Missing { .. } => None,
            Observation::Denied { reason, .. } => Some((BlindCause::KeyRejected, reason.clone())),
            Observation::Throttled { reason, .. } => Some((BlindCause::Throttled, reason.clone())),
            Observation::Failed { fault, reason } => Some((cause(*fault), reason.clone())),
        };
        Self { welcome: Welcome::from(seen), dark }
    }
}

/// What is known of one key's sight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vision {
    answered_at: Option<Timestamp>,
    darkness: Option<Darkness>,
    told: Option<Blindness>,
}

/// That nothing can be seen with a key, as it was or is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blindness {
    /// When it began.
    pub since: Timestamp,
    /// What keeps it from seeing.
    pub cause: BlindCause,
    /// What was last said, for people.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Darkness {
    begun: Moment,
    blindness: Blindness,
}

/// What is to be told of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It sees nothing, and that is new.
    Blind(Blindness),
    /// It sees again.
    Sees(Blindness),
}

impl Vision {
    /// The sight of a key of which that was told before the start.
    pub fn after(told: Option<Blindness>) -> Self {
        Self { answered_at: None, darkness: None, told }
    }

    /// When the key last showed anything, since the start.
    pub fn answered_at(&self) -> Option<Timestamp> {
        self.answered_at
    }

    /// Whether it was told that nothing can be seen, and still holds.
    pub fn is_blind(&self) -> bool {
        self.told.is_some()
    }

    /// Whether the last look showed nothing.
    pub fn is_dark(&self) -> bool {
        self.darkness.is_some()
    }

    /// Takes up one more observation.
    pub fn note(&mut self, glimpse: &Glimpse, now: Timestamp, moment: Moment) {
        let Some((cause, reason)) = &glimpse.dark else {
            self.answered_at = Some(now);
            self.darkness = None;
            return;
        };
        let fresh = Darkness {
            begun: moment,
            blindness: Blindness { since: now, cause: *cause, reason: reason.clone() },
        };
        let darkness = self.darkness.get_or_insert(fresh);
        darkness.blindness.cause = *cause;
        darkness.blindness.reason.clone_from(reason);
    }

    /// What is to be told at `moment`. `refused` is whether the key is known to be refused: then
    /// there is nothing to wait for; else it must have been dark for `blind_after`.
    pub fn judge(&self, moment: Moment, refused: bool, blind_after: Duration) -> Option<Verdict> {
        match (&self.told, &self.darkness) {
            (Some(told), None) if self.answered_at.is_some() => Some(Verdict::Sees(told.clone())),
            (None, Some(dark)) if refused || moment.since(dark.begun) >= blind_after => {
                Some(Verdict::Blind(dark.blindness.clone()))
            }
            (Some(_) | None, _) => None,
        }
    }

    /// When to judge again, if nothing is observed meanwhile.
    pub fn judge_at(&self, blind_after: Duration) -> Option<Moment> {
        let dark = self.darkness.as_ref().filter(|_| self.told.is_none())?;
        Some(dark.begun.plus(blind_after))
    }

    /// Notes that it was told.
    pub fn told(&mut self, verdict: Verdict) {
        self.told = match verdict {
            Verdict::Blind(blindness) => Some(blindness),
            Verdict::Sees(_) => None,
        };
    }
}

const fn cause(fault: Fault) -> BlindCause {
    match fault {
        Fault::Unresolved | Fault::Unreachable | Fault::Way => BlindCause::Unreachable,
        Fault::Unusable | Fault::Coding | Fault::Wrong => BlindCause::Unusable,
        Fault::Local => BlindCause::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(900);

    fn at(seconds: u64) -> (Timestamp, Moment) {
        let millis = seconds * 1_000;
        (Timestamp::from_millis(i64::try_from(millis).unwrap()), Moment::from_millis(millis))
    }

    fn note(vision: &mut Vision, seen: &Observation, seconds: u64) {
        let (now, moment) = at(seconds);
        vision.note(&Glimpse::from(seen), now, moment);
    }

    fn failed() -> Observation {
        Observation::Failed { fault: Fault::Unreachable, reason: "no answer".to_owned() }
    }

    fn answered() -> Observation {
        Observation::Missing { reason: String::new() }
    }

    #[test]
    fn it_is_blind_after_the_limit_and_that_is_told_once_at_each_end() {
        let mut vision = Vision::default();
        note(&mut vision, &failed(), 10);
        note(&mut vision, &failed(), 500);
        assert_eq!(vision.judge(at(909).1, false, LIMIT), None);
        assert_eq!(vision.judge_at(LIMIT), Some(at(910).1));
        let verdict = vision.judge(at(910).1, false, LIMIT).unwrap();
        let Verdict::Blind(blindness) = &verdict else { panic!("{verdict:?}") };
        assert_eq!((blindness.since, blindness.cause), (at(10).0, BlindCause::Unreachable));
        vision.told(verdict);
        note(&mut vision, &failed(), 2_000);
        assert_eq!(vision.judge(at(9_000).1, false, LIMIT), None);
        assert_eq!(vision.judge_at(LIMIT), None);
        note(&mut vision, &answered(), 9_001);
        let verdict = vision.judge(at(9_001).1, false, LIMIT).unwrap();
        assert!(matches!(&verdict, Verdict::Sees(told) if told.since == at(10).0));
        vision.told(verdict);
        assert_eq!(vision.judge(at(9_002).1, false, LIMIT), None);
    }

    #[test]
    fn one_answer_begins_the_wait_anew() {
        let mut vision = Vision::default();
        note(&mut vision, &failed(), 0);
        note(&mut vision, &answered(), 899);
        note(&mut vision, &failed(), 901);
        assert_eq!(vision.judge(at(1_800).1, false, LIMIT), None);
        assert!(vision.judge(at(1_801).1, false, LIMIT).is_some());
    }

    #[test]
    fn a_refused_key_is_told_at_once() {
        let mut vision = Vision::default();
        note(&mut vision, &failed(), 5);
        assert!(vision.judge(at(5).1, true, LIMIT).is_some());
        assert_eq!(Vision::default().judge(at(5).1, true, LIMIT), None, "nothing was observed");
    }

    #[test]
    fn what_was_told_before_a_start_holds_until_something_is_seen() {
        let told = Blindness {
            since: at(1).0,
            cause: BlindCause::KeyRejected,
            reason: "the API answered 401".to_owned(),
        };
        let mut vision = Vision::after(Some(told.clone()));
        assert_eq!(vision.judge(at(2).1, true, LIMIT), None);
        note(&mut vision, &failed(), 3);
        assert_eq!(vision.judge(at(9_000).1, true, LIMIT), None);
        note(&mut vision, &answered(), 9_001);
        assert_eq!(vision.judge(at(9_001).1, false, LIMIT), Some(Verdict::Sees(told)));
    }
}
