//! How many attempts each channel may start: a limit over all channels, shared fairly.
//!
//! Invariant: a channel without an attempt in flight may always start one, so channels that hang
//! stop no other. All attempts beyond the first of each channel share the rest of the limit.

use crate::domain::delivery::channel_name::ChannelName;

/// The attempts that may be started now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptSlots {
    /// The channels that may start an attempt.
    pub channels: Vec<ChannelSlots>,
    /// The attempts that may be started beyond the first of each channel, by all of them together.
    pub shared: usize,
}

/// The attempts that a channel may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSlots {
    /// The channel.
    pub channel: ChannelName,
    /// One, if it has none in flight.
    own: usize,
    /// Its part of the shared ones.
    extra: usize,
}

/// A channel and its attempts in flight.
#[derive(Clone, Copy, Debug)]
pub struct ChannelUse<'a> {
    /// The channel.
    pub channel: &'a ChannelName,
    /// Its attempts in flight.
    pub in_flight: usize,
    /// The most that it may have in flight.
    pub max: usize,
}

impl AttemptSlots {
    /// The slots of these channels, `total` over all of them; one each if `total` is less.
    pub fn new(total: usize, uses: &[ChannelUse<'_>]) -> Self {
        let shared_total = total.saturating_sub(uses.len());
        let shared_in_use: usize = uses.iter().map(|it| it.in_flight.saturating_sub(1)).sum();
        let busy = uses.iter().filter(|it| it.in_flight > 0).count();
        let channels = uses.iter().filter_map(|it| {
            let own = usize::from(it.in_flight == 0);
            // An equal part for each channel with attempts in flight, this one included.
            let part = (shared_total / (busy + own)).max(1);
            let extra = it.max.min(1 + part).saturating_sub(it.in_flight + own);
            let own = own.min(it.max);
            let slots = ChannelSlots { channel: it.channel.clone(), own, extra };
            (slots.most() > 0).then_some(slots)
        });
        Self { channels: channels.collect(), shared: shared_total.saturating_sub(shared_in_use) }
    }
}

impl ChannelSlots {
    /// Slots for a single channel.
    #[cfg(test)]
    pub const fn only(channel: ChannelName, most: usize) -> Self {
        Self { channel, own: most, extra: 0 }
    }

    /// The most attempts that the channel may start.
    pub const fn most(&self) -> usize {
        self.own + self.extra
    }

    /// The same while `shared` of the shared ones are left.
    pub fn within(&self, shared: usize) -> usize {
        self.own + self.extra.min(shared)
    }

    /// What is left of `shared` after the channel started that many.
    pub const fn rest(&self, shared: usize, started: usize) -> usize {
        shared.saturating_sub(started.saturating_sub(self.own))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<ChannelName> {
        (0..count).map(|number| ChannelName::parse(&format!("c{number}")).unwrap()).collect()
    }

    /// What each channel starts when all of them have as much as they may.
    fn start(total: usize, in_flight: &[usize], max: usize) -> Vec<usize> {
        let names = names(in_flight.len());
        let uses: Vec<_> = names
            .iter()
            .zip(in_flight)
            .map(|(channel, in_flight)| ChannelUse { channel, in_flight: *in_flight, max })
            .collect();
        let slots = AttemptSlots::new(total, &uses);
        let mut shared = slots.shared;
        let started = names.iter().map(|name| {
            let Some(of) = slots.channels.iter().find(|it| it.channel == *name) else { return 0 };
            let started = of.within(shared);
            shared = of.rest(shared, started);
            started
        });
        started.collect()
    }

    #[test]
    fn a_few_channels_have_as_many_as_each_may() {
        assert_eq!(start(256, &[0], 32), [32]);
        assert_eq!(start(256, &[0, 5, 32], 32), [32, 27, 0]);
    }

    #[test]
    fn channels_that_hang_leave_one_to_every_other() {
        let mut in_flight = [0; 100];
        in_flight[..5].fill(32);
        let started = start(256, &in_flight, 32);
        assert!(started[5..].iter().all(|count| *count >= 1), "{started:?}");
    }

    #[test]
    fn busy_channels_have_equal_parts() {
        assert_eq!(start(256, &[1; 100], 32), [1; 100]);
        assert_eq!(start(100, &[1; 10], 32), [9; 10]);
    }

    proptest! {
        #[test]
        fn no_more_than_the_total_is_in_flight_and_no_channel_waits_for_another(
            total in 1_usize..300,
            max in 1_usize..40,
            mut in_flight in prop::collection::vec(Just(0_usize), 1..120),
            ends in prop::collection::vec((0_usize..120, 0_usize..40), 0..60),
        ) {
            for (channel, ended) in ends {
                let started = start(total, &in_flight, max);
                for (busy, started) in in_flight.iter_mut().zip(started) {
                    prop_assert!(*busy > 0 || started > 0, "a channel waits for another");
                    *busy += started;
                    prop_assert!(*busy <= max);
                }
                let sum: usize = in_flight.iter().sum();
                prop_assert!(sum <= total.max(in_flight.len()), "{sum} of {total}");
                let channel = channel % in_flight.len();
                in_flight[channel] = in_flight[channel].saturating_sub(ended);
            }
        }
    }
}
