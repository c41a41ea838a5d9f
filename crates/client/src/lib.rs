//! A client of Fanwire: connect, subscribe, publish, and read what arrives.
//!
//! ```no_run
//! # async fn example() -> Result<(), fanwire_client::Error> {
//! use fanwire_client::{Client, Event, Options};
//!
//! let (client, mut events) = Client::connect("ws://127.0.0.1:8765", Options::default()).await?;
//! client.subscribe("news").await?;
//! client.publish("news", "hello").await?;
//! while let Event::Message { channel, content, .. } = events.next().await? {
//!     println!("{channel}: {content:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It speaks `fanwire.v1.json` and `fanwire.v1.msgpack`, and with `wss://` TLS ([`Options::tls`]).
//!
//! # Lost connections
//!
//! The end of a connection is an error of [`Events::next`] and of every command, unless [`Options::reconnect`] is set.
//! Then another connection is made, to whatever node the URL leads to, and subscribed to the same channels:
//!
//! ```no_run
//! # async fn example() -> Result<(), fanwire_client::Error> {
//! use fanwire_client::{Client, Event, Options, Reconnect};
//!
//! let options = Options { reconnect: Some(Reconnect::default()), ..Options::default() };
//! let (client, mut events) = Client::connect("ws://127.0.0.1:8765", options).await?;
//! client.subscribe("news").await?;
//! loop {
//!     match events.next().await? {
//!         Event::Message { channel, content, .. } => println!("{channel}: {content:?}"),
//!         Event::Disconnected { reason } => println!("connecting again: {reason}"),
//!         Event::Reconnected { away, recovery, .. } if !recovery.all_channels_recovered() => {
//!             println!("messages of {away:?} may be missing");
//!         }
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! - The user is told: [`Event::Disconnected`], and [`Event::Reconnected`] as soon as all subscriptions are in force
//!   again. In channels without history messages of the time between may be missing: delivery is at most once.
//! - In channels with history, and for broadcasts with one, it goes on where it was: what was published meanwhile follows,
//!   once and in order. Where that is not kept any more, [`Event::Lost`] says so.
//! - A node that is silent for two of its heartbeats is taken for dead, with and without reconnecting, except while
//!   events wait for the user, for then nothing is read.
//! - Subscriptions are asked for again in their order, 64 at a time. Other commands go out after the first 64, not after
//!   all: with more subscriptions than that, or while some can't be granted, a publication may be sent before a
//!   subscription that was asked for earlier. Who must receive what it publishes waits for [`Event::Reconnected`].
//! - A subscription that the node can't grant for the moment, as while its broker is away, is asked for again; one that
//!   it refuses for good is [`Event::SubscriptionLost`]. An unsubscription while there is no connection holds for the
//!   next.
//! - A command that was given while there is no connection waits for one, up to [`Options::answer_timeout`]. One whose
//!   answer the connection took with it fails with what ended the connection, and is not repeated, since it may have been
//!   carried out; only that goes on of which twice is once: `subscribe`, `unsubscribe`, `history`, and publications with a
//!   key ([`Client::publish_once`]).
//! - No attempt is made after this client's own close, nor where it would be useless: after close codes 1000, 1002, 1003,
//!   1007, 1008, 1010, 3000 and 3003, HTTP statuses 400 to 499 but 408, 425 and 429, and answers that are not of the
//!   protocol. That end is told as without reconnecting. The same goes for the first connection's failure.
//!
//! # Places
//!
//! Where there is a history, each message carries its [`Position`]. Whoever keeps the last one goes on there in another
//! run, by [`Client::subscribe_from`] and [`Options::broadcasts_since`]. [`Client::history`] reads without subscribing.
//!
//! # Modules
//!
//! | module | what it holds |
//! | --- | --- |
//! | `backoff` | how long to wait before the next attempt |
//! | `broadcasts` | what the user has of the broadcasts |
//! | `call` | what handles ask of the task |
//! | `client` | [`Client`], the handle that commands go through |
//! | `connection` | one connection, from its welcome to its end |
//! | `content` | [`Content`], the payload of a message |
//! | `error` | [`Error`], all that can go wrong |
//! | `event` | [`Event`] and [`Events`], what the node tells |
//! | `handshake` | the way from a URL to the node's welcome |
//! | `history` | reading a channel's history: [`HistoryQuery`], [`Page`] |
//! | `json` | [`Json`], JSON as it is written |
//! | `options` | [`Options`] of a connection, and how it is made again: [`Reconnect`] |
//! | `outlet` | the way of events to the user |
//! | `presence` | who is on a channel: [`Member`], [`Members`] |
//! | `position` | [`Position`], a place in a history |
//! | `recovery` | [`Recovery`], what became of the time without a connection |
//! | `replay` | subscribing again on a new connection |
//! | `retry` | whether another connection may help, and how soon |
//! | `silence` | whether the node is silent for too long |
//! | `stream` | a stream that knows when it last brought something |
//! | `subscriptions` | what the user wants to be subscribed to |
//! | `supervisor` | the task: one connection after the other |
//! | `tls` | TLS to a node |
//! | `track` | where the user stands in a history |
//! | `unanswered` | commands that have been sent and not answered |
//! | `user` | the user's side, which outlives connections |
//! | `wire` | commands and events as bytes |

mod backoff;
mod broadcasts;
mod call;
mod client;
mod connection;
mod content;
mod error;
mod event;
mod handshake;
mod history;
mod json;
mod options;
mod outlet;
mod position;
mod presence;
mod recovery;
mod replay;
mod retry;
mod silence;
mod stream;
mod subscriptions;
mod supervisor;
mod tls;
mod track;
mod unanswered;
mod user;
mod wire;

pub use client::Client;
pub use content::Content;
pub use error::{Closed, Error, Refusal};
pub use event::{Event, Events, Welcome};
pub use fanwire_tls::ClientFiles;
pub use history::{HistoryQuery, Page, Publication};
pub use json::Json;
pub use options::{Encoding, Options, Reconnect, Token};
pub use position::{InvalidPosition, Position};
pub use presence::{Member, Members, MembersQuery, PresenceStats};
pub use recovery::{Outcome, Recovery};
