//! Fanwire's dialects: what bytes on a WebSocket mean, and how an event becomes a frame.
//!
//! This crate knows no sockets, no Redis and no clock. `README.md` beside it describes the protocol for people
//! who write clients.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`channel`] | names of channels |
//! | [`close`] | why a connection ends, as one catalogue |
//! | [`command`] | what a client may ask |
//! | [`content`] | the payload of a publication, checked once and then present in every form |
//! | [`deflate`] | compression: what is agreed on, and messages made shorter and long again |
//! | [`dialect`] | which dialect a request gets; decode and encode |
//! | [`echo`] | what is said back, and the dialect that says back everything |
//! | [`encoding`] | how frames for a connection are made |
//! | [`error`] | why a command is refused, as one catalogue |
//! | [`event`] | what a client may be told |
//! | [`frame`] | WebSocket frames, as a server writes and reads them |
//! | [`id`] | ids of nodes and connections |
//! | [`member`] | who is on a channel |
//! | [`position`] | places in histories |
//! | [`publication`] | a message to many, encoded once per dialect |

pub mod channel;
pub mod close;
pub mod command;
pub mod content;
pub mod deflate;
pub mod dialect;
pub mod echo;
pub mod encoding;
pub mod error;
pub mod event;
pub mod frame;
pub mod id;
pub mod member;
pub mod position;
pub mod publication;

mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod key;
mod msgpack;
mod place;
mod plain;
mod wire;

pub use channel::ChannelName;
pub use close::CloseReason;
pub use command::{Command, IdempotencyKey, Request, RequestId, Token};
pub use content::{Content, ContentKind, InvalidContent};
pub use deflate::{Agreement, Compression, Deflate};
pub use dialect::{
    Decoded, Dialect, Dialects, Incoming, InvalidTemplate, TemplateTexts, Templates, WithoutSubprotocol,
};
pub use echo::Echo;
pub use encoding::{Encoding, Saving};
pub use error::{ErrorCode, Refusal};
pub use event::{Event, Recovered};
pub use id::{ConnectionId, NodeId};
pub use member::{ChangeKind, InvalidUserId, Member, MemberChange, UserId};
pub use position::{Epoch, Position};
pub use publication::{Delivery, Publication, Target};
