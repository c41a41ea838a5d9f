//! The dialect `fanwire.v1.json`: one JSON object per text message.

mod check;
mod decode;
mod minify;
mod seed;

pub(crate) use check::{check, is_whitespace, text, too_deep};
pub(crate) use decode::{before, decode, is_string};
pub(crate) use minify::minify;

use crate::{
    Content, ContentKind, Event, Publication,
    frame::{self, Opcode},
    key::Key,
    wire::{Map, Value},
};
use base64::{engine::general_purpose::STANDARD, write::EncoderWriter};
use bytes::Bytes;
use std::io::Write;

/// The frame for `event`; `None` for one that only the plain dialect has.
pub(crate) fn encode(event: &Event) -> Option<Bytes> {
    encode_map(&Map::event(event)?)
}

/// The frame for `publication`.
pub(crate) fn encode_publication(publication: &Publication) -> Option<Bytes> {
    encode_map(&Map::publication(publication))
}

fn encode_map(map: &Map<'_>) -> Option<Bytes> {
    frame::build(Opcode::Text.first_byte(), map.expected_length(), |out| write_map(map, out))
}

fn write_map(map: &Map<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut before = b'{';
    for (key, value) in map.entries() {
        out.extend_from_slice(&[before, b'"']);
        out.extend_from_slice(key_of(key, value).as_bytes());
        out.extend_from_slice(b"\":");
        write_value(value, out)?;
        before = b',';
    }
    out.push(b'}');
    Some(())
}

/// The key of a value that has `key` in MessagePack.
fn key_of(key: &'static str, value: &Value<'_>) -> &'static str {
    match value {
        Value::Content(content) if content.parts().0 != ContentKind::Binary => key,
        Value::Content(_) if key == Key::Info.name() => Key::InfoBase64.name(),
        Value::Content(_) => Key::ContentBase64.name(),
        _ => key,
    }
}

fn write_value(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Scalar(scalar) => serde_json::to_writer(out, scalar).ok(),
        Value::Content(content) => write_content(content, out),
        Value::Publications(publications) => write_maps(publications.iter().map(|one| Map::item(one)), out),
        Value::Members(members) => write_maps(members.iter().map(Map::member), out),
    }
}

fn write_maps<'a>(maps: impl Iterator<Item = Map<'a>>, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    for (at, map) in maps.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_map(&map, out)?;
    }
    out.push(b']');
    Some(())
}

/// Appends `content` as a JSON value: a JSON text as it was published, bytes as a string of base64.
///
/// Never `None`: a content was checked to have this form.
pub(crate) fn write_content(content: &Content, out: &mut Vec<u8>) -> Option<()> {
    let (kind, bytes) = content.parts();
    match kind {
        ContentKind::Json => out.extend_from_slice(bytes),
        ContentKind::MessagePack => {
            let mut from = rmp_serde::Deserializer::from_read_ref(bytes);
            serde_transcode::transcode(&mut from, &mut serde_json::Serializer::new(out)).ok()?;
        }
        ContentKind::Binary => {
            out.push(b'"');
            write_base64(bytes, out)?;
            out.push(b'"');
        }
    }
    Some(())
}

/// Appends the base64 of `bytes`: standard alphabet, padded (RFC 4648, section 4).
pub(crate) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut encoder = EncoderWriter::new(out, &STANDARD);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()?;
    Some(())
}
