//! What fuzzers call: whatever Redis sends, a node reads on or gives up the link, and never fails.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{
    envelope,
    redis::fuzzing::{self, Replies, Reply},
};
use bytes::{Bytes, BytesMut};

/// What another node wrote: what can be read survives being written again.
pub fn envelope(data: &[u8]) {
    let Ok(read) = envelope::decode(&Bytes::copy_from_slice(data)) else { return };
    // Changes of members are not written from what was read.
    if read.delivery.publication.change.is_some() {
        return;
    }
    let written = envelope::encode(read.origin, &read.delivery).unwrap();
    let again = envelope::decode(&written.into()).unwrap();
    assert_eq!(again.origin, read.origin);
    let (one, other) = (&again.delivery, &read.delivery);
    assert_eq!((one.except, one.published_at), (other.except, other.published_at));
    assert_eq!(one.publication, other.publication);
}

/// What Redis says on the subscriber link, behind a byte that says in which pieces: those are no matter.
pub fn replies(data: &[u8]) {
    let Some((piece, said)) = data.split_first() else { return };
    assert_eq!(read(said, usize::from(*piece).max(1)), read(said, said.len().max(1)));
}

/// What a server of a Redis Cluster answers to CLUSTER SLOTS, and behind MOVED.
pub fn topology(data: &[u8]) {
    fuzzing::topology(data);
}

/// The replies in `said` up to the first that is none, and whether there was one.
fn read(said: &[u8], piece: usize) -> (Vec<Reply>, bool) {
    let (mut decoder, mut buffer, mut replies) = (Replies::default(), BytesMut::new(), Vec::new());
    for piece in said.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) => return (replies, true),
            }
        }
    }
    (replies, false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    include!("../../../fuzz/corpora.rs");

    #[test]
    fn envelope_of_the_corpus_does_no_harm() {
        each("envelope", envelope);
    }

    #[test]
    fn replies_of_the_corpus_do_no_harm() {
        each("replies", replies);
    }

    #[test]
    fn topology_of_the_corpus_does_no_harm() {
        each("topology", topology);
    }
}
