//! What a reload changes: the active config as stored, and its comparison with the file.

pub mod active;
pub mod active_routing;
pub mod diff;
pub mod snapshot;
pub mod serialize;
