//! What Redis says on the subscriber link.

use crate::redis::extent::Extent;
use bytes::{Bytes, BytesMut};
use redis::{ServerError, Value, ValueCodec};
use thiserror::Error;
use tokio_util::codec::Decoder;

/// How long a reply is at most, in bytes. No publication comes near; whoever sends more is no Redis of ours.
pub(super) const MAX_REPLY: usize = 64 * 1024 * 1024;

/// How many bytes a publication's envelope has at most: in a reply there is a name beside it.
pub(super) const MAX_PAYLOAD: usize = MAX_REPLY - 1024;

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Something was published.
    Message {
        /// To which Redis channel.
        name: Vec<u8>,
        /// What.
        payload: Bytes,
    },
    /// A subscription was made or ended.
    Confirmed {
        /// Of which Redis channel.
        name: String,
        /// Whether it was made.
        subscribed: bool,
    },
    /// The answer to PING.
    Pong,
    /// A command was refused.
    Refused(String),
    /// The answer to any other command.
    Other,
}

/// Why bytes are no reply.
#[derive(Debug, Error)]
pub(crate) enum InvalidReply {
    #[error("Redis sent what is not its protocol: {0}")]
    Malformed(String),
    #[error("Redis sent a reply of more than {MAX_REPLY} bytes")]
    TooLong,
}

/// Takes replies out of what was read.
///
/// The parser is that of the redis crate, which has it for its own tests only; the other one there is, of the crate
/// redis-protocol, starts anew at each read of a long reply and is kept by fewer. The crate's Pub/Sub connection is no
/// choice: it queues without bound. It gets whole replies alone, for of one that is none it tells different things by how
/// that was cut.
#[derive(Default)]
pub(crate) struct Replies {
    /// Of the reply that the buffer begins with.
    extent: Extent,
}

impl Replies {
    /// The next reply in `buffer`, as soon as it is complete. Behind an error there is none.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, InvalidReply> {
        let Some(end) = self.extent.find(buffer)? else { return Ok(None) };
        self.extent = Extent::default();
        let before = buffer.len();
        let value = ValueCodec::default().decode(buffer).map_err(|error| InvalidReply::Malformed(error.to_string()))?;
        match value {
            Some(value) if before - buffer.len() == end => Ok(Some(classify(value))),
            _ => Err(InvalidReply::Malformed("a reply whose parts don't fit together".to_owned())),
        }
    }
}

fn classify(value: Value) -> Reply {
    match value {
        Value::ServerError(error) => Reply::Refused(server_text(&error)),
        Value::Array(parts) => push(parts).unwrap_or(Reply::Other),
        Value::SimpleString(text) if text == "PONG" => Reply::Pong,
        _ => Reply::Other,
    }
}

fn push(parts: Vec<Value>) -> Option<Reply> {
    let mut parts = parts.into_iter();
    let kind = bulk(parts.next()?)?;
    let name = bulk(parts.next()?)?;
    match kind.as_slice() {
        b"pong" => Some(Reply::Pong),
        b"message" | b"smessage" => Some(Reply::Message { name, payload: bulk(parts.next()?)?.into() }),
        b"subscribe" | b"ssubscribe" => {
            Some(Reply::Confirmed { name: String::from_utf8(name).ok()?, subscribed: true })
        }
        b"unsubscribe" | b"sunsubscribe" => {
            Some(Reply::Confirmed { name: String::from_utf8(name).ok()?, subscribed: false })
        }
        _ => None,
    }
}

pub(super) fn bulk(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// An error as Redis wrote it.
pub(super) fn server_text(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replies(bytes: &[u8], cut: usize) -> Result<Vec<Reply>, InvalidReply> {
        let (mut decoder, mut buffer, mut replies) = (Replies::default(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(cut) {
            buffer.extend_from_slice(piece);
            while let Some(reply) = decoder.next(&mut buffer)? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    const SOME: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n\
        *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\n\x00\r\n\xff\r\n\
        +OK\r\n-NOPERM no\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n\
        *3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nx\r\n\
        *3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n+PONG\r\n";

    fn expected() -> Vec<Reply> {
        vec![
            Reply::Confirmed { name: "a".to_owned(), subscribed: true },
            Reply::Message { name: b"a".to_vec(), payload: Bytes::from_static(b"\x00\r\n\xff") },
            Reply::Other,
            Reply::Refused("NOPERM no".to_owned()),
            Reply::Other,
            Reply::Confirmed { name: "a".to_owned(), subscribed: false },
            Reply::Confirmed { name: "a".to_owned(), subscribed: true },
            Reply::Message { name: b"a".to_vec(), payload: Bytes::from_static(b"x") },
            Reply::Confirmed { name: "a".to_owned(), subscribed: false },
            Reply::Pong,
            Reply::Pong,
        ]
    }

    #[test]
    fn a_reply_that_would_never_end_is_given_up() {
        let mut decoder = Replies::default();
        let mut buffer = BytesMut::from(&b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$999999999\r\n"[..]);
        assert!(matches!(decoder.next(&mut buffer), Err(InvalidReply::TooLong)));
    }

    #[test]
    fn what_is_no_redis_is_an_error() {
        assert!(matches!(replies(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1024), Err(InvalidReply::Malformed(_))));
    }

    proptest! {
        #[test]
        fn replies_are_the_same_however_they_are_cut(cut in 1usize..SOME.len() + 1) {
            prop_assert_eq!(replies(SOME, cut).unwrap(), expected());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 1..200), cut in 1usize..20) {
            let _ = replies(&bytes, cut);
        }

        #[test]
        fn garbage_that_looks_right_never_panics(text in "([*$:+-]-?[0-9]{1,20}\r\n|[a-z]{1,3}\r\n){1,12}", cut in 1usize..20) {
            let _ = replies(text.as_bytes(), cut);
        }
    }
}
