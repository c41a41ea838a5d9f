//! What nodes write to each other: one publication as a MessagePack map.
//!
//! | key | what | present |
//! | --- | --- | --- |
//! | `v` | version, [`VERSION`] | always |
//! | `n` | the publishing node | always |
//! | `x` | the connection to leave out: `[node, sequence]` | where there is one |
//! | `t` | when it was published, in microseconds since the Unix epoch | always |
//! | `c` | the channel | absent from a broadcast |
//! | `k` | how the content is encoded: 0 JSON, 1 MessagePack, 2 binary | always |
//! | `d` | the content, as bytes | always |
//! | `o`, `e` | offset and epoch in the history of the channel, or of the broadcasts | where there is history |
//!
//! A place is known only where it is given. So `o` and `e` stand last: a node writes the [`beginning`], and who gives
//! the place appends it.
//!
//! Old and new nodes meet during a rolling upgrade. So unknown keys are skipped, keys are never given another meaning,
//! and the version grows only when nodes of the older one must not read on.

use crate::Delivery;
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, ConnectionId, Content, Epoch, NodeId, Position, Publication, Target, channel::InvalidChannelName,
    content::ContentKind, position::InvalidEpoch,
};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use thiserror::Error;

/// The newest version that this node reads, and the one that it writes.
pub const VERSION: u32 = 1;

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
        v: VERSION,
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
        Some(name) => Target::Channel(ChannelName::parse(name)?),
        None => Target::Broadcast,
    };
    let content = Content::from_parts(kind(incoming.k)?, bytes.slice_ref(incoming.d))
        .map_err(|error| InvalidEnvelope::Content(error.to_string()))?;
    let publication = Publication::new(target, content);
    let publication = match incoming.o.zip(incoming.e) {
        Some((offset, epoch)) => publication.at(Position { epoch: Epoch::parse(epoch)?, offset }),
        None => publication,
    };
    Ok(Envelope {
        origin: node(incoming.n)?,
        delivery: Delivery {
            publication: Arc::new(publication),
            except: incoming.x.map(|(n, sequence)| node(n).map(|n| ConnectionId(n, sequence))).transpose()?,
            published_at: incoming.t,
        },
    })
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
    k: u8,
    d: &'a [u8],
    o: Option<u64>,
    e: Option<&'a str>,
}

fn node(number: u64) -> Result<NodeId, InvalidEnvelope> {
    if number < NodeId::LIMIT { Ok(NodeId::from_random(number)) } else { Err(InvalidEnvelope::Node(number)) }
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
