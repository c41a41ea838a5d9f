//! Frames as a client writes and reads them (RFC 6455, section 5).

use fanwire_protocol::frame::MAX_CONTROL_PAYLOAD;
use serde_json::Value;

/// A frame from a server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    /// A text, which all texts of the JSON dialect are.
    Event(Value),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl Frame {
    /// The frame that begins `bytes` and its length, once it is complete. Panics where a client would fail the
    /// connection.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (opcode, payload, length) = Self::parts(bytes)?;
        Some((Self::of(opcode, payload), length))
    }

    /// Opcode and payload of the frame that begins `bytes`, and its length, once it is complete. Panics likewise.
    pub(crate) fn parts(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        assert_eq!(first & 0xf0, 0x80, "a server's frames are final and have no reserved bit");
        assert_eq!(second & 0x80, 0, "a server's frames are unmasked");
        let (start, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
            127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
            short => (2, usize::from(short)),
        };
        let (opcode, payload) = (first & 0xf, bytes.get(start..start + length)?);
        assert!(opcode < 8 || payload.len() <= MAX_CONTROL_PAYLOAD, "a control frame is short");
        Some((opcode, payload, start + length))
    }

    fn of(opcode: u8, payload: &[u8]) -> Self {
        match opcode {
            1 => Self::Event(serde_json::from_slice(payload).expect("an event is JSON")),
            8 => Self::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            10 => Self::Pong(payload.to_vec()),
            other => panic!("no frame with opcode {other} was expected"),
        }
    }
}

/// A final, masked frame.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    fragment(0x80 | opcode, payload)
}

/// A masked frame whose first byte is `first`.
pub(crate) fn fragment(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => frame.push(0x80 | u8::try_from(short).unwrap()),
        Ok(medium) => {
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
