//! Files in folders that other users of the machine can write to: opening and writing them without
//! following a planted link, and the rules for which ones are trusted. What the files contain is
//! known to other modules.

pub mod open;
pub mod paths;
pub mod program;
pub mod trust;
pub mod users;
pub mod write;
