//! A Fanwire node: it listens, upgrades, serves sessions, relays what the broker brings, and drains.
//!
//! This crate does not know how a dialect spells things, and not which broker it has.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`node`] | the node from start to the end of its drain |
//! | [`config`] | what a node must be told |
//! | [`addresses`] | how many connections come from one address |
//! | [`pace`] | how fast something may come |
//! | `paced` | a socket that is read no faster than it may be |
//! | `accept` | the public listener |
//! | [`auth`] | who a connection belongs to |
//! | [`permissions`] | what it may do |
//! | `users` | who is connected here |
//! | `revoked` | tokens that were revoked |
//! | `control` | what nodes tell each other to do |
//! | [`origins`] | which web pages may connect |
//! | [`proxies`] | who a client is where proxies stand before the node |
//! | `proxy_protocol` | what proxies say before a client's first byte |
//! | `plain_http` | an answer to a request over HTTP where something else was expected first |
//! | [`memory`] | pressure on the memory that the node may use |
//! | `starvation` | times in which the system had nothing to accept with |
//! | `upgrade` | from an HTTP request to a session |
//! | [`user_header`] | who the user is where proxies tell that |
//! | `websocket` | the handshake and the read side of WebSockets |
//! | `session` | one connection's commands and their answers |
//! | `relay` | from the broker's feed to the hub, without gaps where there is a history |
//! | `reads` | reads of histories that many want at the same time |
//! | `presence` | which connections are on which channels, and that the broker knows |
//! | [`namespaces`] | the options of channels |
//! | `threads` | a thread and a runtime for each shard |
//! | `tls` | TLS on the node's ports |
//! | `fresh` | files that are read again while the node runs |
//! | `key_files` | files with keys, which are |
//! | [`jwks`] | keys that an issuer publishes, which are fetched |
//! | `internal` | the internal HTTP port: metrics and health |
//! | [`readiness`] | whether the node wants connections, and why not |
//! | `metrics` | what the node counts |
//! | `time` | what time it is |

mod accept;
pub mod addresses;
pub mod auth;
pub mod config;
mod control;
mod fresh;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod internal;
pub mod jwks;
mod key_files;
pub mod memory;
mod metrics;
pub mod namespaces;
pub mod node;
pub mod origins;
pub mod pace;
mod paced;
pub mod permissions;
mod plain_http;
mod presence;
pub mod proxies;
mod proxy_protocol;
pub mod readiness;
mod reads;
mod relay;
mod revoked;
mod session;
mod starvation;
#[cfg(any(test, fuzzing))]
mod testing;
mod threads;
mod time;
mod tls;
mod upgrade;
pub mod user_header;
mod users;
mod websocket;

pub use addresses::AddressLimits;
pub use auth::Auth;
pub use config::NodeConfig;
pub use fanwire_hub::Policy;
pub use fresh::Reloading;
pub use jwks::Jwks;
pub use memory::MemoryLimits;
pub use namespaces::{Namespace, Namespaces};
pub use node::{Link, Listeners, Node, NodeError, Stopped};
pub use origins::{InvalidOrigin, OriginPattern, Origins};
pub use pace::Rate;
pub use permissions::{Allow, Who};
pub use presence::{Everywhere, WhenUnknown};
pub use proxies::{ForwardedHeader, InvalidProxy, TrustedProxies};
pub use readiness::{NotReady, Readiness};
pub use user_header::{InvalidHeader, UserHeader};
