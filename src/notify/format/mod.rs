//! What is said, in the form that each receiver takes, and what it means when it answers. Pure.

pub mod choice;
pub mod standard;
mod cloudevents;
mod chat;
mod note;
mod limit;
mod slack;
mod discord;
mod teams;
mod ntfy;
pub mod template;
mod template_bounds;
pub mod sample;
pub mod schema;
