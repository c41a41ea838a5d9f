//! MessagePack bytes to command.

use super::reader::{Fault, Item, Reader};
use crate::{
    ConnectionId, Decoded, Dialect, Epoch, IdempotencyKey, Incoming, NodeId, Position, Refusal, RequestId, Token,
    command,
    fields::{Fields, Payload, Values},
    key::Key,
    place::{Place, PlaceKey},
};
use std::{borrow::Cow, fmt::Display};

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
    for _ in 0..pairs(&mut reader, "a map with a command")? {
        field(&mut reader, &mut fields)?;
    }
    reader.end()?;
    Ok(fields)
}

fn pairs(reader: &mut Reader<'_>, expected: impl Display) -> Result<u64, Fault> {
    let at = reader.at();
    match reader.item()? {
        Item::Map(pairs) => Ok(pairs),
        other => Err(Fault::new(at, other.instead_of(expected))),
    }
}

fn field<'a>(reader: &mut Reader<'a>, fields: &mut Fields<'a>) -> Result<(), Fault> {
    let at = reader.at();
    let name = reader.text("a string as a key")?;
    match fields.enter(name).map_err(|problem| Fault::new(at, problem))? {
        Some(key) => read(key, reader, &mut fields.values),
        None => reader.value().map(drop),
    }
}

fn read<'a>(key: Key, reader: &mut Reader<'a>, values: &mut Values<'a>) -> Result<(), Fault> {
    let at = reader.at();
    match key {
        Key::Type => values.command = Some(text(key, reader)?),
        Key::Id => values.id = Some(id(reader)?),
        Key::Channel => values.channel = Some(text(key, reader)?),
        Key::Content => values.content = Some(Payload::MessagePack { bytes: reader.value()?, at }),
        Key::ContentBase64 => values.base64 = Some(text(key, reader)?),
        Key::Echo => values.echo = Some(flag(key, reader)?),
        Key::Idempotency => values.idempotency_key = Some(made_of(key, reader, IdempotencyKey::new)?),
        Key::Recover => values.recover = Some(position(key, reader)?),
        Key::Since => values.since = Some(position(key, reader)?),
        Key::Limit => values.limit = Some(number(key, reader, command::limit)?),
        Key::Reverse => values.reverse = Some(flag(key, reader)?),
        Key::Epoch => values.epoch = Some(epoch(key, reader)?),
        Key::Offset => values.offset = Some(number(key, reader, Some)?),
        Key::Info => values.info = Some(Payload::MessagePack { bytes: reader.value()?, at }),
        Key::InfoBase64 => values.info_base64 = Some(text(key, reader)?),
        Key::After => values.after = Some(connection(key, reader)?),
        Key::Token => values.token = Some(made_of(key, reader, |text| Some(Token::new(text)))?),
    }
    Ok(())
}

fn text<'a>(key: Key, reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Fault> {
    reader.text(key.expected()).map(Cow::Borrowed)
}

/// The string under `key`, and what `make` makes of it.
fn made_of<T>(key: Key, reader: &mut Reader<'_>, make: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
    let at = reader.at();
    let text = reader.text(key.expected())?;
    make(text).ok_or_else(|| Fault::new(at, format!("invalid value: string, expected {}", key.expected())))
}

fn epoch(key: Key, reader: &mut Reader<'_>) -> Result<Epoch, Fault> {
    made_of(key, reader, |text| Epoch::parse(text).ok())
}

fn flag(key: Key, reader: &mut Reader<'_>) -> Result<bool, Fault> {
    let at = reader.at();
    match reader.item()? {
        Item::Bool(flag) => Ok(flag),
        other => Err(Fault::new(at, other.instead_of(key.expected()))),
    }
}

/// The integer under `key`, and what `make` makes of it.
fn number<T>(key: Key, reader: &mut Reader<'_>, make: impl Fn(u64) -> Option<T>) -> Result<T, Fault> {
    let at = reader.at();
    let item = reader.item()?;
    let number = item.unsigned().ok_or_else(|| Fault::new(at, item.instead_of(key.expected())))?;
    make(number)
        .ok_or_else(|| Fault::new(at, format!("invalid value: integer `{number}`, expected {}", key.expected())))
}

fn connection(key: Key, reader: &mut Reader<'_>) -> Result<ConnectionId, Fault> {
    let at = reader.at();
    match reader.item()? {
        Item::Array(2) => {
            let node = number(key, reader, NodeId::new)?;
            Ok(ConnectionId(node, number(key, reader, Some)?))
        }
        other => Err(Fault::new(at, other.instead_of(key.expected()))),
    }
}

fn position(key: Key, reader: &mut Reader<'_>) -> Result<Position, Fault> {
    let start = reader.at();
    let mut place = Place::new(key);
    for _ in 0..pairs(reader, key.expected())? {
        let at = reader.at();
        let name = reader.text("a string as a key")?;
        match place.enter(name).map_err(|problem| Fault::new(at, problem))? {
            PlaceKey::Epoch => place.epoch = Some(epoch(Key::Epoch, reader)?),
            PlaceKey::Offset => place.offset = Some(number(Key::Offset, reader, Some)?),
        }
    }
    place.into_position().map_err(|problem| Fault::new(start, problem))
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
    id.ok_or_else(|| Fault::new(at, item.instead_of(Key::Id.expected())))
}

/// The id of a message that is otherwise wrong, if it stands before where MessagePack breaks.
fn find_id(bytes: &[u8]) -> Option<RequestId> {
    let mut reader = Reader::new(bytes);
    for _ in 0..pairs(&mut reader, "").ok()? {
        let key = reader.value().ok()?;
        if Reader::new(key).text("").is_ok_and(|name| name == Key::Id.name()) {
            return id(&mut reader).ok();
        }
        reader.value().ok()?;
    }
    None
}
