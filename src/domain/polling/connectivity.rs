//! Whether anything can be seen with a key; when it must be said that nothing can.
//!
//! One answer about one avatar is enough to see. Waits are counted on the steady clock, so that
//! a wall clock that is set neither blinds nor heals; and they begin anew with every start,
//! since whoever has just begun to look does not judge yet.

use std::time::Duration;

use crate::domain::condition::OutageCause;
use crate::domain::polling::circuit_breaker::ApiSignal;
use crate::domain::polling::observation::{Observation, PollError};
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// What one observation says about the key and the way, apart from the avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSignal {
    /// What it says about the key.
    pub signal: ApiSignal,
    /// Why nothing was seen; `None` when the API answered about the avatar.
    pub outage: Option<(OutageCause, String)>,
}

impl PollSignal {
    /// What an observation of an avatar says, as the avatar was known before.
    pub fn of(seen: &Observation, before: &Watch) -> Self {
        Self { signal: ApiSignal::of(seen, before), ..Self::from(seen) }
    }
}

impl From<&Observation> for PollSignal {
    fn from(seen: &Observation) -> Self {
        let dark = match seen {
            Observation::Seen(_) | Observation::Missing { .. } => None,
            Observation::Denied { reason, .. } => Some((OutageCause::KeyRejected, reason.clone())),
            Observation::Throttled { reason, .. } => Some((OutageCause::Throttled, reason.clone())),
            Observation::Failed { fault, reason } => Some((cause(*fault), reason.clone())),
        };
        Self { signal: ApiSignal::from(seen), outage: dark }
    }
}

/// What is known of one key's sight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountConnectivity {
    last_success_at: Option<Timestamp>,
    failing: Option<Failing>,
    reported: Option<Outage>,
}

/// That nothing can be seen with a key, as it was or is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it began.
    pub since: Timestamp,
    /// What keeps it from seeing.
    pub cause: OutageCause,
    /// What was last said, for people.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failing {
    started_at: Monotonic,
    outage: Outage,
}

/// What is to be told of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectivityChange {
    /// It sees nothing, and that is new.
    Lost(Outage),
    /// It sees again.
    Restored(Outage),
}

impl AccountConnectivity {
    /// The sight of a key of which that was told before the start.
    pub fn after(reported: Option<Outage>) -> Self {
        Self { last_success_at: None, failing: None, reported }
    }

    /// When the key last showed anything, since the start.
    pub fn answered_at(&self) -> Option<Timestamp> {
        self.last_success_at
    }

    /// Whether it was told that nothing can be seen, and still holds.
    pub fn is_reported(&self) -> bool {
        self.reported.is_some()
    }

    /// Whether the last look showed nothing.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Takes up one more observation.
    pub fn record(&mut self, glimpse: &PollSignal, now: Timestamp, moment: Monotonic) {
        let Some((cause, reason)) = &glimpse.outage else {
            self.last_success_at = Some(now);
            self.failing = None;
            return;
        };
        let fresh = Failing {
            started_at: moment,
            outage: Outage { since: now, cause: *cause, reason: reason.clone() },
        };
        let darkness = self.failing.get_or_insert(fresh);
        darkness.outage.cause = *cause;
        darkness.outage.reason.clone_from(reason);
    }

    /// What is to be told at `moment`. `refused` is whether the key is known to be refused: then
    /// there is nothing to wait for; else it must have been dark for `unavailable_after`.
    pub fn evaluate(
        &self,
        moment: Monotonic,
        refused: bool,
        unavailable_after: Duration,
    ) -> Option<ConnectivityChange> {
        match (&self.reported, &self.failing) {
            (Some(told), None) if self.last_success_at.is_some() => {
                Some(ConnectivityChange::Restored(told.clone()))
            }
            (None, Some(dark)) if refused || moment.since(dark.started_at) >= unavailable_after => {
                Some(ConnectivityChange::Lost(dark.outage.clone()))
            }
            (Some(_) | None, _) => None,
        }
    }

    /// When to judge again, if nothing is observed meanwhile.
    pub fn evaluate_at(&self, unavailable_after: Duration) -> Option<Monotonic> {
        let dark = self.failing.as_ref().filter(|_| self.reported.is_none())?;
        Some(dark.started_at.plus(unavailable_after))
    }

