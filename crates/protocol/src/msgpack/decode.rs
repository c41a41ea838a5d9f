//! MessagePack bytes to command.

use super::reader::{Fault, Item, Reader};
use crate::{
    Decoded, Dialect, Incoming, Refusal, RequestId,
    command::ID_EXPECTED,
    fields::{Fields, Key, Payload},
};
use std::borrow::Cow;

/// What `message` asks.
pub(crate) fn decode(message: Incoming<'_>) -> Decoded {
    let Incoming::Binary(bytes) = message else {
        let refusal = Refusal::bad_request("a text message: fanwire.v1.msgpack takes MessagePack in binary messages");
        return Decoded::Refused { id: None, refusal };
    };
    match fields(bytes) {
        Ok(fields) => fields.into_decoded(),
        Err(fault) => Decoded::Refused { id: find_id(bytes), refusal: Refusal::bad_request(fault.to_string()) },
    }
}

fn fields(bytes: &[u8]) -> Result<Fields<'_>, Fault> {
    let mut reader = Reader::new(bytes);
    let mut fields = Fields::new(Dialect::MessagePack);
    for _ in 0..pairs(&mut reader)? {
        field(&mut reader, &mut fields)?;
    }
    reader.end()?;
    Ok(fields)
}

fn pairs(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    match reader.item()? {
        Item::Map(pairs) => Ok(pairs),
        other => Err(Fault::new(0, other.instead_of("a map with a command"))),
    }
}

fn field<'a>(reader: &mut Reader<'a>, fields: &mut Fields<'a>) -> Result<(), Fault> {
    let at = reader.at();
    let name = reader.text("a string as a key")?;
    match fields.enter(name).map_err(|problem| Fault::new(at, problem))? {
        Some(key) => read(key, reader, fields),
        None => reader.value().map(drop),
    }
}

fn read<'a>(key: Key, reader: &mut Reader<'a>, fields: &mut Fields<'a>) -> Result<(), Fault> {
    let at = reader.at();
    match key {
        Key::Type => fields.command = Some(text(key, reader)?),
        Key::Id => fields.id = Some(id(reader)?),
        Key::Channel => fields.channel = Some(text(key, reader)?),
        Key::Content => fields.content = Some(Payload::MessagePack { bytes: reader.value()?, at }),
        Key::ContentBase64 => fields.base64 = Some(text(key, reader)?),
        Key::Echo => fields.echo = Some(flag(key, reader)?),
    }
    Ok(())
}

fn text<'a>(key: Key, reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Fault> {
    reader.text(&format!("a string as \"{}\"", key.name())).map(Cow::Borrowed)
}

fn flag(key: Key, reader: &mut Reader<'_>) -> Result<bool, Fault> {
    let at = reader.at();
    match reader.item()? {
        Item::Bool(flag) => Ok(flag),
        other => Err(Fault::new(at, other.instead_of(&format!("a boolean as \"{}\"", key.name())))),
    }
}

fn id(reader: &mut Reader<'_>) -> Result<RequestId, Fault> {
    let at = reader.at();
    let item = reader.item()?;
    let id = match item {
        Item::Unsigned(number) => Some(RequestId::Unsigned(number)),
        Item::Signed(number) => Some(RequestId::signed(number)),
        Item::Text(bytes) => str::from_utf8(bytes).ok().and_then(RequestId::text),
        _ => None,
    };
    id.ok_or_else(|| Fault::new(at, item.instead_of(ID_EXPECTED)))
}

/// The id of a message that is otherwise wrong, if it stands before where MessagePack breaks.
fn find_id(bytes: &[u8]) -> Option<RequestId> {
    let mut reader = Reader::new(bytes);
    for _ in 0..pairs(&mut reader).ok()? {
        let key = reader.value().ok()?;
        if Reader::new(key).text("").is_ok_and(|name| name == Key::Id.name()) {
            return id(&mut reader).ok();
        }
        reader.value().ok()?;
    }
    None
}
