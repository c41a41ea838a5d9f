//! What is said back to its sender, and the echo dialect, which says back everything.
//!
//! Conformance suites judge a WebSocket server by what comes back. So each message does, byte for byte and of the same
//! kind, through the same reader, session and outbox as everything else.

use crate::{Command, Decoded, Event, Incoming, Request, frame, frame::Opcode};
use bytes::Bytes;

/// What a client sent, to be said back to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Echo {
    /// A text that is not JSON, or of which that does not matter.
    Text(String),
    /// A text that is valid JSON.
    Json(String),
    /// Bytes.
    Binary(Bytes),
}

/// What `message` asks: to be said back.
pub(crate) fn decode(message: Incoming<'_>) -> Decoded {
    let echo = match message {
        Incoming::Text(text) => Echo::Text(text.to_owned()),
        Incoming::Binary(bytes) => Echo::Binary(Bytes::copy_from_slice(bytes)),
    };
    Decoded::Request(Request { id: None, command: Command::Echo(echo) })
}

/// The frame for `event`; `None` for everything that is not said back.
pub(crate) fn encode(event: &Event) -> Option<Bytes> {
    match event {
        Event::Echo(Echo::Text(text) | Echo::Json(text)) => Some(frame::frame(Opcode::Text, text.as_bytes())),
        Event::Echo(Echo::Binary(bytes)) => Some(frame::frame(Opcode::Binary, bytes)),
        _ => None,
    }
}
