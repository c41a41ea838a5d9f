//! What several subjects need.

use fanwire_protocol::{Decoded, Dialect, Dialects, ErrorCode, Incoming, RequestId};

/// What `message` is in `dialect`.
pub(crate) fn decode(dialect: Dialect, message: Incoming<'_>) -> Decoded {
    let mut decoded = Dialects::default().decode(dialect, message);
    assert_eq!(decoded.len(), 1);
    decoded.remove(0)
}

pub(crate) fn decode_json(text: &str) -> Decoded {
    decode(Dialect::Json, Incoming::Text(text))
}

pub(crate) fn decode_message_pack(bytes: &[u8]) -> Decoded {
    decode(Dialect::MessagePack, Incoming::Binary(bytes))
}

/// A refusal as (id, code, message).
#[track_caller]
pub(crate) fn refused(decoded: Decoded) -> (Option<RequestId>, ErrorCode, String) {
    match decoded {
        Decoded::Refused { id, refusal } => (id, refusal.code, refusal.message),
        Decoded::Request(request) => panic!("accepted: {request:?}"),
    }
}

/// The opcode and payload of the one complete frame in `frame`.
#[track_caller]
pub(crate) fn payload(frame: &[u8]) -> (u8, &[u8]) {
    assert_eq!(frame[0] & 0xf0, 0x80, "final, no reserved bit");
    let (length, start) = match frame[1] {
        126 => (u64::from(u16::from_be_bytes(frame[2..4].try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()), 10),
        short => (u64::from(short), 2),
    };
    assert_eq!(length, (frame.len() - start) as u64);
    (frame[0] & 0xf, &frame[start..])
}

/// `hex` without its spaces, as bytes.
#[track_caller]
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// MessagePack of the JSON text `json`, by rmp-serde alone.
#[track_caller]
pub(crate) fn message_pack(json: &str) -> Vec<u8> {
    rmp_serde::to_vec_named(&serde_json::from_str::<serde_json::Value>(json).unwrap()).unwrap()
}
