//! SQLite: connections, transactions, the lock file, the checks of schema and rows, backup and
//! restore. The content of the tables belongs to `store::tables`.

pub(in crate::store) mod checkpointer;
pub mod connection;
pub mod database;
pub mod open;
pub(crate) mod remaining_check;
pub mod application_id;
pub mod integrity;
pub mod lock;
pub mod clean_shutdown;
pub mod schema_check;
pub mod statement;
pub mod time_limit;
pub mod verify;
pub mod copy;
