//! What a client may ask.

use crate::{ChannelName, Content};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};
use std::fmt;

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

/// What [`RequestId`] accepts, for the texts of errors.
pub(crate) const ID_EXPECTED: &str = "an integer that fits 64 bits or a string of at most 64 bytes as \"id\"";

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
        f.write_str(ID_EXPECTED)
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
    /// Receive what is published to `channel` from now on.
    Subscribe {
        /// The channel.
        channel: ChannelName,
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
    },
    /// Send `content` to every connection of the cluster.
    Broadcast {
        /// The payload.
        content: Content,
        /// Whether the sender gets it too.
        echo: bool,
    },
    /// Ask for a `pong`.
    Ping,
    /// Plain dialect only: say the text back.
    Echo {
        /// The text as received.
        text: String,
        /// Whether it is valid JSON.
        json: bool,
    },
}

impl Command {
    /// The value of the label `type` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Publish { .. } => "publish",
            Self::Broadcast { .. } => "broadcast",
            Self::Ping => "ping",
            Self::Echo { .. } => "echo",
        }
    }
}

/// Every value of [`Command::label`], and `invalid` for what is no command.
pub const LABELS: [&str; 7] = ["subscribe", "unsubscribe", "publish", "broadcast", "ping", "echo", "invalid"];
