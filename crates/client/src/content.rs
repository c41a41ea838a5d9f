//! The payload of a message.

use crate::Json;
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        Error, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::{Value, value::RawValue};
use serde_transcode::Transcoder;
use std::fmt;

/// The payload of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Any value that JSON can express.
    Json(Json),
    /// Wholly binary content.
    Binary(Bytes),
}

impl Content {
    /// Its length in bytes, JSON as text.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(json) => json.as_str().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl From<Json> for Content {
    fn from(json: Json) -> Self {
        Self::Json(json)
    }
}

impl From<Value> for Content {
    fn from(value: Value) -> Self {
        Self::Json(value.into())
    }
}

/// The text as a string, not as JSON.
impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Value::from(text).into()
    }
}

/// The text as a string, not as JSON.
impl From<String> for Content {
    fn from(text: String) -> Self {
        Value::from(text).into()
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// A content on its way out: the JSON text itself in JSON, its values in MessagePack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a>(pub(crate) &'a Content);

impl Serialize for Outgoing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Content::Binary(bytes) => serializer.serialize_bytes(bytes),
            Content::Json(json) if serializer.is_human_readable() => json.serialize_text(serializer),
            Content::Json(json) => {
                serde_transcode::transcode(&mut serde_json::Deserializer::from_str(json.as_str()), serializer)
            }
        }
    }
}

/// A content on its way in: the JSON text itself in JSON, the JSON text of the values in MessagePack.
pub(crate) fn incoming<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
    if deserializer.is_human_readable() {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Json::compact(raw).into())
    } else {
        deserializer.deserialize_any(Values)
    }
}

/// Takes bytes besides all that JSON has.
struct Values;

fn json<E: Error>(value: impl Serialize) -> Result<Content, E> {
    Json::of(&value).map(Content::Json).map_err(E::custom)
}

impl<'de> Visitor<'de> for Values {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        json(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Content, E> {
        json(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Content, E> {
        json(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Content, E> {
        json(value)
    }

    fn visit_f32<E: Error>(self, value: f32) -> Result<Content, E> {
        json(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Content, E> {
        json(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Content, E> {
        json(value)
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Content, E> {
        Ok(Bytes::copy_from_slice(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Content, A::Error> {
        json(Transcoder::new(SeqAccessDeserializer::new(seq)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
        json(Transcoder::new(MapAccessDeserializer::new(map)))
    }
}
