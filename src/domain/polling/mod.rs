//! Polling, decided: what an observation means for an avatar, its account and its conditions, and
//! when to poll next. How a poll is sent belongs to `argil`, when it runs to `daemon::poller`.

pub mod watch;
pub mod observation;
pub mod list_observation;
pub mod poll_failure;
pub mod interval;
pub mod forecast;
pub mod backoff;
pub mod circuit_breaker;
pub mod connectivity;
pub mod avatar_conditions;
pub mod wait;
