//! The parts of an envelope that tells that a member came or went.

use super::{Bin, CHANGE, InvalidEnvelope, OVERHEAD, decode, number};
use bytes::Bytes;
use fanwire_protocol::{ChangeKind, ChannelName, ConnectionId, Content, Member, NodeId, UserId};
use serde::Serialize;

/// Writes what stays the same of a member: the beginning of an envelope that says that it came, or went.
///
/// # Errors
///
/// As [`encode`].
pub fn record(member: &Member) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let (kind, data) = member.info.as_ref().map(Content::parts).unzip();
    let record = Record {
        v: CHANGE,
        x: member.connection,
        k: kind.map(number),
        d: data.map(|data| Bin(data)),
        u: member.user.as_ref(),
    };
    let mut bytes = Vec::with_capacity(data.map_or(0, Bytes::len) + OVERHEAD);
    record.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    if let Some(header) = bytes.first_mut() {
        // As in a beginning: `n`, `t` and `c`, then `p` and `f`.
        *header += 5;
    }
    Ok(bytes)
}

/// Writes the entries that stand behind a [`record`]: the node that tells of the change, when, and on which channel.
///
/// # Errors
///
/// As [`encode`].
pub fn circumstances(origin: NodeId, at: u64, channel: &ChannelName) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let entries = Circumstances { n: origin.get(), t: at, c: channel.as_str() };
    let mut bytes = Vec::with_capacity(OVERHEAD);
    entries.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    // Without the head of the map, which has fewer than 16 entries.
    bytes.remove(0);
    Ok(bytes)
}

/// What a script puts behind the [`circumstances`].
pub fn ending(kind: ChangeKind, with_user: bool) -> [u8; 6] {
    let [kind, with_user] = [if kind == ChangeKind::Join { 1 } else { 2 }, 0xc2 + u8::from(with_user)];
    [0xa1, b'p', kind, 0xa1, b'f', with_user]
}

/// Reads the member that has this [`record`].
///
/// # Errors
///
/// What is wrong with it; such a member is skipped.
pub fn member(record: &[u8], channel: &ChannelName) -> Result<Member, InvalidEnvelope> {
    let behind = circumstances(NodeId::from_random(0), 0, channel);
    let behind = behind.map_err(|error| InvalidEnvelope::Content(error.to_string()))?;
    let whole = [record, &behind, &ending(ChangeKind::Join, false)].concat();
    let change = decode(&whole.into())?.delivery.publication.change.clone();
    change.map(|change| change.member).ok_or(InvalidEnvelope::Memberless)
}

#[derive(Serialize)]
struct Record<'a> {
    v: u32,
    x: ConnectionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<Bin<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    u: Option<&'a UserId>,
}

#[derive(Serialize)]
struct Circumstances<'a> {
    n: u64,
    t: u64,
    c: &'a str,
}
