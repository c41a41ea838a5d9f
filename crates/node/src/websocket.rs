//! WebSockets as far as they are read: the handshake, and messages from bytes.
//!
//! What goes out on a socket is written by its shard.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `handshake` | the answer to a request to upgrade: the only place that names tungstenite |
//! | `reader` | the read side of a connection |
//! | `kept` | what a connection has read and not decoded |
//! | `space` | where all connections of a thread read into |

mod handshake;
mod kept;
mod reader;
mod space;

pub(crate) use handshake::handshake;
pub(crate) use reader::{ReadEnd, Reader, Received, Terms};
