//! What the config says of the work beside the two loops. A reload swaps it whole.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::retention::Retention;
use crate::notify::heartbeat::Heartbeat;

/// The work beside the loops.
#[derive(Clone, Debug, Default)]
pub struct BackgroundConfig {
    /// How long the past is kept.
    pub retention: Retention,
    /// Who hears that all is well; `None` is nobody.
    pub heartbeat: Option<HeartbeatConfig>,
}

/// Who hears that all is well, and how often.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// Where it beats.
    pub heartbeat: Arc<Heartbeat>,
    /// The least time between two beats.
    pub every: Duration,
}
