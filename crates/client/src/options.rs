//! Options of a connection.

use std::time::Duration;

/// How commands and events are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `fanwire.v1.json`: JSON in text messages.
    #[default]
    Json,
    /// `fanwire.v1.msgpack`: MessagePack in binary messages.
    MessagePack,
}

impl Encoding {
    /// The WebSocket subprotocol that asks a node for this encoding.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "fanwire.v1.json",
            Self::MessagePack => "fanwire.v1.msgpack",
        }
    }
}

/// Options of a connection.
#[derive(Debug, Clone)]
pub struct Options {
    /// How commands and events are spelt; JSON unless set.
    pub encoding: Encoding,
    /// Time for everything up to the node's welcome: name, TCP, upgrade; 10 s unless set.
    pub connect_timeout: Duration,
    /// Time for the answer to a command; 10 s unless set.
    pub answer_timeout: Duration,
    /// Events that wait for [`Events::next`](crate::Events::next); 1,024 unless set, at least 1.
    ///
    /// When so many wait, the socket is read no further until one is taken, which holds back answers too. Whoever
    /// doesn't want events drops [`Events`](crate::Events).
    pub event_queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            event_queue: 1024,
        }
    }
}