    /// Notes that it was told.
    pub fn told(&mut self, verdict: ConnectivityChange) {
        self.reported = match verdict {
            ConnectivityChange::Lost(blindness) => Some(blindness),
            ConnectivityChange::Restored(_) => None,
        };
    }
}

const fn cause(fault: PollError) -> OutageCause {
    match fault {
        PollError::Unresolved | PollError::Unreachable | PollError::Misrouted => {
            OutageCause::Unreachable
        }
        PollError::InvalidResponse | PollError::UnknownEncoding | PollError::RequestRejected => {
            OutageCause::InvalidResponse
        }
        PollError::Local => OutageCause::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(900);

    fn at(seconds: u64) -> (Timestamp, Monotonic) {
        let millis = seconds * 1_000;
        (Timestamp::from_millis(i64::try_from(millis).unwrap()), Monotonic::from_millis(millis))
    }

    fn note(vision: &mut AccountConnectivity, seen: &Observation, seconds: u64) {
        let (now, moment) = at(seconds);
        vision.record(&PollSignal::from(seen), now, moment);
    }

    fn failed() -> Observation {
        Observation::Failed { fault: PollError::Unreachable, reason: "no answer".to_owned() }
    }

    fn answered() -> Observation {
        Observation::Missing { reason: String::new() }
    }

    #[test]
    fn it_is_unavailable_after_the_limit_and_that_is_told_once_at_each_end() {
        let mut vision = AccountConnectivity::default();
        note(&mut vision, &failed(), 10);
        note(&mut vision, &failed(), 500);
        assert_eq!(vision.evaluate(at(909).1, false, LIMIT), None);
        assert_eq!(vision.evaluate_at(LIMIT), Some(at(910).1));
        let verdict = vision.evaluate(at(910).1, false, LIMIT).unwrap();
        let ConnectivityChange::Lost(blindness) = &verdict else { panic!("{verdict:?}") };
        assert_eq!((blindness.since, blindness.cause), (at(10).0, OutageCause::Unreachable));
        vision.told(verdict);
        note(&mut vision, &failed(), 2_000);
        assert_eq!(vision.evaluate(at(9_000).1, false, LIMIT), None);
        assert_eq!(vision.evaluate_at(LIMIT), None);
        note(&mut vision, &answered(), 9_001);
        let verdict = vision.evaluate(at(9_001).1, false, LIMIT).unwrap();
        assert!(matches!(&verdict, ConnectivityChange::Restored(told) if told.since == at(10).0));
        vision.told(verdict);
        assert_eq!(vision.evaluate(at(9_002).1, false, LIMIT), None);
    }

    #[test]
    fn one_answer_begins_the_wait_anew() {
        let mut vision = AccountConnectivity::default();
        note(&mut vision, &failed(), 0);
        note(&mut vision, &answered(), 899);
        note(&mut vision, &failed(), 901);
        assert_eq!(vision.evaluate(at(1_800).1, false, LIMIT), None);
        assert!(vision.evaluate(at(1_801).1, false, LIMIT).is_some());
    }

    #[test]
    fn a_refused_key_is_told_at_once() {
        let mut vision = AccountConnectivity::default();
        note(&mut vision, &failed(), 5);
        assert!(vision.evaluate(at(5).1, true, LIMIT).is_some());
        assert_eq!(
            AccountConnectivity::default().evaluate(at(5).1, true, LIMIT),
            None,
            "nothing was observed"
        );
    }

    #[test]
    fn what_was_told_before_a_start_holds_until_something_is_seen() {
        let told = Outage {
            since: at(1).0,
            cause: OutageCause::KeyRejected,
            reason: "the API answered 401".to_owned(),
        };
        let mut vision = AccountConnectivity::after(Some(told.clone()));
        assert_eq!(vision.evaluate(at(2).1, true, LIMIT), None);
        note(&mut vision, &failed(), 3);
        assert_eq!(vision.evaluate(at(9_000).1, true, LIMIT), None);
        note(&mut vision, &answered(), 9_001);
        assert_eq!(
            vision.evaluate(at(9_001).1, false, LIMIT),
            Some(ConnectivityChange::Restored(told))
        );
    }
}
