//! Tracks whether an account's API key yields any successful poll, and decides when to raise or
//! resolve `account.unavailable`.
//!
//! One successful poll of one avatar is enough. Delays are measured with the monotonic clock, so
//! that a change of the wall clock has no effect; they restart with the process.

use std::time::Duration;

use crate::domain::condition::OutageCause;
use crate::domain::polling::circuit_breaker::KeySignal;
use crate::domain::polling::observation::{Observation, PollError};
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// What one observation says about the key and the connection, independent of the avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSignal {
    /// What it says about the key.
    pub key: KeySignal,
    /// Why the poll failed; `None` when the API responded about the avatar.
    pub outage: Option<(OutageCause, String)>,
}

impl AccountSignal {
    /// The signal of an observation of an avatar; `before` is its watch before it.
    pub fn of(observation: &Observation, before: &Watch) -> Self {
        Self { key: KeySignal::of(observation, before), ..Self::from(observation) }
    }
}

impl From<&Observation> for AccountSignal {
    fn from(observation: &Observation) -> Self {
        let outage = match observation {
            Observation::Seen(_) | Observation::Missing { .. } => None,
            Observation::Denied { reason, .. } => Some((OutageCause::KeyRejected, reason.clone())),
            Observation::Throttled { reason, .. } => Some((OutageCause::Throttled, reason.clone())),
            Observation::Failed { fault, reason } => Some((cause(*fault), reason.clone())),
        };
        Self { key: KeySignal::from(observation), outage }
    }
}

/// The connectivity of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountConnectivity {
    last_success_at: Option<Timestamp>,
    failing: Option<Failing>,
    reported: Option<Outage>,
}

/// An outage of an account, reported or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it started.
    pub since: Timestamp,
    /// Its cause.
    pub cause: OutageCause,
    /// The last error, for people.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failing {
    started_at: Monotonic,
    /// The number of failed polls.
    polls: u32,
    outage: Outage,
}

/// A change to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectivityChange {
    /// The account became unavailable.
    Lost(Outage),
    /// The account is available again.
    Restored(Outage),
}

impl AccountConnectivity {
    /// The connectivity after a start, with the outage that was reported before it.
    pub fn after(reported: Option<Outage>) -> Self {
        Self { last_success_at: None, failing: None, reported }
    }

    /// When the API last responded about an avatar, since the start.
    pub fn last_success_at(&self) -> Option<Timestamp> {
        self.last_success_at
    }

    /// Whether an outage is reported and not resolved.
    pub fn is_reported(&self) -> bool {
        self.reported.is_some()
    }

    /// Whether the last poll failed.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Applies one observation. Returns the start of the outage of the account that it ends: no
    /// poll with the key succeeded for a while, so avatars wait for the end of a long backoff.
    pub fn record(
        &mut self,
        signal: &AccountSignal,
        now: Timestamp,
        monotonic: Monotonic,
    ) -> Option<Timestamp> {
        let Some((cause, reason)) = &signal.outage else {
            self.last_success_at = Some(now);
            let ended = self.failing.take()?;
            let lasted = monotonic.since(ended.started_at) >= OUTAGE_MIN;
            return (lasted && ended.polls >= OUTAGE_POLLS_MIN).then_some(ended.outage.since);
        };
        let new = Failing {
            started_at: monotonic,
            polls: 0,
            outage: Outage { since: now, cause: *cause, reason: reason.clone() },
        };
        let failing = self.failing.get_or_insert(new);
        failing.polls = failing.polls.saturating_add(1);
        failing.outage.cause = *cause;
        failing.outage.reason.clone_from(reason);
        None
    }

    /// The change to report at `monotonic`. `blocked` is whether the key is refused or the
    /// endpoint is wrong, which is reported at once; other failures must last for
    /// `unavailable_after`.
    pub fn evaluate(
        &self,
        monotonic: Monotonic,
        blocked: bool,
        unavailable_after: Duration,
    ) -> Option<ConnectivityChange> {
        match (&self.reported, &self.failing) {
            (Some(reported), None) if self.last_success_at.is_some() => {
                Some(ConnectivityChange::Restored(reported.clone()))
            }
            (None, Some(failing))
                if blocked || monotonic.since(failing.started_at) >= unavailable_after =>
            {
                Some(ConnectivityChange::Lost(failing.outage.clone()))
            }
            (Some(_) | None, _) => None,
        }
    }

    /// When to evaluate again, if there are no observations.
    pub fn evaluate_at(&self, unavailable_after: Duration) -> Option<Monotonic> {
        let failing = self.failing.as_ref().filter(|_| self.reported.is_none())?;
        Some(failing.started_at.plus(unavailable_after))
    }

