//! What is said, in the form that each receiver takes, and what it means when it answers. Pure.

pub mod standard;
mod cloudevents;
mod slack;
mod discord;
mod teams;
mod ntfy;
pub mod template;
mod template_bounds;
pub mod schema;
pub mod kind;
mod truncate;
mod chat_message;
mod chat_response;
pub mod samples;
