//! The dialect `fanwire.v1.msgpack`: one MessagePack map per binary message, with the keys of the JSON dialect.

mod check;
mod decode;
mod reader;

pub(crate) use check::{check, wholly_binary};
pub(crate) use decode::decode;

use crate::{
    Content, ContentKind, Event, Publication,
    frame::{self, Opcode},
    wire::{Map, Value},
};
use bytes::Bytes;
use rmp::encode::{write_array_len, write_bin, write_map_len, write_str};
use serde::Serialize;

/// The frame for `event`; `None` for one that only the plain dialect has.
pub(crate) fn encode(event: &Event) -> Option<Bytes> {
    encode_map(&Map::event(event)?)
}

/// The frame for `publication`.
pub(crate) fn encode_publication(publication: &Publication) -> Option<Bytes> {
    encode_map(&Map::publication(publication))
}

fn encode_map(map: &Map<'_>) -> Option<Bytes> {
    frame::build(Opcode::Binary.first_byte(), map.expected_length(), |out| write_map(map, out))
}

fn write_map(map: &Map<'_>, out: &mut Vec<u8>) -> Option<()> {
    write_map_len(out, u32::try_from(map.entries().len()).ok()?).ok()?;
    for (key, value) in map.entries() {
        write_str(out, key).ok()?;
        write_value(value, out)?;
    }
    Some(())
}

fn write_value(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Scalar(scalar) => scalar.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map()).ok(),
        Value::Content(content) => write_content(content, out),
        Value::Publications(publications) => write_maps(publications.iter().map(|one| Map::item(one)), out),
        Value::Members(members) => write_maps(members.iter().map(Map::member), out),
    }
}

fn write_maps<'a>(mut maps: impl ExactSizeIterator<Item = Map<'a>>, out: &mut Vec<u8>) -> Option<()> {
    write_array_len(out, u32::try_from(maps.len()).ok()?).ok()?;
    maps.try_for_each(|map| write_map(&map, out))
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
