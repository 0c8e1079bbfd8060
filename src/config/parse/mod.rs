//! Reading TOML with positions: documents, fields, durations, hosts, references, and the errors
//! that name file, line and key. What a section means belongs to `config::sections`.

pub mod document;
pub mod field;
pub mod duration;
pub mod host;
pub mod references;
pub mod tags;
pub mod syntax_error;
pub mod ca_file;
pub mod web_address;
pub mod avatar_id;
