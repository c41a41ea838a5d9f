//! The dialect `fanwire.v1.msgpack`: one MessagePack map per binary message, with the keys of the JSON dialect.

mod check;
mod decode;
mod reader;

pub(crate) use check::{check, wholly_binary};
pub(crate) use decode::decode;

use crate::{
    Content, ContentKind, Event, Publication, Target,
    frame::{self, Opcode},
};
use bytes::Bytes;
use rmp::encode::{write_bin, write_map_len, write_str};
use serde::Serialize;

/// What to expect of an event's length, in bytes.
const EVENT_CAPACITY: usize = 160;

/// What to expect of what stands around a publication's content, without the channel's name.
const ENVELOPE_CAPACITY: usize = 48;

/// The frame for `event`; `None` for one that only the plain dialect has.
pub(crate) fn encode(event: &Event) -> Option<Bytes> {
    frame::build(Opcode::Binary, EVENT_CAPACITY, |out| {
        event.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map()).ok()
    })
}

/// The frame for `publication`.
pub(crate) fn encode_publication(publication: &Publication) -> Option<Bytes> {
    let (_, bytes) = publication.content.parts();
    frame::build(Opcode::Binary, ENVELOPE_CAPACITY + bytes.len(), |out| {
        match &publication.target {
            Target::Broadcast => {
                write_map_len(out, 2).ok()?;
                write_entry(out, "type", "broadcast")?;
            }
            Target::Channel(channel) => {
                write_map_len(out, 3).ok()?;
                write_entry(out, "type", "message")?;
                write_entry(out, "channel", channel.as_str())?;
            }
        }
        write_str(out, "content").ok()?;
        write_content(&publication.content, out)
    })
}

fn write_entry(out: &mut Vec<u8>, key: &str, value: &str) -> Option<()> {
    write_str(out, key).ok()?;
    write_str(out, value).ok()
}

/// Appends `content` as a MessagePack value: one that was published so as it is, bytes as binary.
///
/// Never `None`: a content was checked to have this form.
fn write_content(content: &Content, out: &mut Vec<u8>) -> Option<()> {
    let (kind, bytes) = content.parts();
    match kind {
        ContentKind::Json => {
            let mut from = serde_json::Deserializer::from_slice(bytes);
            serde_transcode::transcode(&mut from, &mut rmp_serde::Serializer::new(out)).ok()?;
        }
        ContentKind::MessagePack => out.extend_from_slice(bytes),
        ContentKind::Binary => write_bin(out, bytes).ok()?,
    }
    Some(())
}
