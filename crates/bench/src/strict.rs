//! Whether what a node sends is what the protocol says, to the last byte.
//!
//! [`crate::frame::Parser`] has checked each frame by itself; here messages are put together and read whole.

use crate::{
    dialect::Dialect,
    frame::{Frame, Opcode},
};
use serde_json::Value;

/// Every event of the native dialects.
const EVENTS: [&str; 8] = ["welcome", "ok", "error", "pong", "message", "broadcast", "gap", "dropped"];

/// Puts messages together from frames and reads them.
#[derive(Debug)]
pub struct Strict {
    dialect: Dialect,
    unfinished: Vec<u8>,
    text: bool,
}

impl Strict {
    /// For a connection that speaks `dialect`.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, unfinished: Vec::new(), text: false }
    }

    /// The event that is complete with `frame`, if one is; an error says what is broken.
    pub fn take(&mut self, frame: Frame<'_>) -> Result<Option<Value>, String> {
        match frame.opcode {
            Opcode::Text => self.text = true,
            Opcode::Binary => self.text = false,
            Opcode::Continuation => {}
            Opcode::Close | Opcode::Ping | Opcode::Pong => return Ok(None),
        }
        self.unfinished.extend_from_slice(frame.payload);
        if !frame.fin {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.unfinished);
        self.read(&message).map(Some).map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(&message)))
    }

    fn read(&self, message: &[u8]) -> Result<Value, String> {
        let value = match (self.dialect, self.text) {
            (Dialect::Json, true) => read_json(message)?,
            (Dialect::Msgpack, false) => read_msgpack(message)?,
            (_, true) => return Err("text frame".to_owned()),
            (_, false) => return Err("binary frame".to_owned()),
        };
        match value.get("type").and_then(Value::as_str) {
            Some(kind) if EVENTS.contains(&kind) => Ok(value),
            kind => Err(format!("unknown event {kind:?}")),
        }
    }
}

fn read_json(message: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(message).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn read_msgpack(mut message: &[u8]) -> Result<Value, String> {
    let value = rmp_serde::from_read(&mut message).map_err(|error| error.to_string())?;
    if message.is_empty() { Ok(value) } else { Err(format!("{} bytes after the event", message.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Frame<'_> {
        Frame { fin, opcode, payload }
    }

    #[track_caller]
    fn check(dialect: Dialect, opcode: Opcode, payload: &[u8], right: bool) {
        assert_eq!(Strict::new(dialect).take(frame(true, opcode, payload)).is_ok(), right);
    }

    #[test]
    fn events_are_read_whole_or_refused() {
        check(Dialect::Json, Opcode::Text, br#"{"type":"pong"}"#, true);
        check(Dialect::Json, Opcode::Binary, br#"{"type":"pong"}"#, false);
        check(Dialect::Json, Opcode::Text, br#"{"type":"pong"}x"#, false);
        check(Dialect::Json, Opcode::Text, br#"{"type":"news"}"#, false);
        check(Dialect::Json, Opcode::Text, b"{\"type\":\"pong\",\"x\":\"\xff\"}", false);
        check(Dialect::Msgpack, Opcode::Binary, b"\x81\xa4type\xa4pong", true);
        check(Dialect::Msgpack, Opcode::Binary, b"\x81\xa4type\xa4pong\x00", false);
        check(Dialect::Msgpack, Opcode::Binary, b"\x81\xa4type\xa4pon", false);
        check(Dialect::Msgpack, Opcode::Text, b"\x81\xa4type\xa4pong", false);
    }

    #[test]
    fn fragments_are_put_together_around_control_frames() {
        let mut strict = Strict::new(Dialect::Json);
        assert_eq!(strict.take(frame(false, Opcode::Text, b"{\"type\":")), Ok(None));
        assert_eq!(strict.take(frame(true, Opcode::Ping, b"")), Ok(None));
        let event = strict.take(frame(true, Opcode::Continuation, b"\"pong\"}"));
        assert_eq!(event, Ok(Some(serde_json::json!({"type": "pong"}))));
    }
}
