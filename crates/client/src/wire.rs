//! Commands and events as bytes.

use crate::{Content, Encoding, Error, Event, Refusal, Welcome};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// What a client asks of a node.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Command<'a> {
    Subscribe { channel: &'a str },
    Unsubscribe { channel: &'a str },
    Publish(Publish<'a>),
    Broadcast(Publish<'a>),
    Ping,
}

/// What `publish` and `broadcast` carry.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Publish<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_base64: Option<Base64<'a>>,
}

impl<'a> Publish<'a> {
    /// `content` in the form that `encoding` has for it, to `channel` or to all.
    pub(crate) fn new(encoding: Encoding, channel: Option<&'a str>, content: &'a Content) -> Self {
        match (encoding, content) {
            (Encoding::Json, Content::Binary(bytes)) => {
                Self { channel, content_base64: Some(Base64(bytes)), ..Self::default() }
            }
            _ => Self { channel, content: Some(content), ..Self::default() },
        }
    }
}

/// Bytes that are written as base64.
#[derive(Debug, Clone, Copy)]
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    #[serde(flatten)]
    command: Command<'a>,
}

/// The message that asks for `command`, to be answered under `id`.
pub(crate) fn encode(encoding: Encoding, id: u64, command: Command<'_>) -> Result<Message, Error> {
    let request = Request { id, command };
    match encoding {
        Encoding::Json => serde_json::to_string(&request).map(Message::text).map_err(|error| error.to_string()),
        Encoding::MessagePack => {
            rmp_serde::to_vec_named(&request).map(Message::binary).map_err(|error| error.to_string())
        }
    }
    .map_err(Error::NotEncodable)
}

/// What a node's message is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// The first event.
    Welcome(Welcome),
    /// The answer to the command with this id.
    Answer(u64, Result<(), Refusal>),
    /// An event for the user.
    Event(Event),
    /// A kind of event that this client doesn't know, or nothing that matters.
    Other,
}

/// Reads a text as JSON and a binary message as MessagePack.
pub(crate) fn decode(message: &Message) -> Result<Incoming, Error> {
    let spelt: Spelt = match message {
        Message::Text(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
        Message::Binary(bytes) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
        _ => return Ok(Incoming::Other),
    }
    .map_err(Error::NotUnderstood)?;
    spelt.understood().map_err(Error::NotUnderstood)
}

/// Events as they are spelt.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Spelt {
    Welcome {
        connection: (u64, u64),
        node: u64,
        version: String,
        heartbeat: f64,
    },
    Ok {
        id: u64,
    },
    Pong {
        id: Option<u64>,
    },
    Error {
        id: Option<u64>,
        code: String,
        message: String,
    },
    Message {
        channel: String,
        #[serde(flatten)]
        payload: Payload,
    },
    Broadcast {
        #[serde(flatten)]
        payload: Payload,
    },
    Gap {
        seconds: f64,
    },
    Dropped {
        count: u64,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Payload {
    /// A content of `null` is a content.
    #[serde(default, deserialize_with = "present")]
    content: Option<Content>,
    content_base64: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Content>, D::Error> {
    Content::deserialize(deserializer).map(Some)
}

impl Payload {
    fn content(self) -> Result<Content, String> {
        match (self.content, self.content_base64) {
            (Some(content), _) => Ok(content),
            (None, Some(text)) => {
                let bytes = STANDARD.decode(text).map_err(|error| format!("content_base64: {error}"))?;
                Ok(Content::Binary(bytes.into()))
            }
            (None, None) => Err("a message without content".to_owned()),
        }
    }
}

impl Spelt {
    fn understood(self) -> Result<Incoming, String> {
        Ok(match self {
            Self::Welcome { connection, node, version, heartbeat } => {
                Incoming::Welcome(Welcome { connection, node, version, heartbeat: duration(heartbeat)? })
            }
            Self::Ok { id } | Self::Pong { id: Some(id) } => Incoming::Answer(id, Ok(())),
            Self::Error { id: Some(id), code, message } => Incoming::Answer(id, Err(Refusal { code, message })),
            Self::Error { id: None, code, message } => Incoming::Event(Event::Refused(Refusal { code, message })),
            Self::Message { channel, payload } => {
                Incoming::Event(Event::Message { channel, content: payload.content()? })
            }
            Self::Broadcast { payload } => Incoming::Event(Event::Broadcast { content: payload.content()? }),
            Self::Gap { seconds } => Incoming::Event(Event::Gap { duration: duration(seconds)? }),
            Self::Dropped { count } => Incoming::Event(Event::Dropped { count }),
            Self::Pong { id: None } | Self::Unknown => Incoming::Other,
        })
    }
}

fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
