//! Contents as JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use fanwire_client::Content;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write;

/// A content under the key of its form, JSON as it was received.
#[derive(Serialize)]
pub(crate) enum Payload<'a> {
    #[serde(rename = "content")]
    Json(&'a RawValue),
    #[serde(rename = "content_base64")]
    Base64(String),
}

/// The form of `content`.
pub(crate) fn of(content: &Content) -> Result<Payload<'_>, serde_json::Error> {
    Ok(match content {
        Content::Json(json) => Payload::Json(json.parse()?),
        Content::Binary(bytes) => Payload::Base64(STANDARD.encode(bytes)),
    })
}

/// The JSON text `json` without what terminals take as commands. JSON has control characters only in strings, and of
/// those only such as have this escape.
pub(crate) fn escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line
}
