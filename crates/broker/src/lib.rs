//! Fanwire's brokers: what joins the nodes of a cluster.
//!
//! A [`Broker`] takes publications from this node and confirms subscriptions; its [`Feed`] brings everything that was
//! published, this node's own included, in order; what is kept of it can be read again. [`memory`] joins a node with itself, [`redis`] joins any number
//! through Redis Pub/Sub. This crate knows no WebSocket and no clients.

mod api;
pub mod envelope;
mod epoch;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod memory;
pub mod metrics;
mod page;
mod partition;
pub mod redis;

pub use api::{
    Accepted, Answered, Broker, Change, Changed, Changes, Counts, DeadNode, Delivery, Feed, FeedItem, Gap, Lease,
    LinkState, MAX_CHANGES, MAX_PAGE, Members, Page, PublishError, Publishing, Query, REMEMBERED, ReadError, Removed,
    Retention, Roll, Shown, Standing, SubscribeError, feed,
};
pub use partition::Partitions;
