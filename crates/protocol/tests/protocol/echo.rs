//! The dialect for conformance suites.

use crate::support::{decode, payload};
use bytes::Bytes;
use fanwire_protocol::{
    Command, Content, Decoded, Dialect, Dialects, ErrorCode, Event, Incoming, Publication, Request, Target,
};
use proptest::prelude::*;

/// What comes back for `message`: opcode and payload.
fn back(message: Incoming<'_>) -> (u8, Vec<u8>) {
    let Decoded::Request(Request { id: None, command: Command::Echo(echo) }) = decode(Dialect::Echo, message) else {
        panic!("{message:?} is not to be said back");
    };
    let frame = Dialects::default().encode(Dialect::Echo, &Event::Echo(echo)).unwrap();
    let (opcode, bytes) = payload(&frame);
    (opcode, bytes.to_vec())
}

proptest! {
    #[test]
    fn everything_comes_back_as_it_came(text: String, bytes: Vec<u8>) {
        prop_assert_eq!(back(Incoming::Text(&text)), (1, text.into_bytes()));
        prop_assert_eq!(back(Incoming::Binary(&bytes)), (2, bytes));
    }
}

#[test]
fn commands_come_back_like_anything_else() {
    let text = r#"{"type":"broadcast","content":1}"#;
    assert_eq!(back(Incoming::Text(text)), (1, text.as_bytes().to_vec()));
}

#[test]
fn nothing_else_is_told() {
    let dialects = Dialects::default();
    let error = Event::Error { id: None, code: ErrorCode::Internal, message: "no".to_owned() };
    assert_eq!(dialects.encode(Dialect::Echo, &error), None);
    let publication = Publication::new(Target::Broadcast, Content::binary(Bytes::from_static(b"x")));
    assert_eq!(publication.frame(Dialect::Echo, &dialects), None);
    assert!(!Dialect::Echo.can_tell_losses());
}
