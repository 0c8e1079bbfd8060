//! Decisions about polling: what an observation means for an avatar, its account and its
//! conditions, and when to poll next. Requests belong to `argil`, scheduling to `daemon::poller`.

pub mod watch;
pub mod observation;
pub mod overdue;
pub mod policy;
pub mod list_observation;
pub mod poll_failure;
pub mod strategy;
pub mod interval;
pub mod forecast;
pub mod backoff;
pub mod circuit_breaker;
pub mod avatar_conditions;
pub mod wait;
pub mod account_availability;
