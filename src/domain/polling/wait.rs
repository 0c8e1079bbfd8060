//! Waits for one avatar to settle, for `avatar-watch wait`.
//!
//! Only observations end it; transient failures are waited out. It uses the rules of the watch and
//! makes no notifications.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::polling::observation::{Denial, Observation};
use crate::domain::polling::policy::Policy;
use crate::domain::polling::poll_failure::CONFIRMED_AFTER;
use crate::domain::polling::watch::{Decision, LastObserved, Watch};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// A wait for one avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvatarWait {
    watch: Watch,
    earlier: Option<LastObserved>,
    forbidden: u32,
}

/// The outcome of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// It is settled: idle, failed or refused.
    Settled(Status),
    /// There is no such avatar; with the text of the API.
    Missing(String),
    /// The key is refused, for everything or for this avatar; with the text of the API.
    KeyRejected(String),
}

impl AvatarWait {
    /// A wait for an avatar with a known watch. Its last observation does not count, but gives the
    /// time since when the avatar has its status, if it still has it.
    pub fn new(known: Watch) -> Self {
        let watch = Watch { name: known.name, model: known.model, ..Watch::new(known.id) };
        Self { watch, earlier: known.observed, forbidden: 0 }
    }

    /// The watch of the avatar.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Applies `seen`, observed at `now`.
    ///
    /// The delay before the next poll, while there is no outcome.
    pub fn observe(
        &mut self,
        seen: Observation,
        now: Timestamp,
        policy: &Policy<'_>,
        random: RandomBits,
    ) -> Result<WaitOutcome, Duration> {
        let rejected = self.rejects(&seen);
        let missing = match &seen {
            Observation::Missing { reason } => Some(reason.clone()),
            _ => None,
        };
        let Decision { watch, next_poll_in, .. } =
            self.watch.clone().observe(seen, now, policy, random);
        self.watch = watch;
        self.restore_since();
        if let Some(reason) = rejected {
            return Ok(WaitOutcome::KeyRejected(reason));
        }
        match (missing, &self.watch.observed) {
            (Some(reason), _) if self.watch.streak.missing >= CONFIRMED_AFTER => {
                Ok(WaitOutcome::Missing(reason))
            }
            (None, Some(observed))
                if self.watch.streak.polls == 0 && observed.status.is_settled() =>
            {
                Ok(WaitOutcome::Settled(observed.status.clone()))
            }
            (Some(_) | None, _) => Err(next_poll_in.unwrap_or(policy.intervals.missing)),
        }
    }

    fn restore_since(&mut self) {
        if let Some(observed) = &mut self.watch.observed
            && let Some(earlier) = self.earlier.take()
            && observed.status == earlier.status
        {
            observed.since = observed.since.min(earlier.since);
        }
    }

    /// Why the key is refused, if it is: a 401 is about the key; a single 403 may come from a
    /// gateway.
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

/// The number of forbidden polls that confirm a refusal.
const FORBIDDEN_AFTER: u32 = 2;

#[cfg(test)]
mod tests {

    use super::*;
    use crate::domain::account::AccountName;
    use crate::domain::avatar::{Avatar, AvatarId};
    use crate::domain::polling::backoff::Backoff;
    use crate::domain::polling::interval::{PollIntervals, SettledIntervals, TrainingInterval};
    use crate::domain::polling::observation::PollError;

    fn seen(status: &str) -> Observation {
        let id = AvatarId::parse("a1").unwrap();
        Observation::Seen(Box::new(Avatar::new(id, Status::from_name(status))))
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

    /// The outcome after the last of these observations; the others have none.
    fn outcome(observations: impl IntoIterator<Item = Observation>) -> Option<WaitOutcome> {
        let seconds = Duration::from_secs;
        let intervals = PollIntervals {
            training: TrainingInterval {
                min: seconds(2),
                max: seconds(60),
                age_fraction: 0.1,
                adaptive: false,
            },
            not_trained: seconds(5),
            settled: SettledIntervals::default(),
            missing: seconds(2),
            backoff: Backoff::new(seconds(2), seconds(60), 2.0, 0.0).unwrap(),
            jitter: 0.0,
        };
        let account = AccountName::default();
        let policy = Policy::new(&intervals, &account, Timestamp::from_millis(0));
        let mut wait = AvatarWait::new(Watch::new(AvatarId::parse("a1").unwrap()));
        let (mut now, mut last) = (Timestamp::from_millis(0), None);
        for seen in observations {
            assert_eq!(last, None, "decided too early");
            match wait.observe(seen, now, &policy, RandomBits::new(1)) {
                Ok(outcome) => last = Some(outcome),
                Err(wait) => now = now.plus(wait),
            }
        }
        last
    }

    #[test]
    fn only_a_settled_status_settles() {
        for status in ["IDLE", "TRAINING_FAILED", "REFUSED"] {
            let settled = Some(WaitOutcome::Settled(Status::from_name(status)));
            assert_eq!(outcome([seen(status)]), settled);
            let long_way = [seen("NOT_TRAINED"), seen("TRAINING"), failed(), seen(status)];
            assert_eq!(outcome(long_way), settled);
        }
        for status in ["NOT_TRAINED", "TRAINING", "PAUSED"] {
            assert_eq!(outcome([seen(status), seen(status)]), None, "{status}");
        }
    }

    #[test]
    fn an_avatar_is_missing_after_three_polls_that_say_so() {
        let gone = Some(WaitOutcome::Missing("404".to_owned()));
        assert_eq!(outcome([missing(), missing()]), None);
        assert_eq!(outcome([missing(), missing(), missing()]), gone);
        assert_eq!(outcome([missing(), missing(), seen("TRAINING"), missing()]), None);
        assert_eq!(outcome([seen("TRAINING"), missing(), failed(), missing(), missing()]), gone);
    }

    #[test]
    fn a_key_is_rejected_at_once_or_with_the_second_forbidden_poll() {
        let rejected = Some(WaitOutcome::KeyRejected("no".to_owned()));
        assert_eq!(outcome([denied(Denial::Key)]), rejected);
        assert_eq!(outcome([denied(Denial::Avatar)]), None);
        assert_eq!(outcome([denied(Denial::Avatar), denied(Denial::Avatar)]), rejected);
        let between = [denied(Denial::Avatar), seen("TRAINING"), denied(Denial::Avatar)];
        assert_eq!(outcome(between), None);
    }

    #[test]
    fn what_may_pass_by_itself_is_waited_out() {
        assert_eq!(outcome(std::iter::repeat_with(failed).take(50)), None);
        assert_eq!(outcome(std::iter::repeat_with(throttled).take(50)), None);
    }
}
