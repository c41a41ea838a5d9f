//! What fuzzers need of what is private here.
#![allow(clippy::unwrap_used, clippy::panic)]

pub(crate) use super::reply::{Replies, Reply};

use super::{
    cluster::variant,
    names::heartbeat_tag,
    redirect::{Again, Redirect},
    slot::{self, SLOTS},
    topology::Topology,
};
use crate::partition::Partition;
use bytes::BytesMut;
use fanwire_protocol::NodeId;
use redis::{Value, ValueCodec};
use tokio_util::codec::Decoder;

/// So many slots are not missed by chance.
const MANY: usize = 500;

/// How often a slot is claimed in an answer to CLUSTER SLOTS, read as simply as can be.
fn claims(slots: &Value) -> Vec<usize> {
    let mut claims = vec![0; usize::from(SLOTS)];
    let Value::Array(ranges) = slots else { return claims };
    for range in ranges {
        if let Value::Array(parts) = range
            && let [Value::Int(first), Value::Int(last), ..] = parts.as_slice()
        {
            (*first..=*last).for_each(|slot| claims[usize::try_from(slot).unwrap()] += 1);
        }
    }
    claims
}

/// What a server of a cluster answers to CLUSTER SLOTS, and where it sends others.
pub(crate) fn topology(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Some(Again::Elsewhere(Redirect { slot, host, .. })) = Again::read("MOVED", Some(text))
    {
        assert!(slot < SLOTS && host.len() <= 255);
    }
    let Ok(Some(value)) = ValueCodec::default().decode(&mut BytesMut::from(data)) else { return };
    if let Some(topology) = Topology::read(&value, "asked") {
        judge(&topology, &claims(&value));
    }
}

/// Every slot that is claimed has one primary, others have none, and every partition goes where its slot is.
fn judge(topology: &Topology, claims: &[usize]) {
    let primaries = topology.primaries();
    for (slot, claimed) in (0..).zip(claims) {
        let primary = topology.primary(slot);
        assert!(*claimed == primary.iter().count(), "slot {slot}: {claimed} claims, {primary:?}");
        assert!(primary.is_none_or(|primary| primaries.contains(primary)));
    }
    assert!(primaries.len() <= claims.len() && primaries.is_sorted_by(|one, other| one < other));
    assert_eq!(topology.primary(SLOTS), None);
    assert_eq!(topology.missing(), claims.iter().filter(|claimed| **claimed == 0).count());
    assert_eq!(topology.is_empty(), topology.missing() == claims.len());
    for partition in Partition::every() {
        assert_eq!(topology.owner(partition), topology.primary(slot::of(partition)));
    }
    for address in primaries {
        assert!(address.host.len() <= 255 && !address.to_string().contains(['\r', '\n']));
    }
    if let Some(address) = primaries.first()
        && (0..SLOTS).filter(|slot| topology.primary(*slot) == Some(address)).count() >= MANY
    {
        let node = NodeId::from_random(1);
        let tag = heartbeat_tag(node, variant(node, topology, address));
        assert_eq!(topology.primary(slot::of_tag(&tag)), Some(address));
    }
}
