//! Config of retention and heartbeat. A reload replaces it as a whole.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::retention::Retention;
use crate::notify::heartbeat::Heartbeat;

/// Config of the background tasks.
#[derive(Clone, Debug, Default)]
pub struct BackgroundConfig {
    /// How long history is kept.
    pub retention: Retention,
    /// The heartbeat; `None` when it is off.
    pub heartbeat: Option<HeartbeatConfig>,
}

/// Config of the heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// The heartbeat client.
    pub heartbeat: Arc<Heartbeat>,
    /// Interval between two heartbeats.
    pub every: Duration,
}
