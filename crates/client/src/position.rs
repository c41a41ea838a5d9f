//! Places in histories.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc};
use thiserror::Error;

/// A place in a history: everything up to the publication with this offset. Whoever keeps it can go on there later. Cheap
/// to clone.
///
/// Its text, as it is displayed and read, is `EPOCH.OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    #[serde(serialize_with = "text", deserialize_with = "word")]
    epoch: Arc<str>,
    offset: u64,
}

/// Why a text is no place in a history.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no place in a history: expected EPOCH.OFFSET, such as aB3.17")]
pub struct InvalidPosition(String);

impl Position {
    /// The place behind publication `offset` of history `epoch`.
    pub fn new(epoch: &str, offset: u64) -> Self {
        Self { epoch: epoch.into(), offset }
    }

    /// Which history: another one begins when the old is lost, and their offsets have nothing to do with each other.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The how manieth publication, from 1; 0 is before the first.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The place behind publication `offset` of the same history.
    pub fn with_offset(&self, offset: u64) -> Self {
        Self { epoch: Arc::clone(&self.epoch), offset }
    }

    /// Whether it is of the same history as `other`, and everything up to there is before it.
    pub(crate) fn reaches(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.offset >= other.offset
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once('.').filter(|(epoch, _)| !epoch.is_empty());
        let place = parts.and_then(|(epoch, offset)| Some(Self::new(epoch, offset.parse().ok()?)));
        place.ok_or_else(|| InvalidPosition(text.to_owned()))
    }
}

fn text<S: Serializer>(epoch: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(epoch)
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(deserializer).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_can_be_read_again() {
        for (text, epoch, offset) in [("aB3.0", "aB3", 0), ("1.18446744073709551615", "1", u64::MAX)] {
            let place = Position::new(epoch, offset);
            assert_eq!((text.parse(), place.to_string().as_str()), (Ok(place), text));
        }
        for wrong in ["", ".", "aB3", "aB3.", ".1", "aB3.-1", "aB3.x", "aB3.18446744073709551616"] {
            assert_eq!(wrong.parse::<Position>(), Err(InvalidPosition(wrong.to_owned())));
        }
    }
}
