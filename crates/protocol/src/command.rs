//! What a client may ask.

use crate::{ChannelName, ConnectionId, Content, Echo, Position, key::Key};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};
use std::fmt;
use zeroize::Zeroizing;

/// The longest text that may stand as an `id`, in bytes.
pub const MAX_ID_LENGTH: usize = 64;

/// What a client put into `id`, echoed in the answer: an integer that fits 64 bits, or a text of at most
/// [`MAX_ID_LENGTH`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// 0 to 2^64-1.
    Unsigned(u64),
    /// -2^63 to -1.
    Signed(i64),
    /// At most [`MAX_ID_LENGTH`] bytes.
    Text(Box<str>),
}

impl RequestId {
    pub(crate) fn signed(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Signed(number), Self::Unsigned)
    }

    /// The id that is `text`, unless it is longer than [`MAX_ID_LENGTH`].
    pub(crate) fn text(text: &str) -> Option<Self> {
        (text.len() <= MAX_ID_LENGTH).then(|| Self::Text(text.into()))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = RequestId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Key::Id.expected())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<RequestId, E> {
        Ok(RequestId::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RequestId, E> {
        Ok(RequestId::signed(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RequestId, E> {
        RequestId::text(text).ok_or_else(|| E::invalid_type(Unexpected::Other("longer string"), &self))
    }
}

/// The longest idempotency key, in bytes.
pub const MAX_KEY_LENGTH: usize = 64;

/// What a publisher gives a publication so that it is carried out once, however often it is sent: a text of 1 to
/// [`MAX_KEY_LENGTH`] bytes. Keys of different channels have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// The key that is `text`, unless that is empty or longer than [`MAX_KEY_LENGTH`].
    pub fn new(text: &str) -> Option<Self> {
        (1..=MAX_KEY_LENGTH).contains(&text.len()).then(|| Self(text.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a client authenticates itself with. It is never shown, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<Box<str>>);

impl Token {
    /// The token that is `text`.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The token as text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The most publications or members that [`Command::History`] or [`Command::Presence`] may ask for at once.
pub const MAX_LIMIT: u32 = 1000;

/// How many [`Command::History`] or [`Command::Presence`] asks for unless it says so.
pub const DEFAULT_LIMIT: u32 = 100;

/// The limit that is `number`, unless it is outside of 1 to [`MAX_LIMIT`].
pub(crate) fn limit(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
}

/// A command and the id that its answer carries. Without an id only errors (and `pong`) are answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The id to echo.
    pub id: Option<RequestId>,
    /// What is asked.
    pub command: Command,
}

/// What a client may ask, whichever dialect spelled it.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Receive what is published to `channel`, from now on or from a place in its history on.
    Subscribe {
        /// The channel.
        channel: ChannelName,
        /// The place up to which the client has everything.
        recover: Option<Position>,
        /// What the connection says of itself to those who ask who is there.
        info: Option<Content>,
    },
    /// Receive no more of `channel`.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
    },
    /// Send `content` to the subscribers of `channel`.
    Publish {
        /// The channel.
        channel: ChannelName,
        /// The payload.
        content: Content,
        /// Whether the sender gets it too, if subscribed.
        echo: bool,
        /// What tells a repetition of this publication from another one.
        idempotency_key: Option<IdempotencyKey>,
    },
    /// Send `content` to every connection of the cluster.
    Broadcast {
        /// The payload.
        content: Content,
        /// Whether the sender gets it too.
        echo: bool,
        /// What tells a repetition of this broadcast from another one.
        idempotency_key: Option<IdempotencyKey>,
    },
    /// Receive the broadcasts between a place in their history and the connection's welcome.
    RecoverBroadcast {
        /// The place up to which the client has everything.
        position: Position,
    },
    /// Read a channel's history.
    History {
        /// The channel.
        channel: ChannelName,
        /// What comes behind this place, or with `reverse` before it; from the end that is read first where absent.
        since: Option<Position>,
        /// How many publications at most: 1 to [`MAX_LIMIT`], [`DEFAULT_LIMIT`] where the client doesn't say.
        limit: u32,
        /// Newest first.
        reverse: bool,
    },
    /// Read who is on a channel.
    Presence {
        /// The channel.
        channel: ChannelName,
        /// How many members at most: 1 to [`MAX_LIMIT`], [`DEFAULT_LIMIT`] where the client doesn't say.
        limit: u32,
        /// Only members behind this one, which need not be there any more.
        after: Option<ConnectionId>,
    },
    /// Count who is on a channel.
    PresenceStats {
        /// The channel.
        channel: ChannelName,
    },
    /// Be who a token says, where the upgrade has not said it.
    Auth {
        /// The token.
        token: Token,
    },
    /// Go on for as long as another token of the same user says, with its rights.
    Refresh {
        /// The token.
        token: Token,
    },
    /// Ask for a `pong`.
    Ping,
    /// Plain and echo dialects only: say this back.
    Echo(Echo),
}

impl Command {
    /// The value of the label `type` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Publish { .. } => "publish",
            Self::Broadcast { .. } => "broadcast",
            Self::RecoverBroadcast { .. } => "recover_broadcast",
            Self::History { .. } => "history",
            Self::Presence { .. } => "presence",
            Self::PresenceStats { .. } => "presence_stats",
            Self::Auth { .. } => "auth",
            Self::Refresh { .. } => "refresh",
            Self::Ping => "ping",
            Self::Echo(_) => "echo",
        }
    }
}

/// Every value of [`Command::label`], and `invalid` for what is no command.
pub const LABELS: [&str; 13] = [
    "subscribe",
    "unsubscribe",
    "publish",
    "broadcast",
    "recover_broadcast",
    "history",
    "presence",
    "presence_stats",
    "auth",
    "refresh",
    "ping",
    "echo",
    "invalid",
];
