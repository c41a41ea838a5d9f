//! The two native dialects as a client speaks them.

use clap::ValueEnum;
use fanwire_protocol::{Dialect as Spoken, frame::Opcode};
use serde::{Deserialize, Serialize};

/// How the measured connections spell commands and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `fanwire.v1.json`
    Json,
    /// `fanwire.v1.msgpack`
    Msgpack,
}

/// A command, with the parts that it has.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Command<'a> {
    /// What is asked.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The id that the answer carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The channel it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    /// The payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    /// What the sender has everything up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recover: Option<Place<'a>>,
}

/// A place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place<'a> {
    /// Which history.
    pub epoch: &'a str,
    /// The how manieth message.
    pub offset: u64,
}

/// An event, as far as the measurement looks into it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Event {
    /// Which event.
    #[serde(rename = "type")]
    pub kind: String,
    /// The command that it answers.
    pub id: Option<u64>,
    /// An error's code.
    pub code: Option<String>,
    /// An error's text.
    pub message: Option<String>,
    /// How many messages were left out (`dropped`).
    pub count: Option<u64>,
    /// Which history, where a channel has one.
    pub epoch: Option<String>,
    /// A place there.
    pub offset: Option<u64>,
    /// Whether all follows that was missed.
    pub recovered: Option<bool>,
    /// If it does, the newest offset.
    pub newest: Option<u64>,
}

impl Dialect {
    /// The WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        let spoken = match self {
            Self::Json => Spoken::Json,
            Self::Msgpack => Spoken::MessagePack,
        };
        spoken.subprotocol().unwrap_or_default()
    }

    /// The kind of frame that commands go in.
    pub fn opcode(self) -> Opcode {
        match self {
            Self::Json => Opcode::Text,
            Self::Msgpack => Opcode::Binary,
        }
    }

    /// The payload of `command`.
    pub fn encode(self, command: &Command<'_>) -> Vec<u8> {
        // Texts and numbers have a form in both dialects, so neither can fail.
        match self {
            Self::Json => serde_json::to_vec(command).unwrap_or_default(),
            Self::Msgpack => rmp_serde::to_vec_named(command).unwrap_or_default(),
        }
    }

    /// The event in `payload`, if it is one.
    pub fn decode(self, payload: &[u8]) -> Option<Event> {
        match self {
            Self::Json => serde_json::from_slice(payload).ok(),
            Self::Msgpack => rmp_serde::from_slice(payload).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_have_only_the_parts_that_were_given() {
        let command = Command { kind: "subscribe", id: Some(7), channel: Some("news"), ..Command::default() };
        check_command(&command, &json!({"type": "subscribe", "id": 7, "channel": "news"}));
        let recovering = Command { recover: Some(Place { epoch: "aB3", offset: 5 }), ..command };
        check_command(
            &recovering,
            &json!({"type": "subscribe", "id": 7, "channel": "news", "recover": {"epoch": "aB3", "offset": 5}}),
        );
    }

    #[track_caller]
    fn check_command(command: &Command<'_>, expected: &serde_json::Value) {
        let json: Option<serde_json::Value> = serde_json::from_slice(&Dialect::Json.encode(command)).ok();
        let msgpack: Option<serde_json::Value> = rmp_serde::from_slice(&Dialect::Msgpack.encode(command)).ok();
        assert_eq!((json.as_ref(), msgpack.as_ref()), (Some(expected), Some(expected)));
    }

    #[track_caller]
    fn check(event: &serde_json::Value, kind: &str, id: Option<u64>) {
        let texts = [serde_json::to_vec(event).ok(), rmp_serde::to_vec_named(event).ok()];
        for (dialect, payload) in [Dialect::Json, Dialect::Msgpack].into_iter().zip(texts) {
            let event = payload.and_then(|payload| dialect.decode(&payload));
            assert_eq!(event.map(|event| (event.kind, event.id)), Some((kind.to_owned(), id)));
        }
    }

    #[test]
    fn events_are_read_whatever_else_they_carry() {
        check(&json!({"type": "ok", "id": 3}), "ok", Some(3));
        check(&json!({"type": "welcome", "connection": [1, 2], "heartbeat": 20.0}), "welcome", None);
        check(&json!({"type": "message", "channel": "a", "content": {"deep": [null]}}), "message", None);
        assert_eq!(Dialect::Json.decode(b"{}"), None);
        assert_eq!(Dialect::Msgpack.decode(b"\xc1"), None);
    }
}
