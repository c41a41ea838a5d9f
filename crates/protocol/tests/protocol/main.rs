//! The crate as its users see it: bytes in, commands out; events in, frames out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_pass_by_value)]

mod commands;
mod content;
mod echo;
mod events;
mod histories;
mod plain;
mod presence;
mod properties;
mod readme;
mod strategies;
mod support;
