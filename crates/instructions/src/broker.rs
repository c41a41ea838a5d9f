//! Publications on their way between nodes.

use crate::{
    Case, measured,
    protocol::{CONTENT, TIMES, channel},
};
use bytes::Bytes;
use fanwire_broker::envelope;
use fanwire_protocol::{Content, Delivery, NodeId, Publication, Target};
use std::sync::Arc;

pub(crate) const CASES: &[Case] =
    &[Case { name: "envelope-encode", run: encode }, Case { name: "envelope-decode", run: decode }];

fn delivery() -> Delivery {
    let publication = Publication::new(Target::Channel(channel("news")), Content::json(CONTENT).unwrap());
    Delivery { publication: Arc::new(publication), except: None, published_at: 1_700_000_000_000_000 }
}

fn encode() -> usize {
    let (origin, delivery) = (NodeId::from_random(7), delivery());
    let encoded = measured(|| (0..TIMES).filter_map(|_| envelope::encode(origin, &delivery).ok()).count());
    assert_eq!(encoded, TIMES);
    TIMES
}

fn decode() -> usize {
    let bytes = Bytes::from(envelope::encode(NodeId::from_random(7), &delivery()).unwrap());
    let decoded = measured(|| (0..TIMES).filter_map(|_| envelope::decode(&bytes).ok()).count());
    assert_eq!(decoded, TIMES);
    TIMES
}
