//! The payload of a publication, checked once and then present in every form.

use crate::{json, msgpack};
use bytes::Bytes;
use thiserror::Error;

/// How many arrays and maps may lie inside each other.
pub const MAX_DEPTH: usize = 64;

/// The form in which a content was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// A JSON text.
    Json,
    /// One MessagePack value that JSON can express.
    MessagePack,
    /// Bytes that are nothing but bytes.
    Binary,
}

/// The payload of a publication. What exists is checked: every content has a form in every dialect.
///
/// Two contents are equal if they have the same kind and the same bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    kind: ContentKind,
    bytes: Bytes,
}

/// Why bytes are no content.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidContent {
    /// No JSON text, or one that has no MessagePack form.
    #[error("{problem} at line {line} column {column}")]
    Json {
        /// What is wrong.
        problem: String,
        /// The line, from 1.
        line: usize,
        /// How many bytes of that line were read.
        column: usize,
    },
    /// No MessagePack value, or one that JSON can't express.
    #[error("{problem} at byte {at}")]
    MessagePack {
        /// What is wrong.
        problem: String,
        /// The first byte of the value that is wrong, from 0.
        at: usize,
    },
}

impl Content {
    /// A copy of the JSON `text`, without the whitespace around it.
    ///
    /// Nesting up to [`MAX_DEPTH`], only paired surrogates, and only numbers that are finite as a double are accepted.
    /// An integer that doesn't fit 64 bits is a double to whoever doesn't get the text itself.
    pub fn json(text: &str) -> Result<Self, InvalidContent> {
        json::check(text)?;
        let text = text.trim_matches(json::is_whitespace);
        Ok(Self { kind: ContentKind::Json, bytes: Bytes::copy_from_slice(text.as_bytes()) })
    }

    /// A copy of the one MessagePack value that `bytes` hold.
    ///
    /// Nesting up to [`MAX_DEPTH`], strings of UTF-8, maps with string keys, and no extension, no NaN, no infinity and
    /// no binary are accepted; except that a value which is wholly binary is the same as [`Content::binary`] of it.
    pub fn message_pack(bytes: &[u8]) -> Result<Self, InvalidContent> {
        if let Some(binary) = msgpack::wholly_binary(bytes) {
            return Ok(Self::binary(Bytes::copy_from_slice(binary)));
        }
        msgpack::check(bytes)?;
        Ok(Self { kind: ContentKind::MessagePack, bytes: Bytes::copy_from_slice(bytes) })
    }

    /// A content that is nothing but bytes. `bytes` is kept as it is: what it is a slice of stays in memory with it.
    pub fn binary(bytes: Bytes) -> Self {
        Self { kind: ContentKind::Binary, bytes }
    }

    /// The content that is nothing.
    pub fn null() -> Self {
        Self { kind: ContentKind::Json, bytes: Bytes::from_static(b"null") }
    }

    /// How many bytes it has in the form in which it was published.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The content that is the string `text`.
    pub fn string(text: &str) -> Self {
        Self { kind: ContentKind::Json, bytes: serde_json::Value::from(text).to_string().into() }
    }

    /// What [`Content::from_parts`] makes the content of again.
    pub fn parts(&self) -> (ContentKind, &Bytes) {
        (self.kind, &self.bytes)
    }

    /// The content whose [`Content::parts`] are `kind` and `bytes`, checked like one that comes from a client.
    /// The bytes are copied: what they are a slice of is free to go.
    #[expect(clippy::needless_pass_by_value, reason = "what is given away is not used for anything else")]
    pub fn from_parts(kind: ContentKind, bytes: Bytes) -> Result<Self, InvalidContent> {
        match kind {
            ContentKind::Json => Self::json(json::text(&bytes)?),
            ContentKind::MessagePack => Self::message_pack(&bytes),
            ContentKind::Binary => Ok(Self::binary(Bytes::copy_from_slice(&bytes))),
        }
    }

    /// An upper bound for the length of every form of the content in bytes, without what a dialect puts around it.
    ///
    /// - JSON becomes at most thrice as long in MessagePack: the worst is `-0`, with its comma 3 bytes that become a
    ///   double of 9. Other floats have 3 characters and a comma or more, integers never have fewer characters than
    ///   bytes, the markers of strings and maps are no longer than their quotes and braces, except for long ones (5
    ///   bytes once per 2^16). The last value has no comma: 9 bytes more. Compact JSON and decoded strings only shrink.
    /// - MessagePack becomes at most six times as long in JSON: a control character (1 byte) is written `\u001f`,
    ///   `false` (1 byte) with its comma has 6 characters. Small integers have 4, empty containers 3, 64-bit integers 21 for 9
    ///   bytes, doubles at most 25 for 9, singles at most 17 for 5; quotes and comma of a string 3 for its marker.
    /// - Bytes become base64, 4 characters for each 3 bytes begun, in quotes; or MessagePack with a header of up to 5.
    pub fn longest_form(&self) -> usize {
        let length = self.bytes.len();
        match self.kind {
            ContentKind::Json => length.saturating_mul(3).saturating_add(9),
            ContentKind::MessagePack => length.saturating_mul(6),
            ContentKind::Binary => length.div_ceil(3).saturating_mul(4).saturating_add(5),
        }
    }
}

impl InvalidContent {
    /// The same, counted from the start of the JSON message in which `before` stands before the content.
    pub(crate) fn after_text(self, before: &str) -> Self {
        match self {
            Self::Json { problem, line, column } => {
                let indent = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
                let column = if line == 1 { column + indent } else { column };
                Self::Json { problem, line: line + before.matches('\n').count(), column }
            }
            other => other,
        }
    }

    /// The same, counted from the start of the MessagePack message in which the content begins at byte `start`.
    pub(crate) fn after_bytes(self, start: usize) -> Self {
        match self {
            Self::MessagePack { problem, at } => Self::MessagePack { problem, at: at + start },
            other => other,
        }
    }
}
