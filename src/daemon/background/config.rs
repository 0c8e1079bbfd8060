//! Config of retention and heartbeat. A reload replaces it as a whole.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::retention::Retention;
use crate::notify::heartbeat::Heartbeat;

#[derive(Clone, Debug, Default)]
pub struct BackgroundConfig {
    pub retention: Retention,
    pub heartbeat: Option<HeartbeatConfig>,
}

#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    pub heartbeat: Arc<Heartbeat>,
    pub every: Duration,
}
