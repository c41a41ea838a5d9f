//! What nodes write to each other: one publication, or that a member came or went, as a MessagePack map.
//!
//! | key | what | present |
//! | --- | --- | --- |
//! | `v` | version: 1 of a publication, 2 of a change | always |
//! | `n` | the publishing node | always |
//! | `x` | the connection to leave out, of a change the member: `[node, sequence]` | where there is one |
//! | `t` | when it was published, in microseconds since the Unix epoch | always |
//! | `c` | the channel | absent from a broadcast |
//! | `k` | how the content is encoded: 0 JSON, 1 MessagePack, 2 binary | always, of a change where the member has info |
//! | `d` | the content, of a change the member's info, as bytes | as `k` |
//! | `o`, `e` | offset and epoch in the history of the channel, or of the broadcasts | where there is history |
//! | `u` | the member's user | in a change, where there is one |
//! | `p` | what the member did: 1 it came, 2 it went | in a change |
//! | `f` | whether its user came or went with it | in a change |
//!
//! A change has another version because older nodes, which don't know `p`, would pass it on as a publication. What stays
//! the same of a member is its [`record`], which is kept at Redis; behind it stand [`circumstances`] and then `p` and `f`,
//! which only Redis knows.
//!
//! A place is known only where it is given. So `o` and `e` stand last: a node writes the [`beginning`], and who gives
//! the place appends it.
//!
//! Old and new nodes meet during a rolling upgrade. So unknown keys are skipped, keys are never given another meaning,
//! and the version grows only when nodes of the older one must not read on.

mod member;

pub use member::{circumstances, ending, member, record};

use crate::Delivery;
use bytes::Bytes;
use fanwire_protocol::{
    ChangeKind, ChannelName, ConnectionId, Content, Epoch, Member, MemberChange, NodeId, Position, Publication, Target,
    UserId, channel::InvalidChannelName, content::ContentKind, member::InvalidUserId, position::InvalidEpoch,
};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use thiserror::Error;

/// The newest version that this node reads.
pub const VERSION: u32 = CHANGE;

/// The version of publications.
const PUBLICATION: u32 = 1;

/// The version of what tells that a member came or went.
const CHANGE: u32 = 2;

/// A publication as one node writes it to all.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The node that published it.
    pub origin: NodeId,
    /// What it published.
    pub delivery: Delivery,
}

/// Why bytes are no envelope.
#[derive(Debug, Error)]
pub enum InvalidEnvelope {
    /// They are no MessagePack map with the keys and types of an envelope.
    #[error("no envelope: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// A newer node wrote it in a way that this one can't read.
    #[error("an envelope of version {0}; this node reads up to {VERSION}")]
    Version(u32),
    /// A number is no id of a node.
    #[error("{0} is no node id: those are below 2^53")]
    Node(u64),
    /// The channel has no valid name.
    #[error("no channel: {0}")]
    Channel(#[from] InvalidChannelName),
    /// An encoding of content that this node does not know.
    #[error("{0} is no kind of content: 0, 1 and 2 are")]
    Kind(u8),
    /// The user has no valid id.
    #[error("no user: {0}")]
    User(#[from] InvalidUserId),
    /// Nothing that a member does.
    #[error("{0} is nothing that a member does: 1 and 2 are")]
    Change(u8),
    /// A change that says not of whom, or on which channel.
    #[error("a change without a member, or without a channel")]
    Memberless,
    /// The epoch has no valid name.
    #[error("no epoch: {0}")]
    Epoch(#[from] InvalidEpoch),
    /// The content is not what its kind says.
    #[error("invalid content: {0}")]
    Content(String),
}

/// Writes a publication of node `origin`, with its place where it has one.
///
/// # Errors
///
/// Only where memory can't be had: every delivery has an envelope.
pub fn encode(origin: NodeId, delivery: &Delivery) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let (kind, data) = delivery.publication.content.parts();
    let outgoing = Outgoing {
        v: PUBLICATION,
        n: origin.get(),
        x: delivery.except,
        t: delivery.published_at,
        c: match &delivery.publication.target {
            Target::Channel(channel) => Some(channel.as_str()),
            Target::Broadcast => None,
        },
        k: number(kind),
        d: Bin(data),
        o: delivery.publication.position.as_ref().map(|place| place.offset),
        e: delivery.publication.position.as_ref().map(|place| &place.epoch),
    };
    let mut bytes = Vec::with_capacity(data.len() + OVERHEAD);
    outgoing.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    Ok(bytes)
}

/// Writes all of an envelope but its last two entries, `o` and `e`. The publication has no place yet.
///
/// # Errors
///
/// As [`encode`].
pub fn beginning(origin: NodeId, delivery: &Delivery) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = encode(origin, delivery)?;
    if let Some(header) = bytes.first_mut() {
        // A map of fewer than 16 entries has their number in its first byte, and no envelope has as many.
        *header += 2;
    }
    Ok(bytes)
}

/// Reads an envelope. The content shares the memory of `bytes`.
///
/// # Errors
///
/// What is wrong with it; such an envelope is skipped.
pub fn decode(bytes: &Bytes) -> Result<Envelope, InvalidEnvelope> {
    let Preface { v } = read(bytes)?;
    if v > VERSION {
        return Err(InvalidEnvelope::Version(v));
    }
    let incoming: Incoming<'_> = read(bytes)?;
    let target = match incoming.c {
        Some(name) => Target::Channel(ChannelName::parse_of_node(name)?),
        None => Target::Broadcast,
    };
    let content = incoming.content(bytes)?;
    let except = incoming.x.map(|(n, sequence)| node(n).map(|n| ConnectionId(n, sequence))).transpose()?;
    let publication = match (v, target, content) {
        (CHANGE, Target::Channel(channel), info) => Publication::of_change(channel, incoming.change(except, info)?),
        (CHANGE, Target::Broadcast, _) => return Err(InvalidEnvelope::Memberless),
        (_, target, Some(content)) => incoming.placed(Publication::new(target, content))?,
        (_, _, None) => return Err(InvalidEnvelope::Content("there is none".to_owned())),
    };
    let delivery = Delivery { publication: Arc::new(publication), except, published_at: incoming.t };
    Ok(Envelope { origin: node(incoming.n)?, delivery })
}

/// How deep what is under unknown keys may be nested. rmp-serde's own limit is deeper than a stack in a debug build.
const MAX_DEPTH: usize = 32;

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer)
}

