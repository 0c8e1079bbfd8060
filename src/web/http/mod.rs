//! HTTP for all endpoints: the server and its connections, access, queries, problems.

pub mod connection_limit;
pub mod server;
pub mod router;
pub mod list_header;
pub mod auth;
mod path_prefix;
pub mod problem;
pub mod query;