    /// Records that it was reported.
    pub fn mark_reported(&mut self, change: ConnectivityChange) {
        self.reported = match change {
            ConnectivityChange::Lost(outage) => Some(outage),
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

/// The least duration of an outage after which failing avatars are polled at once.
const OUTAGE_MIN: Duration = Duration::from_secs(30);
/// The least number of failed polls in such an outage.
const OUTAGE_POLLS_MIN: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(900);

    fn at(seconds: u64) -> (Timestamp, Monotonic) {
        let millis = seconds * 1_000;
        (Timestamp::from_millis(i64::try_from(millis).unwrap()), Monotonic::from_millis(millis))
    }

    fn note(
        connectivity: &mut AccountConnectivity,
        seen: &Observation,
        seconds: u64,
    ) -> Option<Timestamp> {
        let (now, monotonic) = at(seconds);
        connectivity.record(&AccountSignal::from(seen), now, monotonic)
    }

    #[test]
    fn a_success_ends_an_outage_only_if_several_polls_failed_over_a_while() {
        let ended_by = |failures: &[u64]| {
            let mut connectivity = AccountConnectivity::default();
            for second in failures {
                assert_eq!(note(&mut connectivity, &failed(), *second), None);
            }
            let ended = note(&mut connectivity, &answered(), 50);
            assert_eq!(note(&mut connectivity, &answered(), 51), None, "once");
            ended
        };
        assert_eq!(ended_by(&[]), None);
        assert_eq!(ended_by(&[10, 40]), None, "two polls of one avatar");
        assert_eq!(ended_by(&[30, 31, 32, 33]), None, "a short failure");
        assert_eq!(ended_by(&[10, 11, 40]), Some(at(10).0));
    }

    fn failed() -> Observation {
        Observation::Failed { fault: PollError::Unreachable, reason: "no answer".to_owned() }
    }

    fn answered() -> Observation {
        Observation::Missing { reason: String::new() }
    }

    #[test]
    fn an_outage_is_reported_once_after_the_limit_and_resolved_once() {
        let mut connectivity = AccountConnectivity::default();
        note(&mut connectivity, &failed(), 10);
        note(&mut connectivity, &failed(), 500);
        assert_eq!(connectivity.evaluate(at(909).1, false, LIMIT), None);
        assert_eq!(connectivity.evaluate_at(LIMIT), Some(at(910).1));
        let change = connectivity.evaluate(at(910).1, false, LIMIT).unwrap();
        let ConnectivityChange::Lost(outage) = &change else { panic!("{change:?}") };
        assert_eq!((outage.since, outage.cause), (at(10).0, OutageCause::Unreachable));
        connectivity.mark_reported(change);
        note(&mut connectivity, &failed(), 2_000);
        assert_eq!(connectivity.evaluate(at(9_000).1, false, LIMIT), None);
        assert_eq!(connectivity.evaluate_at(LIMIT), None);
        note(&mut connectivity, &answered(), 9_001);
        let change = connectivity.evaluate(at(9_001).1, false, LIMIT).unwrap();
        assert!(
            matches!(&change, ConnectivityChange::Restored(outage) if outage.since == at(10).0)
        );
        connectivity.mark_reported(change);
        assert_eq!(connectivity.evaluate(at(9_002).1, false, LIMIT), None);
    }

    #[test]
    fn one_success_restarts_the_delay() {
        let mut connectivity = AccountConnectivity::default();
        note(&mut connectivity, &failed(), 0);
        note(&mut connectivity, &answered(), 899);
        note(&mut connectivity, &failed(), 901);
        assert_eq!(connectivity.evaluate(at(1_800).1, false, LIMIT), None);
        assert!(connectivity.evaluate(at(1_801).1, false, LIMIT).is_some());
    }

    #[test]
    fn a_refused_key_is_reported_at_once() {
        let mut connectivity = AccountConnectivity::default();
        note(&mut connectivity, &failed(), 5);
        assert!(connectivity.evaluate(at(5).1, true, LIMIT).is_some());
        assert_eq!(
            AccountConnectivity::default().evaluate(at(5).1, true, LIMIT),
            None,
            "nothing was observed"
        );
    }

    #[test]
    fn an_outage_reported_before_a_start_lasts_until_a_success() {
        let reported = Outage {
            since: at(1).0,
            cause: OutageCause::KeyRejected,
            reason: "the API answered 401".to_owned(),
        };
        let mut connectivity = AccountConnectivity::after(Some(reported.clone()));
        assert_eq!(connectivity.evaluate(at(2).1, true, LIMIT), None);
        note(&mut connectivity, &failed(), 3);
        assert_eq!(connectivity.evaluate(at(9_000).1, true, LIMIT), None);
        note(&mut connectivity, &answered(), 9_001);
        assert_eq!(
            connectivity.evaluate(at(9_001).1, false, LIMIT),
            Some(ConnectivityChange::Restored(reported))
        );
    }
}
