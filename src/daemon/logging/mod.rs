//! What the loops log: throttled failures, and the ids that tie lines together.

pub mod log;
pub(in crate::daemon) mod avatar_label;
pub mod log_throttle;
pub mod template_fallback_log;
pub mod failing_avatars;
pub mod request_id;
