//! The tables, one file each: reading and writing of rows within a transaction that others begin.

pub mod accounts;
pub mod channels;
pub mod conditions;
pub mod events;
pub mod outbox;
pub mod recipients;
pub mod trainings;
pub mod transitions;
pub mod watches;
