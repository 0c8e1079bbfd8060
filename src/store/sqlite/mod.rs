//! SQLite: connections, transactions, the lock file, the checks of schema and rows, backup and
//! restore. The content of the tables belongs to `store::tables`.

pub mod backup;
pub mod connection;
pub mod database;
pub mod open;
pub mod application_id;
pub mod integrity;
pub mod lock;
pub mod restore;
pub mod clean_shutdown;
pub mod schema_check;
pub mod snapshot;
pub mod statement;
pub mod time_limit;
pub mod verify;
