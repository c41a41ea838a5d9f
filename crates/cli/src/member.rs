//! A member of a channel, as it is shown.

use crate::{
    output,
    payload::{self, Payload},
};
use fanwire_client::Member;
use serde::Serialize;

/// A member with its info under the key of its form.
#[derive(Serialize)]
pub(crate) struct Described<'a> {
    connection: (u64, u64),
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    info: Option<Info<'a>>,
}

#[derive(Serialize)]
enum Info<'a> {
    #[serde(rename = "info")]
    Json(&'a serde_json::value::RawValue),
    #[serde(rename = "info_base64")]
    Base64(String),
}

impl<'a> Described<'a> {
    pub(crate) fn new(member: &'a Member) -> Result<Self, serde_json::Error> {
        let info = member.info.as_ref().map(payload::of).transpose()?.map(|payload| match payload {
            Payload::Json(json) => Info::Json(json),
            Payload::Base64(text) => Info::Base64(text),
        });
        Ok(Self { connection: member.connection, user: member.user.as_deref(), info })
    }

    /// A JSON object on a line.
    pub(crate) fn object(&self) -> Result<String, serde_json::Error> {
        Ok(payload::escaped(&serde_json::to_string(self)?))
    }

    /// A line for people: the connection, the user and the info, with tabs between them; `-` where there is none.
    pub(crate) fn line(&self) -> String {
        let user = self.user.map_or_else(|| "-".to_owned(), output::printable);
        let info = match &self.info {
            None => "-".to_owned(),
            Some(Info::Json(json)) => output::printable(json.get()),
            Some(Info::Base64(text)) => text.clone(),
        };
        format!("{}\t{user}\t{info}", id(self.connection))
    }
}

/// Who a member is, in few words.
pub(crate) fn name(member: &Member) -> String {
    let id = id(member.connection);
    member.user.as_ref().map_or_else(|| format!("connection {id}"), |user| format!("{user} (connection {id})"))
}

fn id((node, sequence): (u64, u64)) -> String {
    format!("{node}-{sequence}")
}
