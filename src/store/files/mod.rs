//! The files of a database: where they may lie, who may own and write them, what stands in the
//! way of opening them. Nothing here opens a database.

pub mod obstacle;
pub mod ownership;
pub mod permissions;
pub mod location;
pub mod temp_copy;
