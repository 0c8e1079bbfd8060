//! A vigil: waiting for one avatar to settle, and what ends the wait.
//!
//! What always holds: it ends only with what was observed; whatever may pass by itself is waited
//! out. It uses the rules of the watch, and tells nobody.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::polling::observation::{Denial, Observation};
use crate::domain::polling::poll_failure::CONFIRMED_AFTER;
use crate::domain::polling::watch::{Decision, LastObserved, Policy, Watch};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// A wait for one avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvatarWait {
    watch: Watch,
    earlier: Option<LastObserved>,
    forbidden: u32,
}

/// What ends a vigil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// It was seen settled: idle, failed or refused.
    Settled(Status),
    /// There is no such avatar; with what the API said.
    Missing(String),
    /// The key is not accepted, at all or for this avatar; with what the API said.
    KeyRejected(String),
}

impl AvatarWait {
    /// A vigil over an avatar of which others know that much. What they saw is no sight of ours;
    /// it only tells since when the avatar has been so, once it is seen so here.
    pub fn new(known: Watch) -> Self {
        let watch = Watch { name: known.name, model: known.model, ..Watch::new(known.id) };
        Self { watch, earlier: known.observed, forbidden: 0 }
    }

    /// What is known of the avatar.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The vigil after `seen`, observed at `now`.
    ///
    /// # Errors
    /// How long to wait before the next look, while nothing is decided.
    pub fn observe(
        &mut self,
        seen: Observation,
        now: Timestamp,
        policy: &Policy<'_>,
        roll: RandomBits,
    ) -> Result<WaitOutcome, Duration> {
        let rejected = self.rejects(&seen);
        let missing = match &seen {
            Observation::Missing { reason } => Some(reason.clone()),
            _ => None,
        };
        let Decision { watch, next_poll_in, .. } =
            self.watch.clone().observe(seen, now, policy, roll);
        self.watch = watch;
        self.restore_since();
        if let Some(reason) = rejected {
            return Ok(WaitOutcome::KeyRejected(reason));
        }
        match (missing, &self.watch.observed) {
            (Some(reason), _) if self.watch.streak.missing >= CONFIRMED_AFTER => {
                Ok(WaitOutcome::Missing(reason))
            }
            (None, Some(sight)) if self.watch.streak.polls == 0 && sight.status.is_settled() => {
                Ok(WaitOutcome::Settled(sight.status.clone()))
            }
            (Some(_) | None, _) => Err(next_poll_in.unwrap_or(policy.intervals.missing)),
        }
    }

    fn restore_since(&mut self) {
        if let Some(sight) = &mut self.watch.observed
            && let Some(earlier) = self.earlier.take()
            && sight.status == earlier.status
        {
            sight.since = sight.since.min(earlier.since);
        }
    }

    /// Why the key is rejected, if it is: a 401 is about the key; a single 403 may be an
    /// accident of a gateway.
    fn rejects(&mut self, seen: &Observation) -> Option<String> {
        match seen {
            Observation::Denied { denial: Denial::Key, reason } => Some(reason.clone()),
            Observation::Denied { denial: Denial::Avatar, reason } => {
                self.forbidden = self.forbidden.saturating_add(1);
                (self.forbidden >= FORBIDDEN_AFTER).then(|| reason.clone())
            }
            Observation::Seen(_) | Observation::Missing { .. } => {
                self.forbidden = 0;
                None
            }
            Observation::Throttled { .. } | Observation::Failed { .. } => None,
        }
    }
}

