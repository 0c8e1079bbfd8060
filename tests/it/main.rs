//! The tests that need more than one room: real sockets, real files, the real program.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod harness;

mod accounts;
mod argil_client;
mod canaries;
mod chores;
mod cli;
mod db;
mod delivering;
mod docs;
mod door;
mod email;
mod faults;
mod files;
mod first_steps;
mod logs;
mod mail;
mod mail_ways;
mod outcomes;
mod pacing;
mod polling;
mod reload;
mod restart;
mod schema;
mod security;
mod simulation;
mod tidy;
mod unread;
mod wait;
mod web;
mod webhook;
