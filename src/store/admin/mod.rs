//! What an operator changes: deliveries are retried or cancelled, channels paused, resumed,
//! enabled.

pub mod deliveries;
pub mod channels;
