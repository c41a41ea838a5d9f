//! The dialect `fanwire.v1.json`: one JSON object per text message.

mod check;
mod decode;
mod minify;

pub(crate) use check::{check, is_whitespace, text, too_deep};
pub(crate) use decode::{before, decode, is_string};
pub(crate) use minify::minify;

use crate::{
    Content, ContentKind, Event, Publication, Target,
    frame::{self, Opcode},
};
use base64::{engine::general_purpose::STANDARD, write::EncoderWriter};
use bytes::Bytes;
use std::io::Write;

/// What to expect of an event's length, in bytes.
const EVENT_CAPACITY: usize = 160;

/// What to expect of what stands around a publication's content, without the channel's name.
const ENVELOPE_CAPACITY: usize = 64;

/// The frame for `event`; `None` for one that only the plain dialect has.
pub(crate) fn encode(event: &Event) -> Option<Bytes> {
    frame::build(Opcode::Text, EVENT_CAPACITY, |out| serde_json::to_writer(out, event).ok())
}

/// The frame for `publication`.
pub(crate) fn encode_publication(publication: &Publication) -> Option<Bytes> {
    let (_, bytes) = publication.content.parts();
    frame::build(Opcode::Text, ENVELOPE_CAPACITY + bytes.len(), |out| {
        match &publication.target {
            Target::Broadcast => out.extend_from_slice(br#"{"type":"broadcast","#),
            Target::Channel(channel) => {
                out.extend_from_slice(br#"{"type":"message","channel":"#);
                serde_json::to_writer(&mut *out, channel.as_str()).ok()?;
                out.push(b',');
            }
        }
        let is_binary = publication.content.parts().0 == ContentKind::Binary;
        out.extend_from_slice(if is_binary { br#""content_base64":"# } else { br#""content":"# });
        write_content(&publication.content, out)?;
        out.push(b'}');
        Some(())
    })
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
