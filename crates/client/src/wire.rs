//! Commands and events as bytes.

mod incoming;

pub(crate) use incoming::{Incoming, decode};

use crate::{Content, Encoding, Error, HistoryQuery, MembersQuery, Position, content::Outgoing};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;

/// What a client asks of a node.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Command<'a> {
    Subscribe(Subscribe<'a>),
    Unsubscribe {
        channel: &'a str,
    },
    Publish(Publish<'a>),
    Broadcast(Publish<'a>),
    RecoverBroadcast(&'a Position),
    History(History<'a>),
    Presence {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<(u64, u64)>,
    },
    PresenceStats {
        channel: &'a str,
    },
    Ping,
}

impl<'a> Command<'a> {
    /// What `query` asks of the members of `channel`.
    pub(crate) fn members(channel: &'a str, query: MembersQuery) -> Self {
        Self::Presence { channel, limit: query.limit, after: query.after }
    }
}

/// What `subscribe` carries.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Subscribe<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recover: Option<&'a Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Outgoing<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info_base64: Option<Base64<'a>>,
}

impl<'a> Subscribe<'a> {
    /// To `channel`, from a place on if there is one, with what the connection says of itself.
    pub(crate) fn new(
        encoding: Encoding,
        channel: &'a str,
        recover: Option<&'a Position>,
        info: Option<&'a Content>,
    ) -> Self {
        let subscribe = Self { channel, recover, ..Self::default() };
        match (encoding, info) {
            (Encoding::Json, Some(Content::Binary(bytes))) => Self { info_base64: Some(Base64(bytes)), ..subscribe },
            (_, info) => Self { info: info.map(Outgoing), ..subscribe },
        }
    }
}

/// What `history` carries.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct History<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<&'a Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reverse: bool,
}

impl<'a> History<'a> {
    /// What `query` asks of `channel`.
    pub(crate) fn new(channel: &'a str, query: &'a HistoryQuery) -> Self {
        let HistoryQuery { since, limit, reverse } = query;
        Self { channel, since: since.as_ref(), limit: *limit, reverse: *reverse }
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

impl<'a> Publish<'a> {
    /// `content` in the form that `encoding` has for it, to `channel` or to all, once for all that have the same `key`.
    pub(crate) fn new(
        encoding: Encoding,
        channel: Option<&'a str>,
        content: &'a Content,
        key: Option<&'a str>,
    ) -> Self {
        let publish = Self { channel, idempotency_key: key, ..Self::default() };
        match (encoding, content) {
            (Encoding::Json, Content::Binary(bytes)) => Self { content_base64: Some(Base64(bytes)), ..publish },
            _ => Self { content: Some(Outgoing(content)), ..publish },
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

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
