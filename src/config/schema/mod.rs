//! What the config may contain, as data: the known keys, what the example says of them, JSON
//! Schema.

pub mod keys;
pub mod key_docs;
pub mod json_schema;
