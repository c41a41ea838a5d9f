//! Fanwire's local connections: who listens to what on this node, and how a publication gets to all of them.
//!
//! Connections are spread over shards. A connection, its subscriptions and its outbox belong to one [`Shard`] and are
//! reached by messages only, through a [`ShardHandle`]. Everything that goes out on a socket goes through its shard:
//! publications, answers, pings, pongs and closes. This crate knows no Redis, no HTTP and no JSON.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`hub`] | all shards of the node, and the way of a publication to those that have readers for it |
//! | [`interest`] | which channels this node has readers for, and on which shards |
//! | [`shard`] | the owner of connections: one task that takes messages, fans out and keeps time |
//! | `connection` | what a shard holds of a connection, and its write side |
//! | [`outbox`] | what a socket could not take yet, bounded |
//! | `channel` | the subscribers of a channel on a shard, and the publications that wait for them |
//! | `history` | where a channel with a history stands on a shard, and who is ahead of that |
//! | `recent` | what was delivered last, for those who are a little behind |
//! | `recovery` | what a connection waits for before it is live |
//! | `roster` | a list of subscribers that can be walked while it changes |
//! | `heartbeat` | when to ping, and when a connection is dead |
//! | [`activity`] | what a session and its shard tell each other without messages |
//! | [`transport`] | the write side of a socket |
//! | [`metrics`] | what is counted |

pub mod activity;
mod channel;
mod connection;
mod heartbeat;
mod history;
pub mod hub;
pub mod interest;
pub mod metrics;
pub mod outbox;
mod recent;
mod recovery;
mod roster;
pub mod shard;
pub mod transport;

pub use activity::{Activity, Clock};
pub use hub::Hub;
pub use interest::{Interest, Subscription};
pub use metrics::HubMetrics;
pub use outbox::Policy;
pub use recovery::Joined;
pub use shard::{Admission, ConnectionKey, Entry, Largest, Shard, ShardConfig, ShardGone, ShardHandle, Told, Waiting};
pub use transport::{Tcp, Tls, Transport};
