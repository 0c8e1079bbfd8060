//! The formats of chats, and which responses of a chat confirm a message.

pub mod chat_message;
pub mod chat_response;
pub mod discord;
pub mod slack;
pub mod teams;
pub mod ntfy;
