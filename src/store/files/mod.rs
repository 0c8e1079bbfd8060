//! The files of a database: their location, owner, mode and locks, and why this user cannot open
//! them. Nothing here reads a database.

pub mod obstacle;
pub mod ownership;
pub mod permissions;
pub mod location;
pub mod temp_copy;
