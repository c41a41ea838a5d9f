//! The plain dialect: texts for people and for `new WebSocket(url)`.

mod decode;
mod template;

pub(crate) use decode::decode;
pub use template::{InvalidTemplate, MAX_TEMPLATE_LENGTH, TemplateProblem, TemplateTexts, Templates};

use crate::{
    Content, ContentKind, Echo, Event, Publication, Target,
    frame::{self, Opcode},
    json,
};
use bytes::Bytes;
use std::borrow::Cow;

/// The frame for `event`; `None` for those that plain clients are not told.
pub(crate) fn encode(templates: &Templates, event: &Event) -> Option<Bytes> {
    let (template, text) = match event {
        Event::Echo(Echo::Json(text)) => (&templates.reply, text),
        Event::Echo(Echo::Text(text)) => (&templates.reply_text, text),
        Event::Error { message, .. } => (&templates.error, message),
        _ => return None,
    };
    frame::build(Opcode::Text.first_byte(), template.length() + text.len(), |out| {
        template.fill(out, |out| {
            out.extend_from_slice(text.as_bytes());
            Some(())
        })
    })
}

/// The frame for `publication`; `None` for those in channels, which this dialect doesn't have.
pub(crate) fn encode_publication(templates: &Templates, publication: &Publication) -> Option<Bytes> {
    if publication.target != Target::Broadcast {
        return None;
    }
    let (_, bytes) = publication.content.parts();
    frame::build(Opcode::Text.first_byte(), templates.broadcast.length() + bytes.len(), |out| {
        templates.broadcast.fill(out, |out| write_content(&publication.content, out))
    })
}

/// Appends `content` for people: a string as it is, another value as compact JSON, bytes as base64.
fn write_content(content: &Content, out: &mut Vec<u8>) -> Option<()> {
    let (kind, bytes) = content.parts();
    match (kind, string(content)) {
        (_, Some(string)) => out.extend_from_slice(string.as_bytes()),
        (ContentKind::Json, None) => json::minify(bytes, out),
        (ContentKind::MessagePack, None) => json::write_content(content, out)?,
        (ContentKind::Binary, None) => json::write_base64(bytes, out)?,
    }
    Some(())
}

/// The content, if it is a string.
fn string(content: &Content) -> Option<Cow<'_, str>> {
    let (kind, bytes) = content.parts();
    match kind {
        ContentKind::Json if bytes.starts_with(b"\"") => serde_json::from_slice(bytes).ok().map(Cow::Owned),
        ContentKind::MessagePack => rmp_serde::from_slice::<&str>(bytes).ok().map(Cow::Borrowed),
        _ => None,
    }
}
