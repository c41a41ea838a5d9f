//! WebSocket frames (RFC 6455, section 5): as a server writes them, final and unmasked, and as it reads those of clients.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `decoder` | from bytes to messages |
//! | `assembly` | a message that has not arrived as a whole |
//! | `head` | what stands before a payload |
//! | `mask` | what a payload is combined with |
//! | `text` | UTF-8 in pieces |
//! | `control` | pings, pongs and closes |
//! | `violation` | how a client can break the rules |

mod assembly;
mod control;
mod decoder;
mod head;
mod mask;
mod text;
mod violation;

pub use decoder::{Decoder, Limits, Message};
pub use violation::Violation;

use bytes::{BufMut, Bytes, BytesMut};

/// The longest header of an unmasked frame, in bytes.
pub const MAX_HEADER: usize = 10;

/// The bit of the last frame of a message.
const FINAL: u8 = 0x80;

/// The bit of the first frame of a compressed message: RSV1 (RFC 7692, section 7).
pub(crate) const COMPRESSED: u8 = 0x40;

/// The longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// What a frame carries (RFC 6455, section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// UTF-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end of the conversation.
    Close = 8,
    /// A question whether the peer lives.
    Ping = 9,
    /// Its answer.
    Pong = 10,
}

impl Opcode {
    /// The first byte of a final frame.
    pub(crate) fn first_byte(self) -> u8 {
        FINAL | self as u8
    }
}

/// The complete frame: header and `payload`.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let (header, length) = header(opcode.first_byte(), payload.len());
    let mut out = BytesMut::with_capacity(length + payload.len());
    out.extend_from_slice(&header[..length]);
    out.extend_from_slice(payload);
    out.freeze()
}

/// The complete frame whose payload `write` appends, without a copy: room for the longest header is kept before it.
///
/// `first` is its first byte, `capacity` the length to expect of the payload. `None` if `write` gives up.
pub(crate) fn build(first: u8, capacity: usize, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<Bytes> {
    let mut out = Vec::with_capacity(MAX_HEADER + capacity);
    out.resize(MAX_HEADER, 0);
    write(&mut out)?;
    let (header, length) = header(first, out.len() - MAX_HEADER);
    let start = MAX_HEADER - length;
    out[start..MAX_HEADER].copy_from_slice(&header[..length]);
    // The frame may wait in outboxes, which count its length and not the room behind it.
    out.shrink_to_fit();
    Some(Bytes::from(out).slice(start..))
}

/// The header of a final, unmasked frame, and how much of the array it fills.
fn header(first: u8, payload: usize) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    header[0] = first;
    let length = match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short @ 0..=125), _) => {
            header[1] = short;
            2
        }
        (_, Ok(medium)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            MAX_HEADER
        }
    };
    (header, length)
}

/// First byte and payload of a complete frame that was made here.
pub(crate) fn split(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (first, header) = match frame {
        [first, 126, ..] => (first, 4),
        [first, 127, ..] => (first, MAX_HEADER),
        [first, _, ..] => (first, 2),
        _ => return None,
    };
    Some((*first, frame.get(header..)?))
}

/// A Close frame; `text` is cut to what fits. Code 1005 and 1006 can't be sent (RFC 6455, section 7.4.1) and give a
/// Close frame without a body.
pub fn close(code: u16, text: &str) -> Bytes {
    if matches!(code, 1005 | 1006) {
        return frame(Opcode::Close, &[]);
    }
    let text = &text[..text.floor_char_boundary(MAX_CONTROL_PAYLOAD - 2)];
    let mut payload = Vec::with_capacity(2 + text.len());
    payload.put_u16(code);
    payload.extend_from_slice(text.as_bytes());
    frame(Opcode::Close, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(length: usize, header: &[u8]) {
        let payload = vec![7; length];
        let got = frame(Opcode::Binary, &payload);
        assert_eq!(&got[..header.len()], header);
        assert_eq!(&got[header.len()..], &payload[..]);
        let built = build(Opcode::Binary.first_byte(), 0, |out| {
            out.extend_from_slice(&payload);
            Some(())
        });
        assert_eq!(split(&got), Some((0x82, &payload[..])));
        assert_eq!(built, Some(got));
    }

    #[test]
    fn the_header_grows_with_the_payload() {
        check(0, &[0x82, 0]);
        check(125, &[0x82, 125]);
        check(126, &[0x82, 126, 0, 126]);
        check(65_535, &[0x82, 126, 0xff, 0xff]);
        check(65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_close_frame_has_code_and_text_within_a_control_frame() {
        assert_eq!(&close(1012, "bye")[..], b"\x88\x05\x03\xf4bye");
        assert_eq!(close(1012, &"\u{e9}".repeat(200)).len(), 2 + 2 + 122);
        assert_eq!(&close(1006, "lost")[..], b"\x88\x00");
    }
}
