//! The built command.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod health;
mod node;
mod publish;
mod serve;
mod support;
