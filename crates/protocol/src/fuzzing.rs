//! What fuzzers call: whatever a client sends, decoding ends, and what is accepted keeps its promises.
#![allow(clippy::panic)]

use crate::{
    ChangeKind, ChannelName, Command, ConnectionId, Content, Decoded, Dialect, Dialects, Incoming, Member,
    MemberChange, NodeId, Publication, Refusal, Target, frame::MAX_HEADER,
};

/// The longest text of a refusal, in bytes: it must not grow with the message.
const MAX_REFUSAL: usize = 1024;

/// A message of the plain dialect.
pub fn plain(data: &[u8]) {
    message(Dialect::Plain, data);
}

/// A message of the JSON dialect.
pub fn json(data: &[u8]) {
    message(Dialect::Json, data);
}

/// A message of the MessagePack dialect.
pub fn msgpack(data: &[u8]) {
    message(Dialect::MessagePack, data);
}

fn message(dialect: Dialect, data: &[u8]) {
    let dialects = Dialects::default();
    let text = str::from_utf8(data).ok().map(Incoming::Text);
    for message in text.into_iter().chain([Incoming::Binary(data)]) {
        dialects.decode(dialect, message).into_iter().for_each(|decoded| judge(decoded, &dialects));
    }
}

fn judge(decoded: Decoded, dialects: &Dialects) {
    match decoded {
        Decoded::Refused { refusal: Refusal { message, .. }, .. } => {
            assert!((1..=MAX_REFUSAL).contains(&message.len()), "{message:?}");
        }
        Decoded::Request(request) => match request.command {
            Command::Publish { channel, content, .. } => deliverable(Target::Channel(channel), content, dialects),
            Command::Broadcast { content, .. } => deliverable(Target::Broadcast, content, dialects),
            Command::Subscribe { channel, info: Some(info), .. } => seen(channel, info, dialects),
            _ => {}
        },
    }
}

/// Every accepted content has a form in every dialect that has any, and none is longer than was promised.
fn deliverable(target: Target, content: Content, dialects: &Dialects) {
    let bound = content.longest_form();
    survives(&content);
    let publication = Publication::new(target, content);
    native(&publication, dialects);
    let longest = publication.longest_frame(dialects, 0);
    let estimate = publication.longest_frame(dialects, usize::MAX);
    assert!(longest <= estimate && bound + MAX_HEADER <= estimate, "{longest} bytes, {estimate} were promised");
}

/// What a connection says of itself can be told to others.
fn seen(channel: ChannelName, info: Content, dialects: &Dialects) {
    survives(&info);
    let member = Member { connection: ConnectionId(NodeId::from_random(1), 1), user: None, info: Some(info) };
    let change = MemberChange { kind: ChangeKind::Join, member, with_user: false };
    native(&Publication::of_change(channel, change), dialects);
}

fn survives(content: &Content) {
    let (kind, bytes) = content.parts();
    assert_eq!(Content::from_parts(kind, bytes.clone()).as_ref(), Ok(content), "does not survive the bus");
}

fn native(publication: &Publication, dialects: &Dialects) {
    let native = [Dialect::Json, Dialect::MessagePack];
    assert!(native.iter().all(|dialect| publication.frame(*dialect, dialects).is_some()));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    include!("../../../fuzz/corpora.rs");

    #[test]
    fn plain_of_the_corpus_does_no_harm() {
        each("plain", plain);
    }

    #[test]
    fn json_of_the_corpus_does_no_harm() {
        each("json", json);
    }

    #[test]
    fn msgpack_of_the_corpus_does_no_harm() {
        each("msgpack", msgpack);
    }
}
