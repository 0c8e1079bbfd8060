//! When the next attempt of a pending delivery is made, as far as its channel permits it.

use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState};
use crate::domain::time::timestamp::Timestamp;

/// When a pending delivery is attempted, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextAttempt {
    Now,
    At(Timestamp),
    /// When the pause of its channel ends.
    PauseEnds(Timestamp),
    /// When an operator resumes its channel.
    Resumed,
    /// When an operator enables its channel.
    Enabled,
    /// When its channel is in the config again.
    Configured,
}

impl NextAttempt {
    /// The next attempt of a delivery that is due at `due`.
    pub(crate) fn of(
        due: Timestamp,
        is_configured: bool,
        health: &ChannelHealth,
        now: Timestamp,
    ) -> Self {
        if !is_configured {
            return Self::Configured;
        }
        match (health.state, health.pause.until) {
            (ChannelState::Disabled, _) => Self::Enabled,
            (ChannelState::Paused, None) => Self::Resumed,
            (ChannelState::Paused, Some(until)) if until > now => Self::PauseEnds(until.max(due)),
            (ChannelState::Paused | ChannelState::Active, _) => {
                let at = health.not_before.max(health.probe_at).max(due);
                if at > now { Self::At(at) } else { Self::Now }
            }
        }
    }

    /// When, in a table.
    pub(crate) fn text(self, show: impl Fn(Timestamp) -> String) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::At(at) | Self::PauseEnds(at) => show(at),
            Self::Resumed => "when resumed".to_owned(),
            Self::Enabled => "when enabled".to_owned(),
            Self::Configured => "when in the config".to_owned(),
        }
    }

    /// Why not now, and until when; `None` if now.
    pub(crate) fn obstacle(
        self,
        channel: &str,
        show: impl Fn(Timestamp) -> String,
    ) -> Option<String> {
        Some(match self {
            Self::Now => return None,
            Self::At(at) => format!("channel {channel} is not used before {}", show(at)),
            Self::PauseEnds(at) => format!(
                "channel {channel} is paused until {}, or `avatar-watch channels resume {channel}`",
                show(at)
            ),
            Self::Resumed => format!(
                "channel {channel} is paused until `avatar-watch channels resume {channel}`"
            ),
            Self::Enabled => format!(
                "channel {channel} is disabled until `avatar-watch channels enable {channel}`"
            ),
            Self::Configured => format!("channel {channel} is not in the config"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel_health::Pause;

    const T: fn(i64) -> Timestamp = Timestamp::from_millis;

    #[test]
    fn the_next_attempt_is_never_in_the_past_and_never_before_its_channel_permits_it() {
        let active = ChannelHealth::default();
        let probed = ChannelHealth { probe_at: T(90), not_before: T(70), ..active.clone() };
        let paused = |until| ChannelHealth {
            state: ChannelState::Paused,
            pause: Pause { until, reason: None },
            ..ChannelHealth::default()
        };
        let disabled = ChannelHealth { state: ChannelState::Disabled, ..active.clone() };
        let check = |health: &ChannelHealth, due, expected| {
            assert_eq!(NextAttempt::of(T(due), true, health, T(50)), expected, "{health:?}");
        };
        check(&active, 10, NextAttempt::Now);
        check(&active, 60, NextAttempt::At(T(60)));
        check(&probed, 10, NextAttempt::At(T(90)));
        check(&probed, 95, NextAttempt::At(T(95)));
        check(&paused(None), 10, NextAttempt::Resumed);
        check(&paused(Some(T(80))), 10, NextAttempt::PauseEnds(T(80)));
        check(&paused(Some(T(40))), 10, NextAttempt::Now);
        check(&disabled, 10, NextAttempt::Enabled);
        let removed = NextAttempt::of(T(10), false, &paused(None), T(50));
        assert_eq!(removed, NextAttempt::Configured);
    }
}
