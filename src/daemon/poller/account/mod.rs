//! What the poller keeps for one account: its queue, rate limit, list polls and alerts.

pub mod account_queue;
pub mod account_alerts;
pub mod rate_limiter;
pub mod list_state;
pub mod list_poll;
