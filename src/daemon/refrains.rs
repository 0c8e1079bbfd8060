//! The refrains of this process: which troubles the log has said, so that none of them fills it.
//!
//! It holds nothing that a restart may not lose: a trouble that lasts is said again then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::channel::ChannelName;
use crate::domain::moment::Moment;
use crate::domain::refrain::{Refrain, Said};

/// What is in trouble.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// An avatar that cannot be seen.
    Avatar(AvatarId),
    /// An account whose key is not welcome.
    Account(AccountName),
    /// A channel that takes nothing.
    Channel(ChannelName),
    /// The store, which cannot write these.
    Writing(&'static str),
}

/// How a trouble ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// This is to be said.
    Said(Said),
    /// Its beginning was not said, so its end is not.
    Unsaid,
    /// This process never knew of it.
    Unknown,
}

/// The refrains; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Refrains {
    // A std mutex: it is held for a few instructions and never across an await.
    known: Arc<Mutex<HashMap<Topic, HashMap<&'static str, Refrain>>>>,
}

impl Refrains {
    /// A trouble is there, still or again, and of this kind; what is to be said, if anything.
    pub fn again(&self, topic: Topic, kind: &'static str, now: Moment) -> Option<Said> {
        let mut known = self.known();
        if let Some(refrain) = known.get_mut(&topic).and_then(|kinds| kinds.get_mut(kind)) {
            return refrain.again(now);
        }
        known.retain(|_, kinds| {
            kinds.retain(|_, refrain| !refrain.is_over(now));
            !kinds.is_empty()
        });
        let refrain = Refrain::begin(now);
        known.entry(topic).or_default().insert(kind, refrain);
        Some(Said { left_out: 0, lasted: std::time::Duration::ZERO })
    }

    /// Every trouble of a topic is over; what is to be said, in one.
    pub fn end(&self, topic: &Topic, now: Moment) -> Ended {
        let mut known = self.known();
        let Some(kinds) = known.get_mut(topic) else { return Ended::Unknown };
        let ends = kinds.values_mut().filter_map(|refrain| refrain.end(now));
        let end = ends.reduce(|one, other| Said {
            left_out: one.left_out + other.left_out,
            lasted: one.lasted.max(other.lasted),
        });
        end.map_or(Ended::Unsaid, Ended::Said)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Topic, HashMap<&'static str, Refrain>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often something was not said, for the field of the log; `None` when it always was.
pub fn left_out(said: Said) -> Option<u64> {
    (said.left_out > 0).then_some(said.left_out)
}

/// The same, and for how long it lasted, for the sentence at the end of a trouble.
pub fn in_all(said: Said) -> String {
    let lasted = humantime::format_duration(std::time::Duration::from_secs(said.lasted.as_secs()));
    match said.left_out {
        0 => format!("after {lasted}"),
        number => format!("after {lasted}, of which {number} lines were left out"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(minutes: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn the_kinds_of_a_topic_begin_each_on_its_own_and_end_together() {
        let refrains = Refrains::default();
        let ops = Topic::Channel(ChannelName::parse("ops").unwrap());
        let other = Topic::Channel(ChannelName::parse("other").unwrap());
        assert_eq!(refrains.end(&ops, at(0)), Ended::Unknown);
        assert!(refrains.again(ops.clone(), "connect", at(0)).is_some());
        assert!(refrains.again(ops.clone(), "connect", at(1)).is_none());
        assert!(refrains.again(ops.clone(), "response", at(2)).is_some());
        assert!(refrains.again(ops.clone(), "response", at(3)).is_none());
        assert!(refrains.again(other, "connect", at(3)).is_some());
        let said = Said { left_out: 2, lasted: Duration::from_secs(240) };
        assert_eq!(refrains.end(&ops, at(4)), Ended::Said(said));
        assert_eq!(refrains.end(&ops, at(5)), Ended::Unsaid);
        assert_eq!(in_all(said), "after 4m, of which 2 lines were left out");
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let refrains = Refrains::default();
        for number in 0..1000 {
            let topic = Topic::Avatar(AvatarId::parse(&format!("a{number}")).unwrap());
            refrains.again(topic.clone(), "failed", at(number));
            refrains.end(&topic, at(number));
        }
        assert_eq!(refrains.known().len(), 60);
    }
}
