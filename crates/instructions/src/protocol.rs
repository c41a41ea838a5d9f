//! Commands to what they mean, and publications to frames.

use crate::{Case, measured};
use fanwire_protocol::{ChannelName, Content, Decoded, Dialect, Dialects, Incoming, Publication, Target};
use std::hint::black_box;

/// How often each is done.
pub(crate) const TIMES: usize = 100;

pub(crate) const CASES: &[Case] = &[
    Case { name: "decode-json", run: || decode(Dialect::Json, Incoming::Text(JSON)) },
    Case { name: "decode-msgpack", run: || decode(Dialect::MessagePack, Incoming::Binary(MESSAGE_PACK)) },
    Case { name: "encode-json", run: || encode(Dialect::Json) },
    Case { name: "encode-msgpack", run: || encode(Dialect::MessagePack) },
    Case { name: "encode-plain", run: || encode(Dialect::Plain) },
];

/// The content of what is published here.
pub(crate) const CONTENT: &str =
    r#"{"user":"ada","text":"a line of a chat, as long as most of them are","at":1234567890}"#;

/// A `publish` with that content.
const JSON: &str = r#"{"id":7,"type":"publish","channel":"news","content":{"user":"ada","text":"a line of a chat, as long as most of them are","at":1234567890}}"#;

/// The same in MessagePack.
const MESSAGE_PACK: &[u8] = b"\x84\xa2id\x07\xa4type\xa7publish\xa7channel\xa4news\xa7content\x83\xa4user\xa3ada\
    \xa4text\xd9\x2da line of a chat, as long as most of them are\xa2at\xce\x49\x96\x02\xd2";

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn decode(dialect: Dialect, message: Incoming<'static>) -> usize {
    let dialects = Dialects::default();
    let decoded = measured(|| (0..TIMES).map(|_| dialects.decode(dialect, black_box(message))).collect::<Vec<_>>());
    assert!(decoded.iter().flatten().all(|decoded| matches!(decoded, Decoded::Request(_))), "{:?}", decoded[0]);
    TIMES
}

fn encode(dialect: Dialect) -> usize {
    let dialects = Dialects::default();
    // The plain dialect has a form for broadcasts alone.
    let target = if dialect == Dialect::Plain { Target::Broadcast } else { Target::Channel(channel("news")) };
    let publication = || Publication::new(target.clone(), Content::json(CONTENT).unwrap());
    let publications: Vec<_> = (0..TIMES).map(|_| publication()).collect();
    let encoded = measured(|| publications.iter().filter_map(|each| each.frame(dialect, &dialects)).count());
    assert_eq!(encoded, TIMES);
    TIMES
}
