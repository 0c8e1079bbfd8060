//! What all tries together tell about ourselves: whether it is our own network that is gone, and
//! whether our clock is right.
//!
//! Kept in memory alone: a new process finds out anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// What was seen.
#[derive(Debug, Default)]
pub struct LocalFaultDetector {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When each channel was last not even connected to; not in it are those that were.
    connect_failures: HashMap<ChannelName, Monotonic>,
    /// The channels whose clocks differ from ours.
    skewed: HashSet<ChannelName>,
}

impl LocalFaultDetector {
    /// What the end of a try means in the light of the others: where no channel at all can be
    /// connected to, the fault is most likely ours.
    pub fn reclassify<'a>(
        &self,
        channel: &ChannelName,
        outcome: Outcome,
        mut channels: impl ExactSizeIterator<Item = &'a ChannelName>,
        now: Monotonic,
    ) -> Outcome {
        let mut seen = self.seen();
        let connecting = CONNECTING.contains(&outcome.phase);
        if !connecting || outcome.class == OutcomeClass::Delivered {
            seen.connect_failures.remove(channel);
            return outcome;
        }
        seen.connect_failures.insert(channel.clone(), now);
        let unreached = |name: &ChannelName| {
            seen.connect_failures.get(name).is_some_and(|at| now.since(*at) <= REMEMBERED)
        };
        let all = channels.len() > 1 && channels.all(unreached);
        if outcome.class != OutcomeClass::Retryable || !all {
            return outcome;
        }
        let said = outcome.summary();
        Outcome {
            class: OutcomeClass::Local,
            error: Some(format!("{said}; no channel can be reached: is our own network down?")),
            ..outcome
        }
    }

    /// Says, once until it is mended, that our clock and that of a channel differ: receivers
    /// refuse signatures that seem to be more than five minutes old or early.
    pub fn check_clock_skew(
        &self,
        channel: &ChannelName,
        theirs: Option<Timestamp>,
        ours: Timestamp,
    ) {
        let Some(theirs) = theirs else { return };
        let apart = ours.since(theirs).max(theirs.since(ours));
        let mut seen = self.seen();
        if apart <= SKEW_MAX {
            if seen.skewed.remove(channel) {
                info!(channel = %channel, "the clock of `{channel}` and ours agree again");
            }
        } else if seen.skewed.insert(channel.clone()) {
            let apart = humantime::format_duration(Duration::from_secs(apart.as_secs()));
            let how = if ours > theirs { "ahead of" } else { "behind" };
            warn!(
                channel = %channel,
                "our clock is {apart} {how} that of `{channel}`: receivers refuse signatures \
                 that are more than five minutes off; see that the time is synchronised"
            );
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The phases in which nothing has been connected to.
const CONNECTING: [&str; 2] = ["resolve", "connect"];
/// For how long a failure to connect says something about our network.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Clocks may differ by this much and nobody minds.
const SKEW_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn the_fault_is_ours_only_where_no_channel_can_be_connected_to() {
        let local_fault = LocalFaultDetector::default();
        let both = [name("a"), name("b")];
        let judge = |channel: &str, phase, class, seconds| {
            let outcome = Outcome::new(class, phase);
            local_fault.reclassify(&name(channel), outcome, both.iter(), at(seconds)).class
        };
        let (refused, taken) = (OutcomeClass::Retryable, OutcomeClass::Delivered);
        assert_eq!(judge("a", "connect", refused, 0), refused, "nothing is known of `b` yet");
        assert_eq!(judge("b", "resolve", refused, 1), OutcomeClass::Local);
        assert_eq!(judge("a", "connect", refused, 2), OutcomeClass::Local);
        assert_eq!(judge("b", "response", refused, 3), refused, "it was connected to");
        assert_eq!(judge("a", "connect", refused, 4), refused);
        assert_eq!(judge("b", "connect", refused, 5), OutcomeClass::Local);
        assert_eq!(judge("a", "response", taken, 6), taken);
        assert_eq!(judge("b", "connect", refused, 7), refused);
        assert_eq!(judge("a", "connect", refused, 4000), refused, "`b` was long ago");
    }

    #[test]
    fn a_channel_that_is_alone_tells_nothing_about_our_network() {
        let outcome = Outcome::new(OutcomeClass::Retryable, "connect");
        let evaluated = LocalFaultDetector::default().reclassify(
            &name("a"),
            outcome,
            [name("a")].iter(),
            at(0),
        );
        assert_eq!(evaluated.class, OutcomeClass::Retryable);
    }
}