/// More than the keys and the numbers take; the name of a channel may make it grow once.
const OVERHEAD: usize = 96;

#[derive(Serialize)]
struct Outgoing<'a> {
    v: u32,
    n: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<ConnectionId>,
    t: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<&'a str>,
    k: u8,
    d: Bin<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<&'a Epoch>,
}

/// Serde writes a slice of bytes as an array of numbers unless it is told that it is binary.
struct Bin<'a>(&'a [u8]);

impl Serialize for Bin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Read first, since a newer version may have changed the types of all else.
#[derive(Deserialize)]
struct Preface {
    v: u32,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    n: u64,
    x: Option<(u64, u64)>,
    t: u64,
    c: Option<&'a str>,
    k: Option<u8>,
    d: Option<&'a [u8]>,
    o: Option<u64>,
    e: Option<&'a str>,
    u: Option<&'a str>,
    p: Option<u8>,
    f: Option<bool>,
}

impl Incoming<'_> {
    fn content(&self, bytes: &Bytes) -> Result<Option<Content>, InvalidEnvelope> {
        let Some((number, data)) = self.k.zip(self.d) else { return Ok(None) };
        let content = Content::from_parts(kind(number)?, bytes.slice_ref(data));
        content.map(Some).map_err(|error| InvalidEnvelope::Content(error.to_string()))
    }

    fn placed(&self, publication: Publication) -> Result<Publication, InvalidEnvelope> {
        Ok(match self.o.zip(self.e) {
            Some((offset, epoch)) => publication.at(Position { epoch: Epoch::parse(epoch)?, offset }),
            None => publication,
        })
    }

    fn change(&self, member: Option<ConnectionId>, info: Option<Content>) -> Result<MemberChange, InvalidEnvelope> {
        let kind = match self.p.unwrap_or_default() {
            1 => ChangeKind::Join,
            2 => ChangeKind::Leave,
            unknown => return Err(InvalidEnvelope::Change(unknown)),
        };
        let connection = member.ok_or(InvalidEnvelope::Memberless)?;
        let user = self.u.map(UserId::parse).transpose()?;
        Ok(MemberChange { kind, member: Member { connection, user, info }, with_user: self.f.unwrap_or_default() })
    }
}

fn node(number: u64) -> Result<NodeId, InvalidEnvelope> {
    NodeId::new(number).ok_or(InvalidEnvelope::Node(number))
}

fn number(kind: ContentKind) -> u8 {
    match kind {
        ContentKind::Json => 0,
        ContentKind::MessagePack => 1,
        ContentKind::Binary => 2,
    }
}

fn kind(number: u8) -> Result<ContentKind, InvalidEnvelope> {
    match number {
        0 => Ok(ContentKind::Json),
        1 => Ok(ContentKind::MessagePack),
        2 => Ok(ContentKind::Binary),
        unknown => Err(InvalidEnvelope::Kind(unknown)),
    }
}

#[cfg(test)]
mod tests;
