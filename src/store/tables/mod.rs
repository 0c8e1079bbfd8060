//! The tables, one file each: reads and writes rows within a transaction of the caller.

pub mod accounts;
pub mod channels;
pub mod conditions;
pub mod condition_changes;
pub mod events;
pub mod outbox;
pub mod recipients;
pub mod transitions;
pub mod watches;
