//! What an operator changes: deliveries are retried or cancelled, channels paused, resumed,
//! enabled, avatars forgotten.

pub mod deliveries;
pub mod channels;
pub mod avatars;
