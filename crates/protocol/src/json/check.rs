//! Whether a JSON text has a form in every dialect.

use crate::{InvalidContent, content::MAX_DEPTH};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// Whether JSON ignores `character` between tokens (RFC 8259, section 2).
pub(crate) fn is_whitespace(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// `bytes` as text.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, InvalidContent> {
    str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        InvalidContent::Json {
            problem: "no UTF-8".to_owned(),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: before.len() - line_start,
        }
    })
}

/// Checks what [`crate::Content::json`] promises, without building anything.
pub(crate) fn check(text: &str) -> Result<(), InvalidContent> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Check { depth: 0 }.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> InvalidContent {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let problem = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text).to_owned();
    InvalidContent::Json { problem, line, column }
}

/// Visits one value inside of `depth` arrays and objects.
///
/// serde_json does most of the checking while it hands out values: surrogates when it decodes a string, the range when
/// it reads a number. It goes 128 levels deep itself, so the bound here is what ends the recursion.
#[derive(Clone, Copy)]
struct Check {
    depth: usize,
}

impl Check {
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(too_deep()));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

/// What is wrong with a content nested beyond [`MAX_DEPTH`].
pub(crate) fn too_deep() -> String {
    format!("nested more than {MAX_DEPTH} levels deep")
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while entries.next_entry_seed(inside, inside)?.is_some() {}
        Ok(())
    }
}
