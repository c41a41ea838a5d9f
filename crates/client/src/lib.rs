//! A client of Fanwire: connect, subscribe, publish, and read what arrives.
//!
//! ```no_run
//! # async fn example() -> Result<(), fanwire_client::Error> {
//! use fanwire_client::{Client, Event, Options};
//!
//! let (client, mut events) = Client::connect("ws://127.0.0.1:8765", Options::default()).await?;
//! client.subscribe("news").await?;
//! client.publish("news", "hello").await?;
//! while let Event::Message { channel, content } = events.next().await? {
//!     println!("{channel}: {content:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It speaks `fanwire.v1.json` and `fanwire.v1.msgpack`. A lost connection is reported, not rebuilt.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `client` | [`Client`], the handle that commands go through |
//! | `connection` | the task that owns the socket |
//! | `content` | [`Content`], the payload of a message |
//! | `error` | [`Error`], all that can go wrong |
//! | `event` | [`Event`] and [`Events`], what the node tells |
//! | `handshake` | the way from a URL to the node's welcome |
//! | `json` | [`Json`], JSON as it is written |
//! | `options` | [`Options`] of a connection |
//! | `wire` | commands and events as bytes |

mod client;
mod connection;
mod content;
mod error;
mod event;
mod handshake;
mod json;
mod options;
mod wire;

pub use client::Client;
pub use content::Content;
pub use error::{Closed, Error, Refusal};
pub use event::{Event, Events, Welcome};
pub use json::Json;
pub use options::{Encoding, Options};
