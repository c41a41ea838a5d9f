//! Options of a connection.

use crate::Position;
use fanwire_tls::ClientFiles;
use std::{fmt, time::Duration};

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

/// How a connection is made again that has ended.
///
/// The wait before each attempt is a random time between zero and a bound, which doubles with every failure. A
/// connection that ends before it has lasted for `most` counts as a failure, too. After close code 1012 (the node drains)
/// the first bound is 200 ms at most; after 1013 (this client read too slowly) a second comes on top, after an HTTP
/// refusal the node's `Retry-After`, and the bound is then at least as long as that, up to 30 s, so that clients that were
/// told the same don't come back together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// The first bound; 500 ms unless set, at least 10 ms.
    pub first: Duration,
    /// The greatest bound; 10 s unless set, at least 10 ms.
    pub most: Duration,
    /// How long after the end of a connection no further attempt is made and one under way is given up; never unless
    /// set.
    pub give_up_after: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(10), give_up_after: None }
    }
}

/// What a node is told of who this client is. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token that is `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Options of a connection.
#[derive(Debug, Clone)]
pub struct Options {
    /// How commands and events are spelt; JSON unless set.
    pub encoding: Encoding,
    /// A token (JWT) for nodes that want one; none unless set. A connection ends with its token, and is not made again with
    /// it.
    pub token: Option<Token>,
    /// With `wss://`: who is trusted instead of the system's authorities, and the certificate for nodes that want one.
    /// Files are read again for each connection.
    pub tls: ClientFiles,
    /// Time of one attempt for everything up to the node's welcome: name, TCP, TLS, upgrade; 10 s unless set.
    pub connect_timeout: Duration,
    /// Time for the answer to a command; 10 s unless set.
    pub answer_timeout: Duration,
    /// Events that wait for [`Events::next`](crate::Events::next); 1,024 unless set, at least 1.
    ///
    /// When so many wait, the socket is read no further until one is taken, which holds back answers too. Whoever
    /// doesn't want events drops [`Events`](crate::Events).
    pub event_queue: usize,
    /// Whether and how a connection is made again that has ended; it isn't unless set. See
    /// [the crate's documentation](crate#lost-connections).
    pub reconnect: Option<Reconnect>,
    /// The place up to which the user has all broadcasts, as from a run before: those behind it come first. Unless set,
    /// the connection's own place. Where broadcasts have no history that is told as [`Event::Lost`](crate::Event::Lost).
    pub broadcasts_since: Option<Position>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            token: None,
            tls: ClientFiles::default(),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            event_queue: 1024,
            reconnect: None,
            broadcasts_since: None,
        }
    }
}
