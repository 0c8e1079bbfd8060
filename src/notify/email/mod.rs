//! E-mail: one mail to one recipient, by way of a mail server, a program or a folder.

mod message;
mod sendmail;
mod file_transport;
mod auth;
pub mod channel;
pub mod smtp;
pub mod config;
