//! Commands and events as bytes.

use crate::{
    Content, Encoding, Error, Event, Refusal, Welcome,
    content::{self, Outgoing},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use std::{borrow::Cow, time::Duration};
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
    content: Option<Outgoing<'a>>,
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
            _ => Self { channel, content: Some(Outgoing(content)), ..Self::default() },
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
    let event = match message {
        Message::Text(text) => Spelt::Json(text),
        Message::Binary(bytes) => Spelt::MessagePack(bytes),
        _ => return Ok(Incoming::Other),
    };
    event.understand().map_err(Error::NotUnderstood)
}

/// An event as it is spelt. It is read once for its type and once for the fields of that type, since a content can be
/// had as it was written only from a type without tags.
#[derive(Clone, Copy)]
enum Spelt<'a> {
    Json(&'a str),
    MessagePack(&'a [u8]),
}

impl<'a> Spelt<'a> {
    fn read<T: Deserialize<'a>>(self) -> Result<T, String> {
        match self {
            Self::Json(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
            Self::MessagePack(bytes) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }

    fn understand(self) -> Result<Incoming, String> {
        let Type { name } = self.read()?;
        Ok(match &*name {
            "welcome" => Incoming::Welcome(self.read::<Greeting>()?.welcome()?),
            "ok" => Incoming::Answer(self.read::<Answer>()?.id, Ok(())),
            "pong" => self.read::<Pong>()?.id.map_or(Incoming::Other, |id| Incoming::Answer(id, Ok(()))),
            "error" => self.read::<Refused>()?.told(),
            "message" => Incoming::Event(self.read::<Delivery>()?.message()?),
            "broadcast" => Incoming::Event(Event::Broadcast { content: self.read::<Delivery>()?.content()? }),
            "gap" => Incoming::Event(Event::Gap { duration: duration(self.read::<Gap>()?.seconds)? }),
            "dropped" => Incoming::Event(Event::Dropped { count: self.read::<Dropped>()?.count }),
            _ => Incoming::Other,
        })
    }
}

#[derive(Deserialize)]
struct Type<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Greeting {
    connection: (u64, u64),
    node: u64,
    version: String,
    heartbeat: f64,
}

impl Greeting {
    fn welcome(self) -> Result<Welcome, String> {
        let Self { connection, node, version, heartbeat } = self;
        Ok(Welcome { connection, node, version, heartbeat: duration(heartbeat)? })
    }
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
}

#[derive(Deserialize)]
struct Pong {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Refused {
    id: Option<u64>,
    code: String,
    message: String,
}

impl Refused {
    fn told(self) -> Incoming {
        let refusal = Refusal { code: self.code, message: self.message };
        match self.id {
            Some(id) => Incoming::Answer(id, Err(refusal)),
            None => Incoming::Event(Event::Refused(refusal)),
        }
    }
}

/// A message or a broadcast.
#[derive(Deserialize)]
struct Delivery {
    channel: Option<String>,
    /// A content of `null` is a content.
    #[serde(default, deserialize_with = "present")]
    content: Option<Content>,
    content_base64: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Content>, D::Error> {
    content::incoming(deserializer).map(Some)
}

impl Delivery {
    fn message(mut self) -> Result<Event, String> {
        let channel = self.channel.take().ok_or("a message without channel")?;
        Ok(Event::Message { channel, content: self.content()? })
    }

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

#[derive(Deserialize)]
struct Gap {
    seconds: f64,
}

#[derive(Deserialize)]
struct Dropped {
    count: u64,
}

fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
