//! Mail addresses and domains as channels accept them, and what a refusal by an SMTP server
//! means. How mail is written and sent belongs to `notify::email`.

pub mod address;
pub mod domain;
pub mod options;
pub(crate) mod smtp_refusal;
pub(crate) mod smtp_phrases;
