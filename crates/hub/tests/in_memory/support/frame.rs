//! A strict reader of what a server may send (RFC 6455, section 5).

use bytes::Bytes;
use fanwire_protocol::frame::{self, Opcode};
use flate2::{Decompress, FlushDecompress};

/// A frame from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    /// One that came compressed.
    Compressed(Box<Self>),
    Ping,
    Close(Option<u16>, String),
}

/// A text frame.
pub(crate) fn text(text: &str) -> Frame {
    Frame::Text(text.to_owned())
}

/// The message that came as `payload` (RFC 7692, section 7.2.2), by nobody's help but its own.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 << 20);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false).decompress_vec(&whole, &mut message, FlushDecompress::Sync).expect("it was compressed");
    message
}

impl Frame {
    /// The frame that begins `bytes` and its length, once it is complete. Panics where a client would fail the
    /// connection.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        assert_eq!(first & 0xb0, 0x80, "a server's frames are final and have one reserved bit at most: {bytes:?}");
        assert_eq!(second & 0x80, 0, "a server's frames are unmasked: {bytes:?}");
        let (start, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
            127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
            short => (2, usize::from(short)),
        };
        let shortest = if length < 126 { 2 } else { 4 + 6 * usize::from(length > 0xffff) };
        assert_eq!(start, shortest, "a length is written in its shortest form");
        let payload = bytes.get(start..start + length)?;
        let frame = match first & 0x40 {
            0 => Self::of(first & 0xf, payload),
            _ => Self::Compressed(Box::new(Self::of(first & 0xf, &inflated(payload)))),
        };
        Some((frame, start + length))
    }

    fn of(opcode: u8, payload: &[u8]) -> Self {
        assert!(opcode < 8 || payload.len() <= frame::MAX_CONTROL_PAYLOAD, "a control frame is short");
        match opcode {
            1 => Self::Text(String::from_utf8(payload.to_vec()).expect("a text is UTF-8")),
            2 => Self::Binary(payload.to_vec()),
            8 if payload.is_empty() => Self::Close(None, String::new()),
            8 => {
                let (code, reason) = payload.split_first_chunk().expect("a body of a Close frame begins with a code");
                Self::Close(Some(u16::from_be_bytes(*code)), String::from_utf8(reason.to_vec()).unwrap())
            }
            9 => Self::Ping,
            other => panic!("a server sends no frame with opcode {other}"),
        }
    }

    /// The frame as it is written, for texts.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => frame::frame(Opcode::Text, text.as_bytes()),
            other => panic!("{other:?} is no text"),
        }
    }

    /// The close code of a Close frame.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Close(code, _) => *code,
            _ => None,
        }
    }

    /// The number that is the content of a message to a JSON client.
    pub(crate) fn number(&self) -> Option<u64> {
        self.field(r#""content":"#)
    }

    /// How many messages a JSON client is told it missed.
    pub(crate) fn dropped(&self) -> Option<u64> {
        self.field(r#"{"type":"dropped","count":"#)
    }

    fn field(&self, key: &str) -> Option<u64> {
        let Self::Text(text) = self else { return None };
        text.split_once(key)?.1.strip_suffix('}')?.parse().ok()
    }
}