/// So many forbidden looks are no accident.
const FORBIDDEN_AFTER: u32 = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::account::AccountName;
    use crate::domain::avatar::{Avatar, AvatarId};
    use crate::domain::polling::backoff::Backoff;
    use crate::domain::polling::interval::{PollIntervals, TrainingInterval};
    use crate::domain::polling::observation::PollError;

    fn seen(status: &str) -> Observation {
        Observation::Seen(Box::new(Avatar {
            id: AvatarId::parse("a1").unwrap(),
            status: Status::from_name(status),
            name: None,
            model: None,
            orientation: None,
            thumbnail_url: None,
            extras: BTreeMap::new(),
            updated_at: None,
        }))
    }

    fn missing() -> Observation {
        Observation::Missing { reason: "404".to_owned() }
    }

    fn denied(denial: Denial) -> Observation {
        Observation::Denied { denial, reason: "no".to_owned() }
    }

    fn failed() -> Observation {
        Observation::Failed { fault: PollError::Unreachable, reason: "gone".to_owned() }
    }

    fn throttled() -> Observation {
        Observation::Throttled { retry_after: None, reason: "429".to_owned() }
    }

    /// What the last of these observations decides; none of those before it decides anything.
    fn verdict(observations: impl IntoIterator<Item = Observation>) -> Option<WaitOutcome> {
        let seconds = Duration::from_secs;
        let cadence = PollIntervals {
            training: TrainingInterval {
                min: seconds(2),
                max: seconds(60),
                age_fraction: 0.1,
                adaptive: false,
            },
            not_trained: seconds(5),
            settled: None,
            missing: seconds(2),
            backoff: Backoff::new(seconds(2), seconds(60), 2.0, 0.0).unwrap(),
            jitter: 0.0,
        };
        let account = AccountName::default();
        let policy = Policy::new(&cadence, &account, Timestamp::from_millis(0));
        let mut vigil = AvatarWait::new(Watch::new(AvatarId::parse("a1").unwrap()));
        let (mut now, mut last) = (Timestamp::from_millis(0), None);
        for seen in observations {
            assert_eq!(last, None, "decided too early");
            match vigil.observe(seen, now, &policy, RandomBits::new(1)) {
                Ok(verdict) => last = Some(verdict),
                Err(wait) => now = now.plus(wait),
            }
        }
        last
    }

    #[test]
    fn only_a_settled_status_settles() {
        for status in ["IDLE", "TRAINING_FAILED", "REFUSED"] {
            let settled = Some(WaitOutcome::Settled(Status::from_name(status)));
            assert_eq!(verdict([seen(status)]), settled);
            let long_way = [seen("NOT_TRAINED"), seen("TRAINING"), failed(), seen(status)];
            assert_eq!(verdict(long_way), settled);
        }
        for status in ["NOT_TRAINED", "TRAINING", "PAUSED"] {
            assert_eq!(verdict([seen(status), seen(status)]), None, "{status}");
        }
    }

    #[test]
    fn an_avatar_is_missing_after_three_looks_that_say_so() {
        let gone = Some(WaitOutcome::Missing("404".to_owned()));
        assert_eq!(verdict([missing(), missing()]), None);
        assert_eq!(verdict([missing(), missing(), missing()]), gone);
        assert_eq!(verdict([missing(), missing(), seen("TRAINING"), missing()]), None);
        assert_eq!(verdict([seen("TRAINING"), missing(), failed(), missing(), missing()]), gone);
    }

    #[test]
    fn a_key_is_rejected_at_once_or_with_the_second_forbidden_look() {
        let rejected = Some(WaitOutcome::KeyRejected("no".to_owned()));
        assert_eq!(verdict([denied(Denial::Key)]), rejected);
        assert_eq!(verdict([denied(Denial::Avatar)]), None);
        assert_eq!(verdict([denied(Denial::Avatar), denied(Denial::Avatar)]), rejected);
        let between = [denied(Denial::Avatar), seen("TRAINING"), denied(Denial::Avatar)];
        assert_eq!(verdict(between), None);
    }

    #[test]
    fn what_may_pass_by_itself_is_waited_out() {
        assert_eq!(verdict(std::iter::repeat_with(failed).take(50)), None);
        assert_eq!(verdict(std::iter::repeat_with(throttled).take(50)), None);
    }
}
