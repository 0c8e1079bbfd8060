//! Warns about clock skew: compares the `Date` header of receivers with the local clock.
//!
//! Receivers reject signatures with a timestamp more than five minutes off. The state is in
//! memory only; a new process logs a skew again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct ClockSkew {
    skewed: Mutex<HashSet<ChannelName>>,
}

impl ClockSkew {
    /// Compares the receiver's `Date` header with the local time, and logs the skew once until it
    /// is gone.
    pub(crate) fn observe(
        &self,
        channel: &ChannelName,
        theirs: Option<Timestamp>,
        ours: Timestamp,
    ) {
        let Some(theirs) = theirs else { return };
        let skew = ours.since(theirs).max(theirs.since(ours));
        let mut skewed = self.skewed.lock().unwrap_or_else(PoisonError::into_inner);
        if skew <= SKEW_MAX {
            if skewed.remove(channel) {
                info!(channel = %channel, "clock skew with channel `{channel}` is gone");
            }
        } else if skewed.insert(channel.clone()) {
            let skew = humanize(skew);
            let how = if ours > theirs { "ahead of" } else { "behind" };
            warn!(
                channel = %channel,
                "local clock is {skew} {how} that of channel `{channel}`; receivers reject \
                 signatures that are more than five minutes off; check the time synchronization"
            );
        }
    }
}

/// A working time synchronization stays far below. A skew is logged long before it is so large that
/// signatures are rejected.
const SKEW_MAX: Duration = Duration::from_secs(60);
