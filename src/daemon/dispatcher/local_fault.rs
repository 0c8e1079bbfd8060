//! Detects local faults from delivery outcomes: if every channel fails to connect, the host's
//! network is assumed down and no attempt is charged.
//!
//! The state is in memory only; a new process starts without it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::time::monotonic::Monotonic;

/// Failures to connect, by channel.
#[derive(Debug, Default)]
pub(crate) struct LocalFaultDetector {
    /// When each channel last failed to connect; a channel that connects is removed.
    connect_failures: Mutex<HashMap<ChannelName, Monotonic>>,
}

impl LocalFaultDetector {
    /// Turns a retryable connection failure into a local one if no channel can be connected to.
    /// A single channel says nothing about the network.
    pub(crate) fn reclassify<'a>(
        &self,
        channel: &ChannelName,
        outcome: Outcome,
        mut channels: impl ExactSizeIterator<Item = &'a ChannelName>,
        now: Monotonic,
    ) -> Outcome {
        let mut failures = self.connect_failures();
        let connecting = CONNECTING.contains(&outcome.phase);
        if !connecting || outcome.class == OutcomeClass::Delivered {
            failures.remove(channel);
            return outcome;
        }
        failures.insert(channel.clone(), now);
        let is_unreachable =
            |name: &ChannelName| failures.get(name).is_some_and(|at| now.since(*at) <= REMEMBERED);
        let all = channels.len() > 1 && channels.all(is_unreachable);
        if outcome.class != OutcomeClass::Retryable || !all {
            return outcome;
        }
        let reason = outcome.summary();
        Outcome {
            class: OutcomeClass::Local,
            error: Some(format!("{reason}; no channel is reachable: is this host's network down?")),
            ..outcome
        }
    }

    fn connect_failures(&self) -> MutexGuard<'_, HashMap<ChannelName, Monotonic>> {
        self.connect_failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The phases before a connection is established.
const CONNECTING: [&str; 2] = ["resolve", "connect"];
/// How long a failure to connect is taken into account.
const REMEMBERED: Duration = Duration::from_hours(1);

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
    fn a_failure_is_local_only_if_no_channel_can_be_connected_to() {
        let detector = LocalFaultDetector::default();
        let both = [name("a"), name("b")];
        let class = |channel: &str, phase, class, seconds| {
            let outcome = Outcome::new(class, phase);
            detector.reclassify(&name(channel), outcome, both.iter(), at(seconds)).class
        };
        let (refused, taken) = (OutcomeClass::Retryable, OutcomeClass::Delivered);
        assert_eq!(class("a", "connect", refused, 0), refused, "nothing is known of `b` yet");
        assert_eq!(class("b", "resolve", refused, 1), OutcomeClass::Local);
        assert_eq!(class("a", "connect", refused, 2), OutcomeClass::Local);
        assert_eq!(class("b", "response", refused, 3), refused, "it was connected to");
        assert_eq!(class("a", "connect", refused, 4), refused);
        assert_eq!(class("b", "connect", refused, 5), OutcomeClass::Local);
        assert_eq!(class("a", "response", taken, 6), taken);
        assert_eq!(class("b", "connect", refused, 7), refused);
        assert_eq!(class("a", "connect", refused, 4000), refused, "`b` was long ago");
    }

    #[test]
    fn the_failure_of_a_single_channel_is_not_local() {
        let outcome = Outcome::new(OutcomeClass::Retryable, "connect");
        let outcome = LocalFaultDetector::default().reclassify(
            &name("a"),
            outcome,
            [name("a")].iter(),
            at(0),
        );
        assert_eq!(outcome.class, OutcomeClass::Retryable);
    }
}
