//! The keys of native commands.

use crate::{
    command::{MAX_ID_LENGTH, MAX_KEY_LENGTH, MAX_LIMIT},
    position::MAX_EPOCH,
};
use std::fmt;

/// A key of a native command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Type,
    Id,
    Channel,
    Content,
    ContentBase64,
    Echo,
    Idempotency,
    Recover,
    Since,
    Limit,
    Reverse,
    Epoch,
    Offset,
    Info,
    InfoBase64,
    After,
    Token,
}

/// Every key with its name, in the order of [`Key`].
pub(crate) const KEYS: [(Key, &str); 17] = [
    (Key::Type, "type"),
    (Key::Id, "id"),
    (Key::Channel, "channel"),
    (Key::Content, "content"),
    (Key::ContentBase64, "content_base64"),
    (Key::Echo, "echo"),
    (Key::Idempotency, "idempotency_key"),
    (Key::Recover, "recover"),
    (Key::Since, "since"),
    (Key::Limit, "limit"),
    (Key::Reverse, "reverse"),
    (Key::Epoch, "epoch"),
    (Key::Offset, "offset"),
    (Key::Info, "info"),
    (Key::InfoBase64, "info_base64"),
    (Key::After, "after"),
    (Key::Token, "token"),
];

impl Key {
    pub(crate) fn name(self) -> &'static str {
        KEYS[self as usize].1
    }

    /// What should stand under the key, for the texts of errors.
    pub(crate) fn expected(self) -> Expected {
        Expected(self)
    }
}

/// Says what should stand under a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected(Key);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Key::Id => write!(f, "an integer that fits 64 bits or a string of at most {MAX_ID_LENGTH} bytes"),
            Key::Type | Key::Channel | Key::ContentBase64 | Key::InfoBase64 | Key::Token => f.write_str("a string"),
            Key::Content | Key::Info => f.write_str("any value"),
            Key::Echo | Key::Reverse => f.write_str("a boolean"),
            Key::Idempotency => write!(f, "a string of 1 to {MAX_KEY_LENGTH} bytes"),
            Key::Recover | Key::Since => f.write_str("a map of epoch and offset"),
            Key::Limit => write!(f, "an integer from 1 to {MAX_LIMIT}"),
            Key::Epoch => write!(f, "a string of 1 to {MAX_EPOCH} ASCII letters and digits"),
            Key::Offset => f.write_str("an integer from 0 to 2^64-1"),
            Key::After => f.write_str("an array of two integers, a connection,"),
        }?;
        write!(f, " as \"{}\"", self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_keys() {
        for (at, (key, name)) in KEYS.into_iter().enumerate() {
            assert_eq!((key as usize, key.name()), (at, name));
        }
    }
}
