//! Readers of the values under a command's keys, which say what they expected.

use crate::{
    ConnectionId, Epoch, NodeId, Position,
    key::Key,
    place::{Place, PlaceKey},
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use std::{borrow::Cow, fmt};

/// Reads a key and hands it over.
pub(super) struct KeySeed<F>(pub(super) F);

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for KeySeed<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for KeySeed<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        self.0(name).map_err(E::custom)
    }
}

/// Reads the string under a key, and makes something of it.
pub(super) struct TextSeed<'de, T>(pub(super) Key, pub(super) fn(Cow<'de, str>) -> Option<T>);

impl<'de, T> TextSeed<'de, T> {
    fn make<E: Error>(self, text: Cow<'de, str>) -> Result<T, E> {
        self.1(text).ok_or_else(|| E::invalid_value(Unexpected::Other("string"), &self))
    }
}

impl<'de, T> DeserializeSeed<'de> for TextSeed<'de, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, T> Visitor<'de> for TextSeed<'de, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.expected())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        self.make(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.make(Cow::Owned(text.to_owned()))
    }
}

/// Reads an epoch.
pub(super) fn epoch<'de>() -> TextSeed<'de, Epoch> {
    TextSeed(Key::Epoch, |text| Epoch::parse(&text).ok())
}

/// Reads the integer under a key, and makes something of it.
pub(super) struct NumberSeed<T>(pub(super) Key, pub(super) fn(u64) -> Option<T>);

impl<'de, T> DeserializeSeed<'de> for NumberSeed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T> Visitor<'_> for NumberSeed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.expected())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.1(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    /// Not with the text itself, as serde would: a refusal doesn't repeat a client's message to it.
    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }
}

/// Reads an offset.
pub(super) fn offset() -> NumberSeed<u64> {
    NumberSeed(Key::Offset, Some)
}

/// Reads the boolean under a key.
pub(super) struct FlagSeed(pub(super) Key);

impl<'de> DeserializeSeed<'de> for FlagSeed {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for FlagSeed {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.expected())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
        Ok(flag)
    }

    /// Without the text, as above.
    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }
}

/// Reads the position under a key.
pub(super) struct PositionSeed(pub(super) Key);

impl<'de> DeserializeSeed<'de> for PositionSeed {
    type Value = Position;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Position, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PositionSeed {
    type Value = Position;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.expected())
    }

    /// Without the text, as above.
    fn visit_str<E: Error>(self, _: &str) -> Result<Position, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Position, A::Error> {
        let mut place = Place::new(self.0);
        while let Some(key) = entries.next_key_seed(KeySeed(|name: &str| place.enter(name)))? {
            match key {
                PlaceKey::Epoch => place.epoch = Some(entries.next_value_seed(epoch())?),
                PlaceKey::Offset => place.offset = Some(entries.next_value_seed(offset())?),
            }
        }
        place.into_position().map_err(A::Error::custom)
    }
}

/// Reads the id of a connection under a key.
pub(super) struct ConnectionSeed(pub(super) Key);

impl<'de> DeserializeSeed<'de> for ConnectionSeed {
    type Value = ConnectionId;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ConnectionId, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ConnectionSeed {
    type Value = ConnectionId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.expected())
    }

    /// Without the text, as above.
    fn visit_str<E: Error>(self, _: &str) -> Result<ConnectionId, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ConnectionId, A::Error> {
        let mut count = 0;
        let mut numbers = [0; 2];
        while let Some(number) = items.next_element_seed(NumberSeed(self.0, Some))? {
            numbers.get_mut(count).into_iter().for_each(|place| *place = number);
            count += 1;
        }
        let [node, sequence] = numbers;
        match NodeId::new(node).filter(|_| count == 2) {
            Some(node) => Ok(ConnectionId(node, sequence)),
            None => Err(A::Error::invalid_value(Unexpected::Seq, &self)),
        }
    }
}
