//! Files in places that other users of the machine can reach: how one is written so that nobody
//! can lead us elsewhere. What stands in them is other modules'.

pub mod write;
