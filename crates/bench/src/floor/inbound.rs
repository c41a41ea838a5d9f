//! What clients send: just enough to understand the load generator.

use crate::dialect::Dialect;
use fanwire_protocol::frame::Opcode;
use serde::Deserialize;

/// A command, as far as it is looked at.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Command {
    /// What is asked.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The id that the answer carries.
    pub(super) id: Option<u64>,
    /// The channel it is about.
    #[serde(default)]
    pub(super) channel: String,
}

/// A frame of a client, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inbound {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

impl Inbound {
    /// Takes the first frame from `bytes`, if it is whole.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let &[first, second, ref rest @ ..] = bytes.as_slice() else { return None };
        let (header, length) = match (second & 0x7f, rest) {
            (126, &[a, b, ..]) => (4, usize::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => {
                (10, usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).ok()?)
            }
            (126 | 127, _) => return None,
            (length, _) => (2, usize::from(length)),
        };
        let end = length.checked_add(header + 4)?;
        let masked = bytes.get(header..end)?;
        let (key, payload) = masked.split_at(4);
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        bytes.drain(..end);
        Some(Self { opcode: first & 0x0f, payload })
    }

    /// The dialect that a frame of this kind carries commands of.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self.opcode {
            opcode if opcode == Opcode::Text as u8 => Some(Dialect::Json),
            opcode if opcode == Opcode::Binary as u8 => Some(Dialect::Msgpack),
            _ => None,
        }
    }

    /// The command that it carries.
    pub(super) fn command(&self) -> Option<Command> {
        match self.dialect()? {
            Dialect::Json => serde_json::from_slice(&self.payload).ok(),
            Dialect::Msgpack => rmp_serde::from_slice(&self.payload).ok(),
        }
    }

    /// The publication that it carries as subscribers get it: the names of command and event are equally long in both
    /// dialects, so that only their letters change.
    pub(super) fn into_message(mut self) -> Vec<u8> {
        const PUBLISH: &[u8] = b"publish";
        let found = self.payload.windows(PUBLISH.len()).position(|window| window == PUBLISH);
        if let Some(start) = found {
            self.payload[start..start + PUBLISH.len()].copy_from_slice(b"message");
        }
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Masker;

    fn sent(dialect: Dialect, command: &crate::dialect::Command<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Masker::default().frame(dialect.opcode(), &dialect.encode(command), &mut bytes);
        bytes
    }

    #[test]
    fn commands_become_messages_in_both_dialects() {
        for dialect in [Dialect::Json, Dialect::Msgpack] {
            let long = "x".repeat(70_000);
            for content in ["x", &long[..200], &long] {
                let (channel, content) = (Some("a"), Some(content));
                let publish = crate::dialect::Command { kind: "publish", channel, content, ..Default::default() };
                let bytes = sent(dialect, &publish);
                let mut cut = bytes[..bytes.len() - 1].to_vec();
                assert_eq!(Inbound::take(&mut cut), None);
                let mut twice = bytes.repeat(2);
                let frames: Vec<_> = std::iter::from_fn(|| Inbound::take(&mut twice)).collect();
                assert_eq!((frames.len(), twice.len()), (2, 0));
                let expected = Command { kind: "publish".to_owned(), id: None, channel: "a".to_owned() };
                assert_eq!(frames[0].command(), Some(expected));
                let message = frames.into_iter().next().map(Inbound::into_message).unwrap_or_default();
                assert_eq!(dialect.decode(&message).map(|event| event.kind), Some("message".to_owned()));
            }
        }
    }
}
