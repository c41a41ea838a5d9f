//! Our reader of frames, held against tungstenite's.

use fanwire_protocol::Compression;
use fanwire_protocol::frame::{Decoder, Limits, Message, Violation};
use std::{
    borrow::Cow,
    io::{self, ErrorKind, Read, Write},
};
use tungstenite::{
    Error, Message as Theirs,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

const LIMITS: Limits = Limits { message: 1024, fragments: usize::MAX, ratio: 100 };

/// What is sent after the upgrade, behind a byte that says in which pieces: it means the same in these, in one, and to
/// tungstenite. From 128 on that byte says that messages may be compressed, of which tungstenite knows nothing.
pub fn decoder(data: &[u8]) {
    let [first, sent @ ..] = data else { return };
    let compression = if *first < 128 { Compression::Never } else { Compression::Deflate { window: 15 } };
    let (size, at_once) = (usize::from(first % 128).max(1), ours(compression, sent, sent.len().max(1)));
    assert_eq!(ours(compression, sent, size), at_once, "in pieces of {size}");
    if compression != Compression::Never {
        return;
    }
    let (messages, broken) = at_once;
    // It judges a frame when that has ended, so it gets one that is broken as a whole.
    let rest = if broken.is_some() { &[0; 2 * LIMITS.message][..] } else { &[] };
    let (theirs, error) = theirs(&[sent, rest].concat());
    let agree = agree(&messages, broken, &theirs, error.as_ref());
    assert!(agree, "{messages:?}, {broken:?}, but to tungstenite {theirs:?}, {error:?}");
}

/// The messages of a stream that comes in pieces of `size`, as they are shown, and what it broke. Like a session it stops at a Close
/// frame.
fn ours(compression: Compression, sent: &[u8], size: usize) -> (Vec<String>, Option<Violation>) {
    let (mut decoder, mut kept, mut messages) = (Decoder::new(compression), Vec::new(), Vec::new());
    for piece in sent.chunks(size) {
        kept.extend_from_slice(piece);
        let mut rest = &mut kept[..];
        loop {
            match decoder.next(&mut rest, &LIMITS) {
                Ok(Some(message)) => {
                    assert!(length(&message) <= LIMITS.message, "{} bytes", length(&message));
                    messages.push(format!("{message:?}"));
                    if matches!(message, Message::Close(_)) {
                        return (messages, None);
                    }
                }
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
        assert!(rest.len() <= 130, "{} bytes are left", rest.len());
        kept = rest.to_vec();
    }
    (messages, None)
}

fn length(message: &Message<'_>) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
        Message::Ping(payload) => payload.len(),
        Message::Pong | Message::Close(_) => 0,
    }
}

/// The same by tungstenite.
fn theirs(sent: &[u8]) -> (Vec<String>, Option<Error>) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMITS.message)).max_frame_size(Some(LIMITS.message));
    let mut context = WebSocketContext::from_partially_read(sent.to_vec(), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        let message = match context.read(&mut Nothing) {
            Ok(message) => message,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return (messages, None),
            Err(error) => return (messages, Some(error)),
        };
        let shown = match &message {
            Theirs::Text(text) => Message::Text(Cow::Borrowed(text)),
            Theirs::Binary(bytes) => Message::Binary(Cow::Borrowed(bytes)),
            Theirs::Ping(payload) => Message::Ping(payload),
            Theirs::Pong(_) => Message::Pong,
            Theirs::Close(frame) => Message::Close(frame.as_ref().map(|frame| frame.code.into())),
            Theirs::Frame(_) => unreachable!("raw frames are for those who write them"),
        };
        messages.push(format!("{shown:?}"));
        if message.is_close() {
            return (messages, None);
        }
    }
}

/// Whether both say the same, where both can: tungstenite takes lengths in any form, those of control frames too; it doesn't know of the close code
/// 1014, and tells 1002 for those that may not be sent.
fn agree(ours: &[String], broken: Option<Violation>, theirs: &[String], error: Option<&Error>) -> bool {
    match (ours, broken) {
        (_, Some(Violation::LongForm(_) | Violation::NegativeLength | Violation::LongControl)) => {
            theirs.starts_with(ours)
        }
        (_, Some(Violation::CloseCode(_))) => {
            theirs.strip_prefix(ours).is_some_and(|more| more == ["Close(Some(1002))"] || error.is_some())
        }
        ([before @ .., last], None) if last == "Close(Some(1014))" => theirs.starts_with(before),
        _ => ours == theirs && broken.is_some() == error.is_some(),
    }
}

/// A socket from which nothing comes, and which takes everything.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Nothing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
