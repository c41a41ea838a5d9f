//! JSON as it is written.

use serde::{Deserialize, Serialize, Serializer, ser::Error};
use serde_json::{Value, value::RawValue};
use std::{fmt, str::FromStr};

/// A JSON text without whitespace between its tokens. Otherwise it stays as it was written: the keys of objects in
/// their order, and every number with all its digits.
///
/// Two are equal if their texts are. From a [`Value`] its text is made, and [`FromStr`] reads a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// The JSON text of `value`.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_string(value)?.into()))
    }

    /// The text `raw` without whitespace between its tokens.
    pub(crate) fn compact(raw: &RawValue) -> Self {
        let (mut in_string, mut escaped) = (false, false);
        let keep = |c: &char| {
            let keep = in_string || !matches!(c, ' ' | '\t' | '\n' | '\r');
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            keep
        };
        Self(raw.get().chars().filter(keep).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the text says.
    ///
    /// # Errors
    /// When that is no `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Writes the text as it is, which only serializers of JSON can.
    pub(crate) fn serialize_text<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parse::<&RawValue>().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl FromStr for Json {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self::compact)
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(text.parse::<Json>().ok().as_ref().map(Json::as_str), expected, "{text}");
    }

    #[test]
    fn only_whitespace_between_tokens_goes() {
        check(" {\"b\" :\n1.0e5 ,\t\"a\": [ ] } ", Some(r#"{"b":1.0e5,"a":[]}"#));
        check(r#"  "a \" b \\"  "#, Some(r#""a \" b \\""#));
        check("123456789012345678901234567890", Some("123456789012345678901234567890"));
        for wrong in ["", "{", "[1,]", "'a'", "1 2", "NaN"] {
            check(wrong, None);
        }
    }
}
