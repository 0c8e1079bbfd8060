//! Files in places that other users of the machine can reach: how one is written so that nobody
//! can lead us elsewhere, and which ones may be obeyed. What stands in them is other modules'.

pub mod program;
pub mod trust;
pub mod users;
pub mod write;
pub mod paths;
