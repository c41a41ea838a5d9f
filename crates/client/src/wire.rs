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
        match &*name {
            "welcome" => self.read::<Greeting>()?.understood(),
            "ok" => self.read().map(|Ok { id }| Incoming::Answer(id, Result::Ok(()))),
            "pong" => self.read().map(Pong::understood),
            "error" => self.read().map(Refused::understood),
            "message" | "broadcast" => self.read::<Delivery>()?.understood(&name).map(Incoming::Event),
            "gap" => {
                let Gap { seconds } = self.read()?;
                Result::Ok(Incoming::Event(Event::Gap { duration: duration(seconds)? }))
            }
            "dropped" => self.read().map(|Dropped { count }| Incoming::Event(Event::Dropped { count })),
            _ => Result::Ok(Incoming::Other),
        }
    }
}
fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
