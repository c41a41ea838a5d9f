//! Text to broadcast or echo.

use super::Templates;
use crate::{
    Command, Content, Decoded, Echo, Incoming, Refusal, Request,
    json::{before, is_string},
};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What `message` asks.
pub(crate) fn decode(templates: &Templates, message: Incoming<'_>) -> Decoded {
    let text = match message {
        Incoming::Text(text) => Ok(text),
        Incoming::Binary(bytes) => str::from_utf8(bytes),
    };
    let decoded = match text {
        Ok(text) => command(templates, text),
        Err(error) => Err(format!("a binary message that is not UTF-8 (from byte {})", error.valid_up_to())),
    };
    match decoded {
        Ok(command) => Decoded::Request(Request { id: None, command }),
        Err(reason) => Decoded::Refused { id: None, refusal: Refusal::bad_request(reason) },
    }
}

fn command(templates: &Templates, text: &str) -> Result<Command, String> {
    // By grammar alone, to any depth and for numbers of any size: that is all the answer says.
    let json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match json.then(|| broadcast(text)).flatten() {
        Some(content) => {
            let content = content.map_or_else(|| Ok(templates.no_content.clone()), |raw| check(text, raw))?;
            Ok(Command::Broadcast { content, echo: false, idempotency_key: None })
        }
        None if json => Ok(Command::Echo(Echo::Json(text.to_owned()))),
        None => Ok(Command::Echo(Echo::Text(text.to_owned()))),
    }
}

fn check(text: &str, raw: &RawValue) -> Result<Content, String> {
    Content::json(raw.get()).map_err(|error| format!("content: {}", error.after_text(before(text, raw))))
}

/// The content, where there is one, of a `text` that is a broadcast.
fn broadcast(text: &str) -> Option<Option<&RawValue>> {
    let object = serde_json::Deserializer::from_str(text).deserialize_map(ObjectVisitor).ok()?;
    object.is_broadcast.then_some(object.content)
}

#[derive(Default)]
struct Object<'a> {
    is_broadcast: bool,
    content: Option<&'a RawValue>,
}

struct ObjectVisitor;

impl<'a> Visitor<'a> for ObjectVisitor {
    type Value = Object<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// Of a key that comes twice the last counts, as for `JSON.parse` and Python's `json`.
    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<Object<'a>, A::Error> {
        let mut object = Object::default();
        while let Some((key, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
            if is_string(key, "type") {
                object.is_broadcast = is_string(value, "broadcast");
            } else if is_string(key, "content") {
                object.content = Some(value);
            }
        }
        Ok(object)
    }
}
