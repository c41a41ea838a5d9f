//! JSON text to command.

use crate::{
    Decoded, Dialect, Incoming, Refusal, RequestId,
    fields::{Fields, Key, Payload},
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

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
        while let Some(key) = entries.next_key_seed(KeySeed(&mut fields))? {
            match key {
                Some(key) => self.read(key, &mut fields, &mut entries)?,
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

impl<'a> Object<'a> {
    fn read<A: MapAccess<'a>>(&self, key: Key, fields: &mut Fields<'a>, entries: &mut A) -> Result<(), A::Error> {
        match key {
            Key::Type => fields.command = Some(entries.next_value_seed(TextSeed(key))?),
            Key::Id => fields.id = Some(entries.next_value()?),
            Key::Channel => fields.channel = Some(entries.next_value_seed(TextSeed(key))?),
            Key::Content => fields.content = Some(self.payload(entries.next_value()?)),
            Key::ContentBase64 => fields.base64 = Some(entries.next_value_seed(TextSeed(key))?),
            Key::Echo => fields.echo = Some(entries.next_value_seed(FlagSeed(key))?),
        }
        Ok(())
    }

    fn payload(&self, raw: &'a RawValue) -> Payload<'a> {
        Payload::Json { text: raw.get(), before: before(self.text, raw) }
    }
}

/// Reads a key and notes it in the fields; `None` for one that no command has.
struct KeySeed<'f, 'a>(&'f mut Fields<'a>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = Option<Key>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Key>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_, '_> {
    type Value = Option<Key>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<Key>, E> {
        self.0.enter(name).map_err(E::custom)
    }
}

/// Reads the string under a key.
struct TextSeed(Key);

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string as \"{}\"", self.0.name())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads the boolean under a key.
struct FlagSeed(Key);

impl<'de> DeserializeSeed<'de> for FlagSeed {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for FlagSeed {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a boolean as \"{}\"", self.0.name())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
        Ok(flag)
    }

    /// Without the text, as above.
    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
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
