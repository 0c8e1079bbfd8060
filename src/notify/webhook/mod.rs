//! Webhooks: one attempt over HTTP, from the guarded connection to the meaning of the response.
//! Bodies come from `notify::format`.

pub(crate) mod response;
pub mod client;
pub mod sender;
pub mod body;
pub mod proxy;
pub mod tunnel;
pub mod route;
pub mod body_meaning;
pub mod signature;
pub mod tls_check;
