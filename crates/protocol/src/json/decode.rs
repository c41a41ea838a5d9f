//! JSON text to command.

use super::seed::{ConnectionSeed, FlagSeed, KeySeed, NumberSeed, PositionSeed, TextSeed, epoch, offset};
use crate::{
    Decoded, Dialect, IdempotencyKey, Incoming, Refusal, RequestId, Token,
    command::limit,
    fields::{Fields, Payload, Values},
    key::Key,
};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What `message` asks.
pub(crate) fn decode(message: Incoming<'_>) -> Decoded {
    let Incoming::Text(text) = message else {
        let refusal = Refusal::bad_request("a binary message: fanwire.v1.json takes JSON in text messages");
        return Decoded::Refused { id: None, refusal };
    };
    match fields(text) {
        Ok(fields) => fields.into_decoded(),
        Err(error) => Decoded::Refused { id: find_id(text), refusal: Refusal::bad_request(describe(&error)) },
    }
}

fn fields(text: &str) -> Result<Fields<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_any(Object { text })?;
    deserializer.end()?;
    Ok(fields)
}

fn describe(error: &serde_json::Error) -> String {
    if error.is_data() { error.to_string() } else { format!("broken JSON: {error}") }
}

struct Object<'a> {
    text: &'a str,
}

impl<'a> Visitor<'a> for Object<'a> {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a command")
    }

    /// Not with the text itself, as serde would: a refusal doesn't repeat a client's message to it.
    fn visit_str<E: Error>(self, _: &str) -> Result<Fields<'a>, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields::new(Dialect::Json);
        while let Some(key) = entries.next_key_seed(KeySeed(|name: &str| fields.enter(name)))? {
            match key {
                Some(key) => self.read(key, &mut fields.values, &mut entries)?,
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

impl<'a> Object<'a> {
    fn read<A: MapAccess<'a>>(&self, key: Key, values: &mut Values<'a>, entries: &mut A) -> Result<(), A::Error> {
        match key {
            Key::Type => values.command = Some(entries.next_value_seed(TextSeed(key, Some))?),
            Key::Id => values.id = Some(entries.next_value()?),
            Key::Channel => values.channel = Some(entries.next_value_seed(TextSeed(key, Some))?),
            Key::Content => values.content = Some(self.payload(entries.next_value()?)),
            Key::ContentBase64 => values.base64 = Some(entries.next_value_seed(TextSeed(key, Some))?),
            Key::Echo => values.echo = Some(entries.next_value_seed(FlagSeed(key))?),
            Key::Idempotency => {
                let seed = TextSeed(key, |text| IdempotencyKey::new(&text));
                values.idempotency_key = Some(entries.next_value_seed(seed)?);
            }
            Key::Recover => values.recover = Some(entries.next_value_seed(PositionSeed(key))?),
            Key::Since => values.since = Some(entries.next_value_seed(PositionSeed(key))?),
            Key::Limit => values.limit = Some(entries.next_value_seed(NumberSeed(key, limit))?),
            Key::Reverse => values.reverse = Some(entries.next_value_seed(FlagSeed(key))?),
            Key::Epoch => values.epoch = Some(entries.next_value_seed(epoch())?),
            Key::Offset => values.offset = Some(entries.next_value_seed(offset())?),
            Key::Info => values.info = Some(self.payload(entries.next_value()?)),
            Key::InfoBase64 => values.info_base64 = Some(entries.next_value_seed(TextSeed(key, Some))?),
            Key::After => values.after = Some(entries.next_value_seed(ConnectionSeed(key))?),
            Key::Token => values.token = Some(entries.next_value_seed(TextSeed(key, |text| Some(Token::new(&text))))?),
        }
        Ok(())
    }

    fn payload(&self, raw: &'a RawValue) -> Payload<'a> {
        Payload::Json { text: raw.get(), before: before(self.text, raw) }
    }
}

/// The id of a message that is otherwise wrong, if it stands before where JSON breaks.
fn find_id(text: &str) -> Option<RequestId> {
    let mut found = None;
    // Fails by design once the id is read, or where the text breaks.
    let _ = serde_json::Deserializer::from_str(text).deserialize_map(IdFinder(&mut found));
    found
}

struct IdFinder<'f>(&'f mut Option<RequestId>);

impl<'de> Visitor<'de> for IdFinder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some((key, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
            if is_string(key, Key::Id.name()) {
                *self.0 = serde_json::from_str(value.get()).ok();
                break;
            }
        }
        Ok(())
    }
}

/// Whether `raw` is the JSON string `text`, however it is escaped.
pub(crate) fn is_string(raw: &RawValue, text: &str) -> bool {
    // Every character takes at most 12 bytes, as two escaped surrogates.
    raw.get().len() <= 2 + 12 * text.len() && serde_json::from_str::<String>(raw.get()).is_ok_and(|got| got == text)
}

/// What stands in `text` before `raw`, which is a part of it.
pub(crate) fn before<'a>(text: &'a str, raw: &RawValue) -> &'a str {
    let offset = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.get(..offset).unwrap_or_default()
}
