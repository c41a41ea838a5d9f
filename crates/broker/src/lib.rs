//! Fanwire's brokers: what joins the nodes of a cluster.
//!
//! A [`Broker`] takes publications from this node and confirms subscriptions; its [`Feed`] brings everything that was
//! published, this node's own included, in order. [`memory`] joins a node with itself, [`redis`] joins any number
//! through Redis Pub/Sub. This crate knows no WebSocket and no clients.

mod api;
pub mod envelope;
pub mod memory;
pub mod metrics;
pub mod redis;

pub use api::{Accepted, Broker, Delivery, Feed, FeedItem, Gap, LinkState, PublishError, SubscribeError, feed};
