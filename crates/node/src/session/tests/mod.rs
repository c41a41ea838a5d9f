//! A session between a client and a hub of one shard, in memory, with a clock that stands still.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod closing;
mod commands;
mod framing;
mod history;
mod newcomer;
mod panics;
mod presence;
mod publishing;
mod reading;
mod size;
mod standing;
mod subscribing;
