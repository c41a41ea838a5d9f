//! The hub over in-memory pipes: shards are tasks of a runtime whose clock is paused, so time passes only when
//! everything is idle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backpressure;
mod churn;
mod close;
mod compression;
mod drain;
mod drop_oldest;
mod greeting;
mod heartbeat;
mod history;
mod history_model;
mod largest;
mod lifecycle;
mod model;
mod notice;
mod order;
mod page;
mod slow_consumer;
mod support;
